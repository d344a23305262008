"""Lists of networks: who may use a forward, and what lies behind a server."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from settings.network import PRIVATE, read_network
from settings.problem import Rule

MOST = 256
"""Networks in one list. Each is a rule on a host, which every new connection may have to pass."""

SOURCES = Rule(
    f"a list of 1 to {MOST} networks or addresses, such as [198.51.100.0/24, 203.0.113.7, "
    "2001:db8:7::/48]",
    "only visitors from there get in; left out, everybody does",
)
BEHIND = Rule(
    f"a list of up to {MOST} networks inside {', '.join(map(str, PRIVATE))}, such as "
    "[192.168.1.0/24]",
    "forwards may lead to hosts in them, and the VPS reaches those addresses by this server alone",
)

_NETWORK = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?")
_NETWORK6 = re.compile(r"[0-9A-Fa-f:]{2,39}(/[0-9]{1,3})?")
_EVERYBODY = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_IN_DISGUISE = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as programs may show them

Networks = tuple[IPv4Network, ...]
Sources = tuple[IPv4Network | IPv6Network, ...]


def check_sources(value: object) -> Sources:
    """Return the networks of the list `value`, sorted, each once; not empty, and not everybody."""
    networks = [
        _network6(entry) if _is_ipv6(entry) else _network(entry, SOURCES)
        for entry in _entries(value, SOURCES)
    ]
    if not networks:
        raise SOURCES.refuse_hidden("the list is empty, and would let nobody in")
    for network in networks:
        if network in _EVERYBODY:
            raise SOURCES.refuse(str(network), "is everybody; leave the whole list out for that")
    return tuple(sorted(set(networks), key=lambda network: (network.version, network)))


def check_behind(value: object) -> Networks:
    """Return the private networks of the list `value`, sorted, each once."""
    networks = sorted({_network(entry, BEHIND) for entry in _entries(value, BEHIND)})
    for network in networks:
        if not any(network.subnet_of(private) for private in PRIVATE):
            raise BEHIND.refuse(str(network), "is not private")
    return tuple(networks)


def _entries(value: object, rule: Rule) -> list[object]:
    if not isinstance(value, list | tuple):
        raise rule.refuse(value, "is not a list")
    if len(value) > MOST:
        raise rule.refuse_hidden(f"the list has {len(value)} entries")
    return list(value)


def _network(value: object, rule: Rule) -> IPv4Network:
    if isinstance(value, IPv4Address):
        return IPv4Network(value)
    return read_network(value, IPv4Network, _NETWORK, rule)


def _is_ipv6(value: object) -> bool:
    return isinstance(value, IPv6Address | IPv6Network) or (isinstance(value, str) and ":" in value)


def _network6(value: object) -> IPv6Network:
    text = str(value)
    network = read_network(text, IPv6Network, _NETWORK6, SOURCES)
    if network.subnet_of(_IN_DISGUISE):
        raise SOURCES.refuse(text, "is an IPv4 address in disguise; write it as such")
    return network


def networks_schema() -> dict[str, Any]:
    """Return the JSON Schema of the networks behind a server."""
    return _schema(_NETWORK.pattern)


def sources_schema() -> dict[str, Any]:
    """Return the JSON Schema of a list of those who may use a forward."""
    return {**_schema(f"({_NETWORK.pattern}|{_NETWORK6.pattern})"), "minItems": 1}


def _schema(pattern: str) -> dict[str, Any]:
    entry = {"type": "string", "pattern": f"^{pattern}$"}
    return {"type": "array", "items": entry, "maxItems": MOST}
