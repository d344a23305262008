"""Servers that are reached through the VPS, and what takes that way from them."""

from collections.abc import Iterator

from components.preflight.known import Known
from components.preflight.problem import HostProblem
from reach.entries.host_report import HostReport
from settings import VPS, Settings


def without_vps(known: Known) -> list[HostProblem]:
    """Servers that nobody reaches because all ways lead through a VPS that is forgotten."""
    return [
        HostProblem(
            f"{name}: its only way leads through the VPS, which is forgotten. Give it another one"
            " for this `pulumi up`: ssh.host, such as [192.168.1.20, {through: vps}] at home. Or"
            f" forget it, too, with all that it has: {known.settings.path_of(name)}.forget: true.",
            unreachable=True,
        )
        for name, each in known.seen.items()
        if known.settings.vps.forget
        and each.way is None
        and all(way.through for way in known.logins[name])
    ]


def cut_off(known: Known) -> Iterator[HostProblem]:
    """Servers that are reached through the tunnel, and would lose it before they are told why."""
    for name, each in known.seen.items():
        if each.way is None or each.report is None:
            continue
        login = known.logins[name][each.way]
        if login.through is None:
            continue
        for breaks in _breaks(known.settings, name, each.report):
            yield HostProblem(
                f"{name} ({login}): is reached through the tunnel, which breaks when {breaks},"
                " before the server hears of it. Make this one change from where another way leads"
                " to it: ssh.host, such as [192.168.1.20, {through: vps}] at home."
            )


def _breaks(settings: Settings, name: str, report: HostReport) -> Iterator[str]:
    """When the tunnel of a server breaks, which tells this."""
    so_far = (report.claimant or name).partition(":")[0]
    if so_far != name:
        # With another name it is another peer, of another key.
        yield f"the VPS gives the address of {so_far}, its name so far, to {name}"
    to_vps = report.peers.get(VPS)
    now = ((to_vps and to_vps.endpoint) or "").rpartition(":")[2]
    port = settings.network.listen_port
    if now and now != str(port):
        yield f"the VPS leaves port {now} for {port} (network.listenPort)"
