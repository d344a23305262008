"""The VPS, which has the public address."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Annotated

from pydantic import Field

from settings.allow import Allow
from settings.fields.check import Check
from settings.fields.firewall import Firewall, FirewallField
from settings.fields.key_generation import KeyGeneration
from settings.fields.metrics import MetricsField
from settings.fields.names import Name
from settings.fields.packages import Packages, PackagesField
from settings.fields.switch import Switch
from settings.late import Late
from settings.model import Model
from settings.network import ADDRESS, ADDRESS_SCHEMA, Address6Field, check_address
from settings.problem import Rule
from settings.ssh import Ssh, as_ip, check_host

ENDPOINT = Rule(
    "a host name such as vps.example.org, or an IPv4 address, without a port",
    "peers dial it (at network.listenPort), and visitors use it",
)
_NOWHERE = IPv4Network("0.0.0.0/8")  # "this network": nobody has one of these
_LOOPBACK = "lo"
PUBLIC_INTERFACE = Rule(
    "the name of a network interface, such as ens6: up to 15 letters, digits and . _ -; "
    f"not {_LOOPBACK}",
    "visitors come in by it; left out, it is the one of the default route",
)

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


def check_endpoint(endpoint: object) -> str:
    """Return `endpoint`, a name or an IPv4 address that others can dial."""
    host = check_host(endpoint, ENDPOINT)
    if why := undialled(host):
        raise ENDPOINT.refuse(host, why)
    return host


def undialled(host: str) -> str | None:
    """Say why nobody elsewhere can dial `host`, if nobody can, so that it stands behind it."""
    address = as_ip(host)
    if isinstance(address, IPv6Address):
        return "is an IPv6 address; peers dial by IPv4"
    if address is None:
        own = host.rstrip(".").lower().rpartition(".")[2] == "localhost"
    else:
        own = (
            address in _NOWHERE
            or address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_reserved
        )
    return "cannot be dialled from elsewhere" if own else None


def check_public_interface(name: object) -> str:
    """Return `name`, an interface the VPS may have."""
    if not isinstance(name, str) or not _INTERFACE.fullmatch(name) or name == _LOOPBACK:
        raise PUBLIC_INTERFACE.refuse(name)
    return name


class Vps(Model):
    """The VPS, which has the public address that the home lacks."""

    address: Annotated[IPv4Address | None, Check(check_address, ADDRESS, ADDRESS_SCHEMA)] = None
    """Its address inside the tunnel; default: the network's first host."""

    ipv6: Address6Field = None
    """That of IPv6; default: the one in network.ipv6 with the same number."""

    endpoint: Annotated[
        Late[str] | None,
        Check(check_endpoint, ENDPOINT, {"type": "string"}, late=True),
    ] = None
    """What peers dial and visitors use, a name or an IPv4 address; default: the first ssh.host."""

    public_interface: Annotated[
        str | None,
        Check(
            check_public_interface,
            PUBLIC_INTERFACE,
            {"type": "string", "pattern": f"^{_INTERFACE.pattern}$"},
        ),
    ] = None
    """Where visitors come in; default: the interface of the default route, found on the host."""

    key_generation: KeyGeneration = 1
    """Another number gives it new keys."""

    firewall: FirewallField = Firewall.NONE
    """What may come in from the internet. With `defaultDeny` only SSH, WireGuard, ICMP and the
    forwards; peers then reach neither the VPS's own services nor each other, but for what `allow`
    says. A network that the VPS is in by another interface is not closed."""

    allow: dict[Name, Allow] = Field(default_factory=dict)
    """What peers may reach in spite of the firewall, by name."""

    metrics: MetricsField = None
    """A folder that node_exporter reads: how the tunnel is doing is written there for Prometheus,
    once a minute; default: nothing is."""

    packages: PackagesField = Packages.INSTALL
    """Who installs the packages that it needs."""

    ssh: Ssh
    """How it is reached."""

    forget: Switch = False
    """Whether the machine is gone for good: nothing is done there any more, also at a destroy."""
