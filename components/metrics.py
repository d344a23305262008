"""Metrics of the VPS for Prometheus: a file that a timer there renews."""

from collections.abc import Sequence

from pulumi_command import remote

from components.host import Host
from components.remote import Remote, as_text
from reach.entries.part import Part
from reach.entries.recorded import command_of
from settings import VPS


def put_metrics(
    *, vps: Host, host: Remote, lines: Sequence[str], drift: str | None = None
) -> remote.Command:
    """Registers and returns the command for the timer and its file.

    Args:
        vps: the host that it is about.
        host: how commands reach that.
        lines: as the helper reads them: the folder there which node_exporter reads.
        drift: what is wrong with them.
    """
    return host.command(
        command_of(VPS, Part.METRICS),
        parent=vps,
        create=host.texts.call("put-metrics"),
        drift=drift,
        delete=host.texts.call_if_there("remove-metrics"),
        stdin=as_text(lines),
        depends_on=[vps.interface],
        deleted_with=vps.claim,
    )
