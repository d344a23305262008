"""Whether the hosts can become part of the tunnel, said before anything is registered."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi

from components.preflight.advice import Wanted
from components.preflight.agent import absent_agent
from components.preflight.arrival import arrival, arriving_later
from components.preflight.host_facts import PublicPorts
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
from components.preflight.lookup import Closed, HostProblem, Warns, look_up
from components.preflight.record import Record, read_record
from components.preflight.through_vps import cut_off, without_vps
from components.preflight.unexplained import (
    Entries,
    drift_by_record,
    is_settled,
    is_unexplained,
    strays,
)
from reach import Login, late_fields, logins_to
from reach.entries.drift import Drift, drift_of_all
from settings import SSH_PRIVATE_KEY_FIELD, VPS, Egress, Packages, Settings, Way


class LookUpError(pulumi.RunError):
    """Hosts can't become part of the tunnel; the text lists every one, and what to do."""

    def __init__(self, problems: list[HostProblem]) -> None:
        super().__init__(_listed("The hosts are not ready, and nothing was changed:", problems))


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

    In a preview, hosts that nobody can reach now are warned of; whatever else is wrong is an
    error in a preview, too, because it would be one in the `up` that follows. What only may be
    wrong is a warning in both.

    Drift is warned of, too.

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
        _tell([*absent_agent(settings), *never_made(known)])
        return Inspection(
            Drift(),
            {name: first for name, (first, *_) in ways.items()},
            half_made=never_finished(known),
        )
    known = _look(settings, owner)
    later = arriving_later(known)
    known = replace(known, seen={**known.seen, **later})
    before = machines_before(known)
    _tell(_problems(known, before))
    _tell_ways(known, later)
    gone = {name: machine for name, machine in before.items() if machine.gone}
    _warn_of_gone(gone)
    left = strays(known)
    drift = drift_of_all(settings, {name: each.report for name, each in known.seen.items()})
    drift = drift.and_also(drift_by_record(known, left))
    _warn_of_drift(drift, left)
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
    for name, wanted in _hosts(settings, owner):
        if settings.is_forgotten(name):
            continue
        logins = logins_to(settings, name)
        if logins is None:
            unknown.append(name)
        else:
            reachable[name] = (logins, wanted)
    if unknown:
        _tell_unknown(settings, unknown)
    return reachable


def _tell_unknown(settings: Settings, unknown: Sequence[str]) -> None:
    # Each once, in their order
    late = dict.fromkeys(field for name in unknown for field in late_fields(settings, name))
    key = SSH_PRIVATE_KEY_FIELD
    key_of_now = (
        f' A program may give it as a plain text, by `config.require("{key}")` in place of'
        " `require_secret`: it is kept secret all the same, and the hosts can be looked at."
    )
    pulumi.log.info(
        f"not looked at, the connection is not known yet: {', '.join(unknown)}."
        f" Known only later: {', '.join(late)}.{key_of_now if key in late else ''}"
    )


def _tell(found: Sequence[HostProblem]) -> None:
    """Warns, or ends the run.

    Raises:
        LookUpError: a host can't become part of the tunnel.
    """
    for kind in Warns:
        _warn(kind.value, [each for each in found if each.warns is kind])
    problems = [problem for problem in found if problem.warns is None]
    if problems:
        in_preview = pulumi.runtime.is_dry_run()
        if not in_preview or not all(problem.unreachable for problem in problems):
            raise LookUpError(problems)
        _warn("Hosts that can't be reached now, without which `pulumi up` won't begin:", problems)


def _tell_ways(known: Known, later: Collection[str]) -> None:
    """Says which hosts are not reached by their first way; those that come later are told."""
    for name, each in known.seen.items():
        if each.way and name not in later:
            pulumi.log.info(
                f"{name} is reached by {known.logins[name][each.way]}, since no way before that one"
                " leads there from here. Where the last `pulumi up` took another one, its commands"
                " run once more, which changes nothing there."
            )


def _warn(head: str, problems: Sequence[HostProblem]) -> None:
    if problems:
        pulumi.log.warn(_listed(head, problems))


def _warn_of_gone(gone: Mapping[str, Closed]) -> None:
    if gone:
        head = "Machines that are taken for gone. What they have of the tunnel stays on them:"
        lines = [f"  {name} was {each.login}: {each.why}" for name, each in gone.items()]
        pulumi.log.warn("\n".join([head, *lines]))


def _warn_of_drift(drift: Drift, left: Entries) -> None:
    strange = [
        f"{name}: {part.value} {entry}: no stack has it"
        for name, entries in left.items()
        for part, entry in entries
    ]
    if lines := [*drift.lines(), *strange]:
        # Not this run's: it may be one for some targets, or a refresh.
        head = "Hosts are not as the last `pulumi up` left them; a full one puts that right:"
        pulumi.log.warn("\n".join([head, *(f"  {line}" for line in lines)]))


def _hosts(settings: Settings, owner: str) -> Iterator[tuple[str, Wanted]]:
    network, vps = settings.network, settings.vps
    egresses = [server.egress for server in settings.servers.values()]
    egresses += [client.egress for client in settings.clients.values()]

    def wanted(packages: Packages) -> Wanted:
        return Wanted(network.interface, owner, network.cidr, packages, network.ipv6)

    on_vps = replace(
        wanted(vps.packages),
        listen_port=network.listen_port,
        public_interface=vps.public_interface,
        forwards=tuple(
            PublicPorts(name, forward.protocol, forward.port)
            for name, forward in settings.forwards.items()
            if forward.enabled
        ),
        metrics=vps.metrics,
        behind=tuple(
            (behind, name)
            for name, server in settings.servers.items()
            for behind in server.networks
        ),
        passes_on=len(egresses) > 1 or Egress.TUNNEL in egresses,
    )
    yield VPS, on_vps
    for name in settings.managed_servers:
        server = settings.servers[name]
        yield name, replace(wanted(server.packages), passes_on=bool(server.networks))


def _listed(head: str, problems: Sequence[HostProblem]) -> str:
    return "\n".join([head, *(f"  {problem.text}" for problem in problems)])
