"""Metrics of the VPS for Prometheus: a file that a timer there renews."""

from components.host import Host
from components.remote import Remote


def put_metrics(
    name: str, *, vps: Host, host: Remote, folder: str, drift: str | None = None
) -> None:
    """Registers the timer and its file.

    Args:
        name: of the resource.
        vps: the host that it is about.
        host: how commands reach that.
        folder: which node_exporter reads, on the VPS.
        drift: what is wrong with them.
    """
    host.command(
        name,
        parent=vps,
        create=host.texts.call("put-metrics"),
        drift=drift,
        delete=host.texts.call_if_there("remove-metrics"),
        stdin=f"folder {folder}\n",
        depends_on=[vps.interface],
        deleted_with=vps.claim,
    )
