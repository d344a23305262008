"""A forward: one public port of the VPS, or a range of them, and where it leads."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.host import Host
from components.peer import Peer
from components.remote import Remote, as_text
from reach.entries.part import Part
from reach.entries.recorded import FORWARD, command_of
from settings import VPS


@dataclass(frozen=True)
class Opening:
    """What a server lets through to a host behind it, for one forward.

    Attributes:
        at: the server's name.
        server: the server.
        peer: the same, as a peer of the VPS.
        host: how commands reach it.
        lines: the opening as the helper reads it.
        drift: what is wrong with it there.
    """

    at: str
    server: Host
    peer: Peer
    host: Remote
    lines: Sequence[str]
    drift: str | None = None


class PortForward(pulumi.ComponentResource):
    """One forward. It shares no rule with another forward.

    It has one command, on the VPS. Where it leads to a host behind a server, it has a second one
    there, without which nothing from the tunnel gets past that server: a broken-into VPS must not
    be a way in.
    """

    def __init__(  # noqa: PLR0913 - what a forward is made of
        self,
        name: str,
        *,
        vps: Host,
        host: Remote,
        lines: Sequence[str],
        opening: Opening | None = None,
        drift: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Registers the forward.

        Args:
            name: the user's name for it.
            vps: the host whose port it is.
            host: how commands reach that.
            lines: the forward as the helper reads it, and a person in `preview --diff`.
            opening: what it needs on the server that its target is behind.
            drift: what is wrong with it on the VPS.
            opts: of the component.
        """
        super().__init__(FORWARD, name, None, opts)
        host.command(
            command_of(VPS, Part.FORWARD, name),
            parent=self,
            create=host.texts.call("put-forward", name),
            drift=drift,
            delete=host.texts.call_if_there("remove-forward", name),
            stdin=as_text(lines),
            # The way before those who take it; so it is also closed after them.
            depends_on=[vps.interface, *([] if opening is None else self._open(name, opening))],
            deleted_with=vps.claim,
        )

    def _open(self, name: str, opening: Opening) -> Sequence[remote.Command]:
        """Registers the opening; returns all that leads to it."""
        command = opening.host.command(
            command_of(opening.at, Part.OPENING, name),
            parent=self,
            create=opening.host.texts.call("put-opening", name),
            drift=opening.drift,
            delete=opening.host.texts.call_if_there("remove-opening", name),
            stdin=as_text(opening.lines),
            depends_on=[opening.server.interface],
            deleted_with=opening.server.claim,
            hooks=opening.server.arrival,
        )
        return [opening.peer.command, command]
