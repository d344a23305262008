"""What has drifted by the record, and what is in no record."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from components.preflight.known import Known
from reach import claimant
from reach.entries.drift import LEFT_OVER, LOST, MISNAMED, SAYS_OTHERWISE, SILENT, TAKEN_BACK, Drift
from reach.entries.fingerprints import unlike
from reach.entries.inventory import is_half_made, left_over, lost
from reach.entries.part import OF_EVERY_HOST, Entry, Part
from settings import VPS, Firewall

Entries: TypeAlias = Mapping[str, Sequence[tuple[Part, str]]]
"""By host, entries by kind and name; no host without any."""


def is_unexplained(known: Known) -> bool:
    """Whether a host has what the stack file does not explain, or lacks what it may have had.

    A server without ssh may have had one, by which it was set up: nobody looks at it to see.
    """
    others = (
        each.report is None
        or not is_claimed(known, name)
        or is_half_made(known.settings, name, each.report)
        or bool(unlike(known.settings, name, each.report))
        for name, each in known.seen.items()
    )
    return (
        any(others)
        or any(server.ssh is None for server in known.settings.servers.values())
        or bool(_strangers(known))
        or _is_unguarded(known)
        or _has_more(known)
        or bool(known.settings.forgotten)
    )


def is_claimed(known: Known, host: str) -> bool:
    """Whether the machine that the stack file names has the tunnel as that host."""
    report = known.seen[host].report
    return report is not None and report.claimant == claimant(host, known.logins[host][0].host_key)


def is_settled(known: Known, host: str) -> bool:
    """Whether all of that host is there, and nothing of it on another machine, as far as is known.

    Where an `up` was broken off that was to move it, the record says more than the host.
    """
    key, machines = known.logins[host][0].host_key, known.record.machines.get(host, ())
    return is_claimed(known, host) and all(each.host_key == key for each in machines)


def strays(known: Known) -> Entries:
    """The entries on hosts that neither the stack file has, nor a delete of the record removes."""

    def has_a_delete(host: str, part: Part, entry: str) -> bool:
        login = known.record.entries.get((host, part, entry))
        if login is None:
            return False
        # By its peer a server may be reached that is cleaned in this very run.
        leaves = entry in known.record.machines and entry not in known.settings.peers
        is_on_the_way = leaves and part in {Part.PEER, Part.PRESHARED_KEY}
        # With another host key the claim is released, and the entry's own delete with it is let
        # go; but what is there has another claimant by then.
        return is_on_the_way or login.host_key == known.logins[host][0].host_key

    found = {
        name: [(part, entry) for part, entry in entries if not has_a_delete(name, part, entry)]
        for name, entries in _strangers(known).items()
    }
    return {name: entries for name, entries in found.items() if entries}


def drift_by_record(known: Known, left: Entries) -> Drift:
    """What has drifted by the record; `left` are the strays."""
    found = {(name, Part.INTERFACE, ""): LEFT_OVER for name in left}
    if _is_unguarded(known) and (VPS, Part.FIREWALL, "") in known.record.entries:
        found[VPS, Part.FIREWALL, ""] = TAKEN_BACK
    drift = Drift(found)
    for judge in (_lost, _misnamed, _otherwise):
        drift = drift.and_also(Drift(dict(judge(known))))
    return drift


def _misnamed(known: Known) -> Iterator[tuple[Entry, str]]:
    """What hosts were given by this name, and then by another one, which is given up again.

    That one's delete would find its own there, and take away all of it.
    """
    for host, each in known.seen.items():
        if each.report is None or each.report.claimant is None or is_claimed(known, host):
            continue
        for part in OF_EVERY_HOST:
            if _was_given(known, (host, part, "")):
                yield (host, part, ""), MISNAMED


def _lost(known: Known) -> Iterator[tuple[Entry, str]]:
    """What hosts were given, and have no more."""
    for host, each in known.seen.items():
        if each.equipped is None:
            continue
        given = [
            (part, name)
            for at, part, name in known.record.entries
            if at == host and _was_given(known, (host, part, name))
        ]
        if each.equipped and each.report is None:
            yield from (((host, part, ""), SILENT) for part, _ in given if part is Part.HELPER)
        else:
            for part, name in lost(known.settings, host, each.report, given):
                yield (host, part, name), LOST


def _otherwise(known: Known) -> Iterator[tuple[Entry, str]]:
    """What hosts have in other words than they were given, and shall have.

    Where the stack file's words are not the record's, they are about to be given.
    """
    for host, each in known.seen.items():
        found = {} if each.report is None else unlike(known.settings, host, each.report)
        for (part, name), wanted in found.items():
            entry = host, part, name
            if _was_given(known, entry) and wanted in known.record.fingerprints[entry]:
                yield entry, SAYS_OTHERWISE


def _was_given(known: Known, entry: Entry) -> bool:
    """Whether the host has that by the record. What another machine was given is made anew."""
    host, login = entry[0], known.record.entries.get(entry)
    return login is not None and login.host_key == known.logins[host][0].host_key


def _strangers(known: Known) -> Entries:
    """The entries that hosts have and the stack file has not."""
    found = {
        name: left_over(known.settings, name, each.report)
        for name, each in known.seen.items()
        if each.report is not None
    }
    return {name: entries for name, entries in found.items() if entries}


def _has_more(known: Known) -> bool:
    """Whether the VPS has metrics or a firewall and shall have none; they may be about to go."""
    report = known.of_vps
    if report is None or report.role is None:
        return False
    guarded = known.settings.vps.firewall is Firewall.DEFAULT_DENY
    return (report.metrics and not known.settings.vps.metrics) or not (report.unguarded or guarded)


def _is_unguarded(known: Known) -> bool:
    """Whether the VPS has no firewall although it shall have one; it may be about to get it."""
    report = known.of_vps
    wanted = known.settings.vps.firewall is Firewall.DEFAULT_DENY
    return wanted and report is not None and report.unguarded
