"""Whether the hosts can become part of the tunnel, said before anything is registered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi

from components.preflight.agent import absent_agent
from components.preflight.arrival import arrival, arriving_later
from components.preflight.known import Known
from components.preflight.leaving import (
    cut_off_before,
    machines_before,
    never_cleaned,
    never_finished,
    never_let_go,
    never_made,
    never_removed,
)
from components.preflight.left_over import removal
from components.preflight.lookup import Closed, look_up
from components.preflight.problem import HostProblem
from components.preflight.record import Record, read_record
from components.preflight.telling import (
    tell_other_helpers,
    tell_problems,
    tell_unknown,
    tell_ways,
    warn_of_drift,
    warn_of_gone,
)
from components.preflight.through_vps import cut_off, without_vps
from components.preflight.unexplained import (
    drift_by_record,
    is_settled,
    is_unexplained,
    strays,
)
from components.preflight.wanted import Wanted, wanted_of_hosts
from reach import Login, logins_to
from reach.entries.drift import Drift, drift_of_all
from settings import Settings, Way


@dataclass(frozen=True)
class Inspection:
    """What the look at the hosts has shown.

    Attributes:
        drift: where they are no longer as the last `up` made them.
        ways: by which way each host is to be reached, by name: the one that answered, or the
            first of its list where nobody asked or nobody answered.
        gone: hosts whose machine is another one by now, while the one before can't be cleaned.
        arrivals: by server, what waits for it where it must dial a new VPS first.
        removals: by host, what removes from it the entries that no stack has.
        settled: hosts that have been found on the machine that the stack file names.
        blank: hosts that were asked, and have no tunnel of this stack yet.
        half_made: hosts that are forgotten, and will never be more than that.
        peers: those that the VPS knows already.
    """

    drift: Drift
    ways: Mapping[str, Way]
    gone: frozenset[str] = frozenset()
    arrivals: Mapping[str, pulumi.ResourceHookBinding] = field(default_factory=dict)
    removals: Mapping[str, pulumi.ResourceHookBinding] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()
    blank: frozenset[str] = frozenset()
    half_made: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()


def inspect_hosts(settings: Settings, owner: str) -> Inspection:
    """Looks at all hosts at once, unless `look_up` is off.

    In a preview, hosts that nobody can ask now are warned of; whatever else is wrong is an
    error in a preview, too, because it would be one in the `up` that follows. What only may be
    wrong is a warning in both.

    Drift is warned of, too; of a helper of another version it is said that it is one.

    Args:
        settings: of the stack.
        owner: the stack, `project/stack`.

    Raises:
        LookUpError: a host can't become part of the tunnel.
    """
    ways = {name: settings.ways_to(name) for name in settings.managed_hosts}
    if not settings.look_up:
        # Who asks the state dials nobody.
        record = read_record() if settings.forgotten else Record()
        known = Known(settings, {}, {}, record)
        tell_problems([*absent_agent(settings), *never_made(known)])
        return Inspection(
            Drift(),
            {name: first for name, (first, *_) in ways.items()},
            half_made=never_finished(known),
        )
    known = _look(settings, owner)
    later = arriving_later(known)
    known = replace(known, seen={**known.seen, **later})
    before = machines_before(known)
    tell_problems(_problems(known, before))
    tell_ways(known, later)
    gone = {
        name: machine
        for name, machine in before.items()
        # From where the new machine is not reached, the old one may not be, either, and live.
        if machine.gone and known.seen[name].way is not None
    }
    warn_of_gone(gone)
    left = strays(known)
    drift = drift_of_all(settings, {name: each.report for name, each in known.seen.items()})
    drift = drift.and_also(drift_by_record(known, left))
    tell_other_helpers(drift)
    warn_of_drift(drift, left)
    return Inspection(
        drift,
        {name: each[_way(known, name)] for name, each in ways.items()},
        gone=frozenset(gone),
        arrivals={name: arrival(name, known.logins[name][_way(known, name)]) for name in later},
        removals={
            name: removal(name, known.logins[name], settings.network.interface, entries)
            for name, entries in left.items()
        },
        settled=frozenset(name for name in known.seen if is_settled(known, name)),
        blank=frozenset(
            name
            for name, each in known.seen.items()
            if each.way is not None and each.report is None and name not in later
        ),
        half_made=never_finished(known),
        peers=frozenset(known.of_vps.peers if known.of_vps else ()),
    )


def _look(settings: Settings, owner: str) -> Known:
    """What is known of the hosts; the state is asked where what was seen needs it."""
    hosts = _reachable(settings, owner)
    logins = {name: ways for name, (ways, _) in hosts.items()}
    known = Known(settings, logins, look_up(hosts) if hosts else {})
    return replace(known, record=read_record()) if is_unexplained(known) else known


def _problems(known: Known, before: Mapping[str, Closed]) -> list[HostProblem]:
    """All that is wrong; `before` are the machines that hosts were."""
    return [
        *absent_agent(known.settings),
        *(problem for each in known.seen.values() for problem in each.problems),
        *cut_off(known),
        *without_vps(known),
        *never_let_go(known, before),
        *never_cleaned(known),
        *cut_off_before(known),
        *never_made(known),
        *never_removed(known),
    ]


def _way(known: Known, name: str) -> int:
    """By which way a host is to be reached, counted from 0."""
    return (name in known.seen and known.seen[name].way) or 0


def _reachable(settings: Settings, owner: str) -> Mapping[str, tuple[Sequence[Login], Wanted]]:
    """The hosts that can be looked at, and one line about the others."""
    reachable: dict[str, tuple[Sequence[Login], Wanted]] = {}
    unknown: list[str] = []
    for name, wanted in wanted_of_hosts(settings, owner):
        if settings.is_forgotten(name):
            continue
        logins = logins_to(settings, name)
        if logins is None:
            unknown.append(name)
        else:
            reachable[name] = (logins, wanted)
    if unknown:
        tell_unknown(settings, unknown)
    return reachable
