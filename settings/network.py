"""The tunnel's network: what all its hosts have in common."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated, TypeVar

from settings.fields.check import Check
from settings.fields.key_generation import KeyGeneration
from settings.fields.numbers import whole
from settings.fields.ports import one_port
from settings.model import Model
from settings.problem import Rule

PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
CARRIER = IPv4Network("100.64.0.0/10")
SMALLEST = 30  # prefix length: two hosts, the VPS and one server
LOCAL = IPv6Network("fd00::/8")
LOCAL_LENGTH = 64  # prefix length of one network, as everywhere in IPv6
LEAST_MTU, MOST_MTU = 576, 1440
LEAST_OF_IPV6 = 1280  # bytes of a packet, RFC 8200, section 5
MOST_KEEPALIVE = 65535

CIDR = Rule(
    f"a network inside {', '.join(map(str, PRIVATE))}, /{SMALLEST} or larger, "
    "such as 172.16.0.0/24",
    "addresses of other people's hosts inside the tunnel would make those unreachable",
)
ADDRESS = Rule(
    "an IPv4 address of the tunnel's network, such as 172.16.0.4",
    "each host has one fixed address in the tunnel, which never moves when others come and go",
)
IPV6 = Rule(
    f"a /{LOCAL_LENGTH} inside {LOCAL}, such as fd5c:91e2:7a3b::/{LOCAL_LENGTH}, with digits of "
    "your own behind fd",
    "these unique local addresses are nobody's on the internet, and random digits are those of no "
    "other network of yours",
)
ADDRESS6 = Rule(
    "an address of network.ipv6, such as fd5c:91e2:7a3b::4",
    "each host has one fixed address in the tunnel; left out, it is the one with the same number "
    "as its IPv4 address",
)
MTU = Rule(
    f"a whole number of bytes from {LEAST_MTU} to {MOST_MTU}",
    f"every IPv4 host takes {LEAST_MTU} bytes, and WireGuard's 60 bytes on top of {MOST_MTU} make "
    "the 1500 that the internet carries in one piece",
)
KEEPALIVE = Rule(
    f"a whole number of seconds from 0 (off) to {MOST_KEEPALIVE}",
    "WireGuard counts it in 16 bits; 25 outlives the shortest mappings of carriers",
)
_NOT_INTERFACES = ("all", "default", "lo")
INTERFACE = Rule(
    "a lower-case letter, then up to 14 lower-case letters, digits and hyphens; not "
    + ", ".join(_NOT_INTERFACES),
    "the kernel allows 15 characters, and keeps these words for itself",
)

_CIDR_TEXT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}")
_IPV6_TEXT = re.compile(r"[0-9A-Fa-f:]{2,39}/[0-9]{1,3}")
_INTERFACE_PATTERN = r"[a-z][a-z0-9-]{0,14}"

_Family = TypeVar("_Family", IPv4Network, IPv6Network)
_Address = TypeVar("_Address", IPv4Address, IPv6Address)


def read_network(
    value: object, family: type[_Family], text: re.Pattern[str], rule: Rule
) -> _Family:
    """Return the network that `value` is or names, without bits of a host.

    Args:
        value: the network, or its text.
        family: of which kind it must be.
        text: what its text must look like.
        rule: what a refusal says.
    """
    if isinstance(value, family):
        return value
    if not isinstance(value, str) or not text.fullmatch(value):
        raise rule.refuse(value)
    try:
        network = family(value, strict=False)
    except ValueError:
        raise rule.refuse(value, "is no network") from None
    if ip_address(value.partition("/")[0]) != network.network_address:
        raise rule.refuse(value, f"names a host; its network is {network}")
    return network


def check_cidr(value: object) -> IPv4Network:
    """Return the private network that `value` names, such as `172.16.0.0/24`."""
    network = read_network(value, IPv4Network, _CIDR_TEXT, CIDR)
    if network.overlaps(CARRIER):
        raise CIDR.refuse(str(network), "is what carriers use between you and them")
    if not any(network.subnet_of(private) for private in PRIVATE):
        raise CIDR.refuse(str(network), "is not private")
    if network.prefixlen > SMALLEST:
        raise CIDR.refuse(str(network), "has no room for two hosts")
    return network


def check_address(value: object) -> IPv4Address:
    """Return the address that `value` names, such as `172.16.0.4`."""
    return _read_address(value, IPv4Address, ADDRESS)


def check_ipv6(value: object) -> IPv6Network:
    """Return the network of unique local addresses that `value` names."""
    network = read_network(value, IPv6Network, _IPV6_TEXT, IPV6)
    if not network.subnet_of(LOCAL):
        raise IPV6.refuse(str(network), "is not unique local")
    if network.prefixlen != LOCAL_LENGTH:
        raise IPV6.refuse(str(network), f"is not a /{LOCAL_LENGTH}")
    return network


def check_address6(value: object) -> IPv6Address:
    """Return the address that `value` names, such as `fd5c:91e2:7a3b::4`."""
    address = _read_address(value, IPv6Address, ADDRESS6)
    if address.scope_id is not None:
        raise ADDRESS6.refuse(str(address), "has a zone")
    return address


def _read_address(value: object, family: type[_Address], rule: Rule) -> _Address:
    if isinstance(value, family):
        return value
    if not isinstance(value, str):
        raise rule.refuse(value)
    try:
        return family(value)
    except ValueError:
        says = "is not allowed"
        if "/" in value:
            says = "has a prefix; leave it out, it is the network's"
        raise rule.refuse(value, says) from None


def same_number(address: IPv4Address, cidr: IPv4Network, ipv6: IPv6Network) -> IPv6Address:
    """Return the address of `ipv6` that has the place which `address` has in `cidr`."""
    return ipv6[int(address) - int(cidr.network_address)]


def check_interface(value: object) -> str:
    """Return `value`, a name that the kernel accepts for the tunnel's interface."""
    if (
        not isinstance(value, str)
        or not re.fullmatch(_INTERFACE_PATTERN, value)
        or value in _NOT_INTERFACES
    ):
        raise INTERFACE.refuse(value)
    return value


ADDRESS_SCHEMA = {"type": "string", "format": "ipv4"}
AddressField = Annotated[IPv4Address, Check(check_address, ADDRESS, ADDRESS_SCHEMA)]

ADDRESS6_SCHEMA = {"type": "string", "format": "ipv6"}
Address6Field = Annotated[IPv6Address | None, Check(check_address6, ADDRESS6, ADDRESS6_SCHEMA)]

OwnMtuField = Annotated[int | None, whole(MTU, LEAST_MTU, MOST_MTU)]
"""That of one peer, where it is smaller than the network's."""


class Network(Model):
    """What all hosts of the tunnel have in common. All of it is optional."""

    cidr: Annotated[
        IPv4Network,
        Check(check_cidr, CIDR, {"type": "string", "pattern": f"^{_CIDR_TEXT.pattern}$"}),
    ] = IPv4Network("172.16.0.0/24")
    """The tunnel's addresses: a private IPv4 network that none of the LANs involved uses."""

    ipv6: Annotated[
        IPv6Network | None,
        Check(
            check_ipv6,
            IPV6,
            {"type": "string", "pattern": f"^{_IPV6_TEXT.pattern}$"},
        ),
    ] = None
    """The tunnel's addresses of IPv6: a /64 of unique local ones. With it forwards take visitors
    of IPv6, too; default: the tunnel has IPv4 alone."""

    listen_port: Annotated[int, one_port()] = 51820
    """WireGuard's UDP port on the VPS."""

    mtu: Annotated[int, whole(MTU, LEAST_MTU, MOST_MTU)] = 1420
    """Largest packet in the tunnel, in bytes: what the line carries, less 60 for WireGuard."""

    keepalive: Annotated[int, whole(KEEPALIVE, 0, MOST_KEEPALIVE)] = 25
    """Seconds of silence after which a peer speaks, so that the carrier's mapping stays open; 0 is
    off, and visitors then find nobody."""

    key_generation: KeyGeneration = 1
    """Another number gives every host new keys, the VPS included."""

    interface: Annotated[
        str,
        Check(
            check_interface,
            INTERFACE,
            {
                "type": "string",
                "pattern": f"^{_INTERFACE_PATTERN}$",
                "not": {"enum": list(_NOT_INTERFACES)},
            },
        ),
    ] = "wg0"
    """The tunnel's name on every host; a second tunnel on the same host needs another one."""
