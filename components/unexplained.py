"""What a look at the hosts has shown and only the record explains: plain functions on both."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from components.lookup import Problem, Seen, find_gone
from components.record import Record
from reach import Login, claimant
from reach.drift import LEFT_OVER, TAKEN_BACK, Drift, Part, left_over, wanted_of
from settings import Firewall, Settings
from settings.allow import VPS

Entries: TypeAlias = Mapping[str, Sequence[tuple[Part, str]]]
"""By host, entries by kind and name; no host without any."""


def is_unexplained(
    settings: Settings, seen: Mapping[str, Seen], logins: Mapping[str, Sequence[Login]]
) -> bool:
    """Whether a host has what the stack file does not explain, or lacks what it may have had."""
    others = (
        each.report is None or each.report.claimant != claimant(name, logins[name][0].host_key)
        for name, each in seen.items()
    )
    return (
        any(others)
        or bool(_strangers(settings, seen))
        or _is_unguarded(settings, seen)
        or bool(_forgotten(settings))
    )


def strays(settings: Settings, seen: Mapping[str, Seen], record: Record) -> Entries:
    """The entries on hosts that neither the stack file nor the record has."""
    found = {
        name: [
            (part, entry) for part, entry in entries if (name, part, entry) not in record.entries
        ]
        for name, entries in _strangers(settings, seen).items()
    }
    return {name: entries for name, entries in found.items() if entries}


def drift_by_record(
    settings: Settings, seen: Mapping[str, Seen], record: Record, left: Entries
) -> Drift:
    """What has drifted by the record; `left` are the strays."""
    found = {(name, Part.INTERFACE, ""): LEFT_OVER for name in left}
    if _is_unguarded(settings, seen) and (VPS, Part.FIREWALL, "") in record.entries:
        found[VPS, Part.FIREWALL, ""] = TAKEN_BACK
    return Drift(found)


def machines_gone(record: Record, logins: Mapping[str, Sequence[Login]]) -> Mapping[str, str]:
    """The hosts that are other machines than they were, while those can't be cleaned.

    Returns:
        By host, which machine it was, and why nothing can be done there.
    """
    before = {
        name: machine
        for name, (login, *_) in logins.items()
        # The claim's comes first, and counts: by its delete the machine is cleaned.
        for machine in reversed(record.machines.get(name, ()))
        if machine.host_key != login.host_key
    }
    return {name: f"{before[name]}: {why}" for name, why in find_gone(before).items()}


def never_cleaned(settings: Settings, record: Record) -> list[Problem]:
    """Servers that are to leave the tunnel, and can't be cleaned: their deletes would fail."""
    staying = {VPS, *settings.managed_servers} | record.forgotten
    leaving = {
        name: machines[0] for name, machines in record.machines.items() if name not in staying
    }
    return [
        Problem(
            f"{name} ({leaving[name]}): it is no more in the stack file, and the tunnel can't be"
            f" removed from it: {why} If it is gone for good, put its entry back with"
            " `forget: true`, run `pulumi up`, and then take the entry out.",
            unreachable=True,
        )
        for name, why in find_gone(leaving).items()
    ]


def never_removed(
    settings: Settings, record: Record, logins: Mapping[str, Sequence[Login]]
) -> list[Problem]:
    """Entries that are to go from hosts that stay, and can't: their deletes would fail.

    A delete goes by the connection that is recorded. Where the machine is another one by now, or
    its sshd listens elsewhere, that leads nowhere; an `up` that still has the entry records the
    new one.
    """
    hosts = (logins.keys() | _forgotten(settings)) - record.forgotten
    wanted = {host: wanted_of(settings, host) for host in hosts}
    leaving = {
        (host, part, name): login
        for (host, part, name), login in record.entries.items()
        if host in hosts and name not in wanted[host][part] and login not in logins.get(host, ())
    }
    ways = {str(login): login for login in leaving.values()}
    gone = find_gone(ways)
    return [
        Problem(
            f"{host} ({login}): {' '.join(filter(None, [part.value, name]))}"
            " is no more in the stack file, and can't be removed by this way, by which it was"
            f" made: {gone[str(login)]} Put it back for this `pulumi up`, and take it out for the"
            " next.",
            unreachable=True,
        )
        for (host, part, name), login in leaving.items()
        if str(login) in gone
    ]


def _strangers(settings: Settings, seen: Mapping[str, Seen]) -> Entries:
    """The entries that hosts have and the stack file has not."""
    found = {
        name: left_over(settings, name, each.report)
        for name, each in seen.items()
        if each.report is not None
    }
    return {name: entries for name, entries in found.items() if entries}


def _forgotten(settings: Settings) -> set[str]:
    return {name for name in (VPS, *settings.managed_servers) if settings.is_forgotten(name)}


def _is_unguarded(settings: Settings, seen: Mapping[str, Seen]) -> bool:
    """Whether the VPS has no firewall although it shall have one; it may be about to get it."""
    report = seen[VPS].report if VPS in seen else None
    wanted = settings.vps.firewall is Firewall.DEFAULT_DENY
    return wanted and report is not None and report.unguarded
