"""WireGuard files as the components make them, with keys of the tests' own."""

from ipaddress import IPv4Address, IPv4Network

from components.key_pair import private_key
from components.unmanaged_server import server_config
from components.wireguard_file import Gateway, Machine, client_config
from tests.settings.samples import public_key

KEY = private_key("a seed of the tests")
_GATEWAY = Gateway(
    public_key(1),
    "vps.example.org:51820",
    IPv4Address("172.16.0.1"),
    IPv4Network("172.16.0.0/24"),
    25,
)


def client_file(name: str, *, own_key: bool = False) -> str:
    """The file of a client; with `own_key`, of one that keeps its private key to itself."""
    key = None if own_key else KEY
    return client_config(Machine(name, IPv4Address("172.16.0.10"), key, 1420), _GATEWAY)


def server_file(name: str, *, own_key: bool = False) -> str:
    """The file of a server without ssh."""
    key = None if own_key else KEY
    return server_config(Machine(name, IPv4Address("172.16.0.7"), key, 1420), _GATEWAY)
