"""What a look at the hosts has shown and only the record explains: plain functions on both."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from components.lookup import Closed, HostProblem, Seen, find_closed
from components.record import Record
from reach import Login, claimant
from reach.drift import (
    LEFT_OVER,
    LOST,
    OF_EVERY_HOST,
    SILENT,
    TAKEN_BACK,
    Drift,
    Part,
    is_half_made,
    left_over,
    lost,
    wanted_of,
)
from reach.recorded import Entry
from settings import VPS, Firewall, Settings
from settings.ssh import as_ip

Entries: TypeAlias = Mapping[str, Sequence[tuple[Part, str]]]
"""By host, entries by kind and name; no host without any."""


def is_unexplained(
    settings: Settings, seen: Mapping[str, Seen], logins: Mapping[str, Sequence[Login]]
) -> bool:
    """Whether a host has what the stack file does not explain, or lacks what it may have had.

    A server without ssh may have had one, by which it was set up: nobody looks at it to see.
    """
    others = (
        each.report is None
        or each.report.claimant != claimant(name, logins[name][0].host_key)
        or is_half_made(settings, name, each.report)
        for name, each in seen.items()
    )
    return (
        any(others)
        or any(server.ssh is None for server in settings.servers.values())
        or bool(_strangers(settings, seen))
        or _is_unguarded(settings, seen)
        or _has_more(settings, seen)
        or bool(settings.forgotten)
    )


def strays(
    settings: Settings,
    seen: Mapping[str, Seen],
    record: Record,
    logins: Mapping[str, Sequence[Login]],
) -> Entries:
    """The entries on hosts that neither the stack file has, nor a delete of the record removes."""

    def has_a_delete(host: str, part: Part, entry: str) -> bool:
        login = record.entries.get((host, part, entry))
        if login is None:
            return False
        # By its peer a server may be reached that is cleaned in this very run.
        leaves = entry in record.machines and entry not in settings.peers
        is_on_the_way = leaves and part in {Part.PEER, Part.PRESHARED_KEY}
        # With another host key the claim is released, and the entry's own delete with it is let
        # go; but what is there has another claimant by then.
        return is_on_the_way or login.host_key == logins[host][0].host_key

    found = {
        name: [(part, entry) for part, entry in entries if not has_a_delete(name, part, entry)]
        for name, entries in _strangers(settings, seen).items()
    }
    return {name: entries for name, entries in found.items() if entries}


def drift_by_record(
    settings: Settings,
    seen: Mapping[str, Seen],
    record: Record,
    left: Entries,
    logins: Mapping[str, Sequence[Login]],
) -> Drift:
    """What has drifted by the record; `left` are the strays."""
    found = {(name, Part.INTERFACE, ""): LEFT_OVER for name in left}
    if _is_unguarded(settings, seen) and (VPS, Part.FIREWALL, "") in record.entries:
        found[VPS, Part.FIREWALL, ""] = TAKEN_BACK
    return Drift(found).and_also(Drift(dict(_lost(settings, seen, record, logins))))


def _lost(
    settings: Settings,
    seen: Mapping[str, Seen],
    record: Record,
    logins: Mapping[str, Sequence[Login]],
) -> Iterator[tuple[Entry, str]]:
    """What hosts were given, and have no more."""
    for host, each in seen.items():
        if each.equipped is None:
            continue
        # What was given to another machine is made anew anyway.
        given = [
            (part, name)
            for (at, part, name), login in record.entries.items()
            if at == host and login.host_key == logins[host][0].host_key
        ]
        if each.equipped and each.report is None:
            yield from (((host, part, ""), SILENT) for part, _ in given if part is Part.HELPER)
        else:
            for part, name in lost(settings, host, each.report, given):
                yield (host, part, name), LOST


def machines_before(record: Record, logins: Mapping[str, Sequence[Login]]) -> Mapping[str, Closed]:
    """By host, the machine that it was, if it is another one by now and that can't be cleaned."""
    before = {
        name: machine
        for name, (login, *_) in logins.items()
        # The claim's comes first, and counts: by its delete the machine is cleaned.
        for machine in reversed(record.machines.get(name, ()))
        if machine.host_key != login.host_key
    }
    return find_closed(before)


def never_let_go(before: Mapping[str, Closed], record: Record) -> list[HostProblem]:
    """Machines that live, and can't be cleaned when another one takes their place."""
    return [
        HostProblem(
            f"{name} was {machine.login}, which still runs, it seems, and the tunnel can't be"
            f" removed from it: {machine.why} With the same key it would be in its successor's"
            " place now and then. Let the login in there for this `pulumi up`, or switch it off."
            f" If it may keep what it has: {_path(name)}.forget: true, `pulumi up`, and then"
            " without `forget` another one."
        )
        for name, machine in before.items()
        if not machine.gone and name not in record.forgotten
    ]


def arriving_later(
    settings: Settings,
    seen: Mapping[str, Seen],
    record: Record,
    logins: Mapping[str, Sequence[Login]],
) -> Mapping[str, Seen]:
    """Servers that nobody reaches because they have not dialled the new VPS yet.

    They will, if it is found where they dial: by its name, or because the address is the same.

    Returns:
        By server, the way through that VPS, and a warning instead of an error.
    """
    # Without keepalive a server does not notice that its VPS is another one.
    if VPS not in seen or seen[VPS].way is None or not settings.network.keepalive:
        return {}
    return {
        name: Seen([_will_dial(name, logins[name][way])], way=way)
        for name, each in seen.items()
        if name != VPS and each.way is None
        for way in [_way_through(logins[name])]
        if way is not None and _dials_anew(settings, seen, record, name, logins)
    }


def _way_through(ways: Sequence[Login]) -> int | None:
    """The first way that leads through the VPS, counted from 0."""
    return next((number for number, way in enumerate(ways) if way.through), None)


def _dials_anew(
    settings: Settings,
    seen: Mapping[str, Seen],
    record: Record,
    server: str,
    logins: Mapping[str, Sequence[Login]],
) -> bool:
    """Whether a server is set up, and will find the VPS where it dials.

    The one that it dialled before is another machine, which was where this one is; or it is this
    one, which has lost the tunnel.
    """
    claim, *_ = record.machines.get(server, [None])
    if claim is None or claim.host_key != logins[server][0].host_key:
        return False
    key, known = logins[VPS][0].host_key, record.machines.get(VPS, ())
    report = seen[VPS].report
    is_bare = seen[VPS].equipped is not None and (report is None or report.role is None)
    by_name = as_ip(settings.endpoint) is None
    return (is_bare and key in {each.host_key for each in known}) or any(
        each.host_key != key and (by_name or each.host == settings.endpoint)
        for each in (claim.through, *known)
        if each is not None
    )


def _will_dial(server: str, login: Login) -> HostProblem:
    return HostProblem(
        f"{server} ({login}): is not there yet, since the VPS is another machine than before,"
        " or has lost the tunnel. `pulumi up` waits for it as soon as it can dial that one; if"
        " it dials a name (vps.endpoint), that must lead there by now.",
        uncertain=True,
    )


def without_vps(
    settings: Settings, seen: Mapping[str, Seen], logins: Mapping[str, Sequence[Login]]
) -> list[HostProblem]:
    """Servers that nobody reaches because all ways lead through a VPS that is forgotten."""
    return [
        HostProblem(
            f"{name}: its only way leads through the VPS, which is forgotten. Give it another one"
            " for this `pulumi up`: ssh.host, such as [192.168.1.20, {through: vps}] at home. Or"
            f" forget it, too, with all that it has: {_path(name)}.forget: true.",
            unreachable=True,
        )
        for name, each in seen.items()
        if settings.vps.forget and each.way is None and all(way.through for way in logins[name])
    ]


def never_cleaned(settings: Settings, record: Record) -> list[HostProblem]:
    """Servers that are to leave the tunnel, and can't be cleaned: their deletes would fail."""
    leaving = _leaving(settings, record)

    def told(name: str, why: str) -> str:
        gone, back, out = "it is", "its entry back", "the entry"
        if name in settings.servers:
            gone, back, out = "its ssh is", "its ssh back", "the ssh"
        return (
            f"{name} ({leaving[name]}): {gone} no more in the stack file, and the tunnel can't be"
            f" removed from it: {why} If it is gone for good, put {back} with `forget: true`, run"
            f" `pulumi up`, and then take {out} out."
        )

    return [
        HostProblem(told(name, closed.why), unreachable=True)
        for name, closed in find_closed(leaving).items()
    ]


def cut_off_before(
    settings: Settings, record: Record, logins: Mapping[str, Sequence[Login]]
) -> list[HostProblem]:
    """Servers that are to be cleaned by the tunnel, and lose it before: their deletes would fail.

    Deletes come last. By then another peer has the address, unless it is the same machine by its
    new name, which is found there.
    """
    owners = {str(settings.address_of(name)): name for name in (VPS, *settings.peers)}
    found = [
        (name, machine, owners[machine.host])
        for name, machine in _leaving(settings, record).items()
        if machine.through is not None and owners.get(machine.host, name) != name
    ]
    return [
        HostProblem(
            f"{name} ({machine}): is no more in the stack file, and the tunnel is to be removed"
            f" from it by the tunnel itself, where {owner} gets its address before. Give"
            f" {owner} another one for this `pulumi up`, and this one with the next."
        )
        for name, machine, owner in found
        if machine.host_key not in {login.host_key for login in logins.get(owner, ())}
    ]


def _leaving(settings: Settings, record: Record) -> Mapping[str, Login]:
    """The servers that are to leave the tunnel, and how they will be reached for that."""
    staying = {*settings.managed_hosts} | record.forgotten
    return {name: machines[0] for name, machines in record.machines.items() if name not in staying}


def never_made(settings: Settings, record: Record) -> list[HostProblem]:
    """Entries that are new on hosts that are forgotten: they would be made on what is gone.

    What a host itself is made of may be lacking, where its first `up` was broken off: that must not
    keep it from being forgotten.
    """
    return [
        HostProblem(
            f"{host}: {' '.join(filter(None, [part.value, name]))} is new, and nothing is done"
            f" there any more ({_path(host)}.forget). Take it out of the stack file until another"
            " machine is there (its ssh, and no `forget`)."
        )
        for host in settings.forgotten
        for part, names in wanted_of(settings, host).items()
        for name in names
        if part not in OF_EVERY_HOST and (host, part, name) not in record.entries
    ]


def never_removed(
    settings: Settings,
    seen: Mapping[str, Seen],
    record: Record,
    logins: Mapping[str, Sequence[Login]],
) -> list[HostProblem]:
    """Entries that are to go from hosts that stay, and can't: their deletes would fail.

    A delete goes by the connection that is recorded. Where the machine is another one by now, or
    its sshd listens elsewhere, that leads nowhere; an `up` that still has the entry records the
    new one.
    """

    def open_ways(host: str) -> Sequence[Login]:
        """By which it was reached just now, or, where nobody was, may be."""
        way = seen[host].way if host in seen else None
        return logins.get(host, ()) if way is None else [logins[host][way]]

    hosts = (logins.keys() | set(settings.forgotten)) - record.forgotten
    wanted = {host: wanted_of(settings, host) for host in hosts}
    leaving = {
        (host, part, name): login
        for (host, part, name), login in record.entries.items()
        if host in hosts and name not in wanted[host][part] and login not in open_ways(host)
    }
    ways = {str(login): login for login in leaving.values()}
    closed = find_closed(ways)
    return [
        HostProblem(
            f"{host} ({login}): {' '.join(filter(None, [part.value, name]))}"
            " is no more in the stack file, and can't be removed by this way, by which it was"
            f" made: {closed[str(login)].why} Put it back for this `pulumi up`, and"
            " take it out for the next.",
            unreachable=True,
        )
        for (host, part, name), login in leaving.items()
        if str(login) in closed
    ]


def _strangers(settings: Settings, seen: Mapping[str, Seen]) -> Entries:
    """The entries that hosts have and the stack file has not."""
    found = {
        name: left_over(settings, name, each.report)
        for name, each in seen.items()
        if each.report is not None
    }
    return {name: entries for name, entries in found.items() if entries}


def _path(name: str) -> str:
    """Where the stack file has a host."""
    return name if name == VPS else f"servers.{name}"


def _has_more(settings: Settings, seen: Mapping[str, Seen]) -> bool:
    """Whether the VPS has metrics or a firewall and shall have none; they may be about to go."""
    report = seen[VPS].report if VPS in seen else None
    if report is None or report.role is None:
        return False
    guarded = settings.vps.firewall is Firewall.DEFAULT_DENY
    return (report.metrics and not settings.vps.metrics) or not (report.unguarded or guarded)


def _is_unguarded(settings: Settings, seen: Mapping[str, Seen]) -> bool:
    """Whether the VPS has no firewall although it shall have one; it may be about to get it."""
    report = seen[VPS].report if VPS in seen else None
    wanted = settings.vps.firewall is Firewall.DEFAULT_DENY
    return wanted and report is not None and report.unguarded
