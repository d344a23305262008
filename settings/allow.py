"""What peers may reach in spite of the VPS's firewall."""

from typing import Annotated

from pydantic import Field

from settings.fields.check import Check
from settings.fields.choice import choice
from settings.fields.names import PATTERN, VPS, check_name
from settings.fields.ports import PORTS, PORTS_SCHEMA, Ports, check_ports
from settings.fields.protocol import WHY, Protocol
from settings.model import Model
from settings.problem import Rule

FROM = Rule("a list of names of servers and clients, such as [laptop, phone]", "these may reach it")
TO = Rule(f"the name of a server or a client, or {VPS}", "this is what they may reach")

_NAME_SCHEMA = {"type": "string", "pattern": f"^{PATTERN}$"}


def check_from(value: object) -> tuple[str, ...]:
    """Return the names in the list `value`, sorted, each once."""
    if not isinstance(value, list | tuple):
        raise FROM.refuse(value, "is not a list")
    for name in value:
        if name == VPS:
            raise FROM.refuse(name, "is the VPS itself, which reaches all its peers anyway")
    names = sorted({_named(name, FROM) for name in value})
    if not names:
        raise FROM.refuse_hidden("the list is empty, and would allow nothing")
    return tuple(names)


def check_to(value: object) -> str:
    """Return `value`, a name that a peer may have, or the VPS's."""
    return _named(value, TO)


def _named(value: object, rule: Rule) -> str:
    try:
        return check_name(value)
    except ValueError:
        raise rule.refuse(value, "is not a name") from None


class Allow(Model):
    """One thing that peers may reach although the VPS's firewall denies what nothing allows."""

    from_: Annotated[
        tuple[str, ...],
        Check(check_from, FROM, {"type": "array", "items": _NAME_SCHEMA, "minItems": 1}),
    ] = Field(alias="from")
    """Who: servers and clients, by name."""

    to: Annotated[str, Check(check_to, TO, _NAME_SCHEMA)]
    """What: a server or a client by name, or `vps`."""

    protocol: Annotated[Protocol | None, choice(Protocol, WHY)] = None
    """By which protocol; default: any, and `ping` with it."""

    port: Annotated[Ports | None, Check(check_ports, PORTS, PORTS_SCHEMA)] = None
    """At which port or range of ports; default: all of the protocol."""
