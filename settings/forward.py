"""A forward: a public port of the VPS, and where it leads."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from settings.fields.check import Check
from settings.fields.choice import choice
from settings.fields.comment import CommentField
from settings.fields.ports import PORTS, PORTS_SCHEMA, Ports, check_ports
from settings.fields.protocol import WHY, Protocol
from settings.fields.switch import Switch
from settings.fields.target import TARGET, TARGET_SCHEMA, Target, check_target
from settings.limit import Limit
from settings.model import Model
from settings.networks import SOURCES, Sources, check_sources, sources_schema


class SourceAddress(StrEnum):
    """`client`: the visitor's own. `tunnel`: that of the tunnel's end nearest to the target."""

    CLIENT = "client"
    TUNNEL = "tunnel"


class Forward(Model):
    """A public port of the VPS, or a range of ports, and where it leads."""

    protocol: Annotated[Protocol, choice(Protocol, WHY)] = Protocol.TCP
    """What is forwarded."""

    port: Annotated[Ports, Check(check_ports, PORTS, PORTS_SCHEMA)]
    """The public port, or a range of them such as "27000-27037"."""

    to: Annotated[Target, Check(check_target, TARGET, TARGET_SCHEMA)]
    """Where it leads: "homelab:8080", "homelab" for the same port, "homelab:8078-8081" for as many
    ports as outside, or "192.168.1.30:22", a host in the networks of a server."""

    enabled: Switch = True
    """Whether it is open. A paused forward keeps its port to itself."""

    from_: Annotated[
        Sources | None,
        Check(check_sources, SOURCES, sources_schema()),
    ] = Field(default=None, alias="from")
    """Who may use it; default: everybody."""

    limit: Limit | None = None
    """How much one visitor may ask of it; default: anything."""

    source_address: Annotated[
        SourceAddress,
        choice(SourceAddress, "the target sees either the visitor's address or the tunnel's"),
    ] = SourceAddress.CLIENT
    """Whose address the target sees. `tunnel` is for hosts behind a server that do not answer
    through it."""

    comment: CommentField = None
    """Words of your own; shown, and never sent to a host."""
