"""The VPS's own firewall, which can't lock anybody out."""

from collections.abc import Sequence

from pulumi_command import remote

from components.host import Host
from components.remote import Remote, as_text
from reach.entries.part import Part
from reach.entries.recorded import command_of, keeper_of
from settings import VPS


def put_firewall(
    *, vps: Host, host: Remote, lines: Sequence[str], drift: str | None = None
) -> remote.Command:
    """Registers the firewall: a command that puts it into force, and one that keeps it.

    The first is in force for a minute only. The second comes by a new SSH login, which proves
    that one still gets in; without it the host takes its firewall back by itself.

    Args:
        vps: the host that it guards.
        host: how commands reach that.
        lines: the firewall as the helper reads it.
        drift: what is wrong with it; then both run again.

    Returns:
        The second one, after which it is in force for good.
    """
    name = command_of(VPS, Part.FIREWALL)
    text = as_text(lines)
    firewall = host.command(
        name,
        parent=vps,
        create=host.texts.call("put-firewall"),
        drift=drift,
        delete=host.texts.call_if_there("remove-firewall"),
        stdin=text,
        depends_on=[vps.interface],
        deleted_with=vps.claim,
    )
    return host.command(
        keeper_of(name),
        parent=vps,
        create=host.texts.call("confirm-firewall"),
        drift=drift,
        stdin=text,
        depends_on=[firewall],
        deleted_with=vps.claim,
        part_of=firewall,
        urgent=True,  # behind hundreds of forwards it would come too late
    )
