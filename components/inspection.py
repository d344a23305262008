"""Whether the hosts can become part of the tunnel, said before anything is registered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi

from components.advice import Wanted
from components.arrival import arrival
from components.facts import PublicPorts
from components.left_over import removal
from components.lookup import Closed, HostProblem, Seen, look_up
from components.record import Record, read_record
from components.unexplained import (
    arriving_later,
    cut_off_before,
    drift_by_record,
    is_unexplained,
    machines_before,
    never_cleaned,
    never_let_go,
    never_made,
    never_removed,
    strays,
    without_vps,
)
from reach import Login, late_fields, logins_to
from reach.drift import Drift, drift_of_all
from reach.host_report import HostReport
from settings import VPS, Egress, Packages, Settings, Way
from settings.keys import SSH_PRIVATE_KEY_FIELD


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
        blank: hosts that were asked, and have no tunnel of this stack yet.
    """

    drift: Drift
    ways: Mapping[str, Way]
    gone: frozenset[str] = frozenset()
    arrivals: Mapping[str, pulumi.ResourceHookBinding] = field(default_factory=dict)
    removals: Mapping[str, pulumi.ResourceHookBinding] = field(default_factory=dict)
    blank: frozenset[str] = frozenset()


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
        return Inspection(Drift(), {name: first for name, (first, *_) in ways.items()})
    known = _known(settings, owner)
    logins = {name: ways for name, (ways, _) in known.items()}
    seen = look_up(known) if known else {}
    record = read_record() if is_unexplained(settings, seen, logins) else None
    later = {} if record is None else arriving_later(settings, seen, record, logins)
    seen = {**seen, **later}
    found = [problem for each in seen.values() for problem in each.problems]
    found += _cut_off(settings, known, seen)
    found += without_vps(settings, seen, logins)
    before: Mapping[str, Closed] = {}
    if record is not None:
        before = machines_before(record, logins)
        found += never_let_go(before, record)
        found += never_cleaned(settings, record)
        found += cut_off_before(settings, record, logins)
        found += never_made(settings, record)
        found += never_removed(settings, seen, record, logins)
    _tell(found)
    answered = {name: each.way for name, each in seen.items() if each.way}
    arrivals = {name: arrival(name, logins[name][each.way or 0]) for name, each in later.items()}
    for name, number in answered.items():
        if name in later:
            continue
        pulumi.log.info(
            f"{name} is reached by {logins[name][number]}, since no way before that one leads"
            " there from here. Where the last `pulumi up` took another one, its commands run once"
            " more, which changes nothing there."
        )
    taken = {name: each[answered.get(name, 0)] for name, each in ways.items()}
    drift = drift_of_all(settings, {name: each.report for name, each in seen.items()})
    blank = frozenset(
        name
        for name, each in seen.items()
        if each.way is not None and each.report is None and name not in later
    )
    inspection = Inspection(drift, taken, blank=blank)
    if record is None:
        _warn_of_drift(drift.lines())
        return inspection
    gone = {name: machine for name, machine in before.items() if machine.gone}
    _warn_of_gone(gone)
    so_far = replace(inspection, gone=frozenset(gone), arrivals=arrivals)
    return _explained(settings, seen, logins, record, so_far)


def _known(settings: Settings, owner: str) -> Mapping[str, tuple[Sequence[Login], Wanted]]:
    """The hosts that can be looked at, and one line about the others."""
    known: dict[str, tuple[Sequence[Login], Wanted]] = {}
    unknown: list[str] = []
    for name, wanted in _hosts(settings, owner):
        if settings.is_forgotten(name):
            continue
        logins = logins_to(settings, name)
        if logins is None:
            unknown.append(name)
        else:
            known[name] = (logins, wanted)
    if unknown:
        _tell_unknown(settings, unknown)
    return known


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
    _warn("This may keep the tunnel from working:", [each for each in found if each.uncertain])
    _warn("The tunnel works, but could be faster:", [each for each in found if each.slow])
    problems = [problem for problem in found if not problem.warns]
    if problems:
        in_preview = pulumi.runtime.is_dry_run()
        if not in_preview or not all(problem.unreachable for problem in problems):
            raise LookUpError(problems)
        _warn("Hosts that can't be reached now, without which `pulumi up` won't begin:", problems)


def _explained(
    settings: Settings,
    seen: Mapping[str, Seen],
    logins: Mapping[str, Sequence[Login]],
    record: Record,
    so_far: Inspection,
) -> Inspection:
    """The same with what the record explains."""
    left = strays(settings, seen, record, logins)
    drift = so_far.drift.and_also(drift_by_record(settings, seen, record, left, logins))
    named = [
        f"{name}: {part.value} {entry}: no stack has it"
        for name, entries in left.items()
        for part, entry in entries
    ]
    _warn_of_drift([*drift.lines(), *named])
    removals = {
        name: removal(name, logins[name], settings.network.interface, entries)
        for name, entries in left.items()
    }
    return replace(so_far, drift=drift, removals=removals)


def _warn(head: str, problems: Sequence[HostProblem]) -> None:
    if problems:
        pulumi.log.warn(_listed(head, problems))


def _warn_of_gone(gone: Mapping[str, Closed]) -> None:
    if gone:
        head = "Machines that are taken for gone. What they have of the tunnel stays on them:"
        lines = [f"  {name} was {each.login}: {each.why}" for name, each in gone.items()]
        pulumi.log.warn("\n".join([head, *lines]))


def _warn_of_drift(lines: Sequence[str]) -> None:
    if lines:
        head = "Hosts are not as the last `pulumi up` left them; this one puts that right:"
        pulumi.log.warn("\n".join([head, *(f"  {line}" for line in lines)]))


def _cut_off(
    settings: Settings,
    known: Mapping[str, tuple[Sequence[Login], Wanted]],
    seen: Mapping[str, Seen],
) -> Iterator[HostProblem]:
    """Servers that are reached through the tunnel, and would lose it before they are told why."""
    for name, each in seen.items():
        if each.way is None or each.report is None:
            continue
        login = known[name][0][each.way]
        if login.through is None:
            continue
        for breaks in _breaks(settings, name, each.report):
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
