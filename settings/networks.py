"""Lists of networks: who may use a forward, and what lies behind a server."""

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from .network import PRIVATE
from .problem import Rule

MOST = 256
"""Networks in one list. Each is a rule on a host, which every new connection may have to pass."""

SOURCES = Rule(
    f"a list of 1 to {MOST} IPv4 networks or addresses, such as [198.51.100.0/24, 203.0.113.7]",
    "only visitors from there get in; left out, everybody does",
)
BEHIND = Rule(
    f"a list of up to {MOST} networks inside {', '.join(map(str, PRIVATE))}, such as "
    "[192.168.1.0/24]",
    "forwards may lead to hosts in them, and the VPS reaches those addresses by this server alone",
)

_NETWORK = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?")
_EVERYBODY = IPv4Network("0.0.0.0/0")

Networks = tuple[IPv4Network, ...]


def check_sources(value: object) -> Networks:
    """Return the networks of the list `value`, sorted, each once; not empty, and not everybody."""
    networks = _networks(value, SOURCES)
    if not networks:
        raise SOURCES.refuse_hidden("the list is empty, and would let nobody in")
    if _EVERYBODY in networks:
        raise SOURCES.refuse(str(_EVERYBODY), "is everybody; leave the whole list out for that")
    return networks


def check_behind(value: object) -> Networks:
    """Return the private networks of the list `value`, sorted, each once."""
    networks = _networks(value, BEHIND)
    for network in networks:
        if not any(network.subnet_of(private) for private in PRIVATE):
            raise BEHIND.refuse(str(network), "is not private")
    return networks


def _networks(value: object, rule: Rule) -> Networks:
    if not isinstance(value, list | tuple):
        raise rule.refuse(value, "is not a list")
    if len(value) > MOST:
        raise rule.refuse_hidden(f"the list has {len(value)} entries")
    return tuple(sorted({_network(entry, rule) for entry in value}))


def _network(value: object, rule: Rule) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    if isinstance(value, IPv4Address):
        return IPv4Network(value)
    if not isinstance(value, str) or not _NETWORK.fullmatch(value):
        raise rule.refuse(value)
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise rule.refuse(value, "is no network") from None
    if value.partition("/")[0] != str(network.network_address):
        raise rule.refuse(value, f"names a host; its network is {network}")
    return network


def networks_schema(**limits: int) -> dict[str, Any]:
    """Return the JSON Schema of such a list."""
    entry = {"type": "string", "pattern": f"^{_NETWORK.pattern}$"}
    return {"type": "array", "items": entry, "maxItems": MOST, **limits}
