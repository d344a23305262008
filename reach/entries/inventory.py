"""The inventory: what a host has, beside what the stack file and the last `up` have of it."""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

from reach.entries.host_report import HostReport
from reach.entries.part import Part, wanted_of
from settings import VPS, Settings


def left_over(settings: Settings, host: str, report: HostReport) -> list[tuple[Part, str]]:
    """The entries that a host has and the stack file has not, by kind and name.

    They may be about to be removed by the next `up`, or be left by one that was broken off.
    """
    wanted = wanted_of(settings, host)
    return [
        (part, name)
        for part, names in _there(host, report).items()
        for name in sorted(names - set(wanted[part]))
        if name  # of the host's own parts none is left over
    ]


def lost(
    settings: Settings,
    host: str,
    report: HostReport | None,
    given: Collection[tuple[Part, str]],
) -> list[tuple[Part, str]]:
    """What the last `up` has given a host, and it lacks, by kind and name.

    What the stack file has no more is left out: it is about to be removed.

    Args:
        settings: of the stack.
        host: its name there.
        report: what it tells; None where it has no helper, or that alone.
        given: what the last `up` has given it.
    """
    wanted = wanted_of(settings, host)
    kept = [(part, name) for part, name in given if name in wanted[part]]
    if report is None:
        return kept
    if report.role is None:
        # Where there never was an interface, an `up` was broken off, and the next one goes on.
        was_set_up = (Part.INTERFACE, "") in kept
        return [each for each in kept if was_set_up and each[0] is not Part.HELPER]
    there = dict(_there(host, report))
    if host == VPS:
        # Whoever is not known shares no key either.
        known = there[Part.PEER]
        there[Part.PRESHARED_KEY] = there.get(Part.PRESHARED_KEY, known) & known
    if report.wireguard is None:
        # While the tunnel is down it does not tell whom it knows and what it forwards.
        there = {part: names for part, names in there.items() if part is Part.METRICS}
    return [(part, name) for part, name in kept if part in there and name not in there[part]]


def is_half_made(settings: Settings, host: str, report: HostReport) -> bool:
    """Whether a host lacks entries of the stack file.

    They may be new there, or an `up` that was to make all of it may have been broken off.
    """
    wanted = wanted_of(settings, host)
    there = _there(host, report)
    return report.role is None or any(set(wanted[part]) - names for part, names in there.items())


def _there(host: str, report: HostReport) -> Mapping[Part, AbstractSet[str]]:
    """What a host has, by kind: names, or the empty one of a part of its own."""
    if host == VPS:
        peers = (report.peers.keys() | report.wrong_peers) - {"-"}
        metrics = {""} if report.metrics else set()
        there = {Part.FORWARD: report.forwards.keys(), Part.PEER: peers, Part.METRICS: metrics}
        return there if report.shares is None else {**there, Part.PRESHARED_KEY: report.shares}
    return {Part.OPENING: report.openings.keys()}
