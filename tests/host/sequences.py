"""Random sequences of changes on a host: as many as the profile says, and counted.

Hypothesis draws them; iptables, conntrack and kill -9 are real. Forwards overlap: on a rename, a
swap or a move Pulumi creates the new before it deletes the old.
"""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.host.machine import Machine
from tests.host.test_forwards import FOREIGN_RULES
from tests.host.tunnel import KILLED, Tunnel

T = TypeVar("T")

# By the profile (tests/conftest.py). The last is the benchmark's: there are two kinds of sequences.
_SEQUENCES = {"fast": 10, "full": 20, "counted": 500}

PUBLIC, PUBLIC6 = "203.0.113.10", "fd00:113::10"
VISITOR, VISITOR6 = "203.0.113.1", "fd00:113::1"


class Sequence(RuleBasedStateMachine):
    """One that is counted if it comes to its end."""

    finished: ClassVar[int] = 0

    def end(self) -> None:
        """Do what is still to be done, and see that all is as it should be."""

    def teardown(self) -> None:
        """Not for a sequence that has failed, whose reason would be lost; nor for one given up.

        Hypothesis gives many up half-way, for its own reasons.
        """
        if sys.exception() is None:
            self.end()
            type(self).finished += 1


def run_sequences(
    kind: type[Sequence], steps: int, record_property: Callable[[str, object], None]
) -> None:
    """Try sequences of up to so many steps; as `tried`, how many came to their end.

    The kind itself, not one made here of it: what failed before is kept by the text of the class,
    and two kinds with one text would each try, and then forget, what the other has failed at.
    """
    kind.finished = 0
    try:
        run_state_machine_as_test(
            kind,
            settings=settings(
                max_examples=_SEQUENCES[os.environ.get("HYPOTHESIS_PROFILE", "fast")],
                stateful_step_count=steps,
                deadline=None,
                # To shrink takes minutes here.
                phases=(Phase.explicit, Phase.reuse, Phase.generate),
            ),
        )
    finally:
        record_property("tried", kind.finished)


def at_rest(look: Callable[[], T]) -> T:
    """What two looks in a row have shown: a packet may still be on its way during the first."""
    seen = look()
    while (again := look()) != seen:
        seen = again
    return seen


class Flow(NamedTuple):
    """A visitor's connection that was translated."""

    protocol: str
    port: int  # that the visitor asked for
    target: str
    target_port: int
    back: str  # whom the target answers
    source: int  # the visitor's port


_FLOW = re.compile(
    rf"(tcp|udp) .* src=(?:{re.escape(VISITOR)}|{VISITOR6}) dst=\S+ sport=(\d+) dport=(\d+) "
    r"(?:packets=\d+ bytes=\d+ )?(?:\[UNREPLIED\] )?src=(172\.\S+|fd5c:\S+) dst=(\S+) sport=(\d+)"
)
_LOOK = "iptables-save -c; ip6tables-save -c; conntrack -L; conntrack -L -f ipv6"


@dataclass(frozen=True)
class Look:
    """What the VPS holds at a moment."""

    rules: list[str]  # all tables, with counters
    flows: set[Flow]

    @classmethod
    def at(cls, vps: Tunnel) -> Self:
        """Look at all at once."""
        lines = vps.machine.run(_LOOK).stdout.splitlines()
        flows = {
            Flow(found[1], int(found[3]), found[4], int(found[6]), found[5], int(found[2]))
            for found in map(_FLOW.search, lines)
            if found
        }
        return cls([line for line in lines if line[:1] == "["], flows)

    def without(self, names: set[str]) -> list[str]:
        """Everybody's rules but those of some forwards, in their order."""
        return [
            rule
            for rule in self.rules
            # What passes by our own jumps and gates counts there, whichever forward it is for.
            if (_name(rule) or "RT-wg0" not in rule) and _name(rule) not in names
        ]

    def ours(self) -> list[str]:
        """All forwards' rules, without counters."""
        return [rule.partition("] ")[2] for rule in self.rules if _name(rule)]


def _name(rule: str) -> str | None:
    found = re.search(r'"rt:wg0:([^"]+)"', rule)
    return found and found[1]


def assert_untouched(before: list[str], now: list[str]) -> None:
    """The same rules, none of them made anew; a busy machine may count a packet late."""
    counted = [
        [re.findall(r"\d+", rule.partition("]")[0]) for rule in rules] for rules in (before, now)
    ]
    texts = [[rule.partition("] ")[2] for rule in rules] for rules in (before, now)]
    assert texts[0] == texts[1], texts
    for old, new in zip(*counted, strict=True):
        assert int(new[0]) >= int(old[0]), (before, now)


_KNOCKER = """
import socket
import sys
for line in sys.stdin:
    for (protocol, address, port), source in zip(PLACES, map(int, line.split())):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if protocol == "udp":
            knocker = socket.socket(family, socket.SOCK_DGRAM)
            knocker.bind(("", source))
            knocker.sendto(b"?", (address, port))
        else:
            knocker = socket.socket(family)
            knocker.bind(("", source))
            knocker.setblocking(False)
            knocker.connect_ex((address, port))
        knocker.close()
    print("knocked", flush=True)
"""


class Visitor:
    """Somebody outside who knocks at some places: protocols, addresses and ports."""

    def __init__(self, machine: Machine, places: list[tuple[str, str, int]]) -> None:
        self.machine = machine
        self._places = places
        program = shlex.quote(_KNOCKER.replace("PLACES", repr(places)))
        self._process = machine.start(f"exec python3 -c {program}")
        # None twice in a sequence: of two flows with one port to one target the kernel changes one.
        self._sources = cycle(range(10_000, 60_000))

    def knock(self) -> None:
        """A packet to each place, so that rules have counters and flows exist; wait for them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        sources = [str(next(self._sources)) for _ in self._places]
        self._process.stdin.write(f"{' '.join(sources)}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "knocked\n"

    def leave(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def stage(places: list[tuple[str, str, int]]) -> Iterator[tuple[Tunnel, Visitor]]:
    """A VPS for all sequences of a kind, among others' rules, and its visitor."""
    with Machine() as host, Machine() as outside:
        host.join(outside, f"ens6 {PUBLIC}/24", f"eth0 {VISITOR}/24")
        host.run("iptables-restore -c --noflush", stdin=FOREIGN_RULES)
        # Nothing but the helper shall end a flow while a sequence runs.
        host.run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3600")
        host.run("sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_sent=3600")
        vps = Tunnel(host)
        vps.set_up_vps()
        visitor = Visitor(outside, places)
        yield vps, visitor
        visitor.leave()


class Forward(Protocol):
    """One forward, as the stack would say it."""

    def lines(self) -> str:
        """For the helper."""

    def has(self, flow: Flow) -> bool:
        """Whether a flow is this forward's."""


F = TypeVar("F", bound=Forward)

# Of the kind that is run. No rule has a precondition: how many steps a helper has depends on the
# flows, so by the same draws it may be killed or not, and Hypothesis wants the same rules then.
_NAME = st.runner().flatmap(lambda kind: st.sampled_from(kind.names))
_FORWARD = st.runner().flatmap(lambda kind: st.none() | kind.drawn)
_STEP = st.runner().flatmap(lambda kind: st.integers(1, kind.last_step))


class Changes(Sequence, Generic[F]):
    """Changes of forwards on one VPS, and what must be true after each."""

    vps: Tunnel
    visitor: Visitor
    names: tuple[str, ...]
    drawn: st.SearchStrategy[F]  # a forward
    last_step: int  # of the helper's, at which it may be killed
    seen: ClassVar[int] = 0  # how many flows there were before changes

    def __init__(self) -> None:
        super().__init__()
        self.remove_all()
        self.vps.machine.run("conntrack -F; conntrack -F -f ipv6")
        self.forwards: dict[str, F] = {}
        self.interrupted: dict[str, F | None] = {}
        self.last: tuple[str, F | None] = (self.names[0], None)
        self.now = Look.at(self.vps)

    def remove_all(self) -> Look:
        """Remove every name, since what a killed run has left may be hidden; what there is then."""
        for name in self.names:
            self.vps.remove(name)
        return Look.at(self.vps)

    def change(self, name: str, forward: F | None, step: int = 0) -> None:
        """Create, change or remove a forward; or be killed at a step of that."""
        self.last = name, forward
        self.visitor.knock()
        before = at_rest(lambda: Look.at(self.vps))
        if forward is None:
            done = self.vps.remove(name, crash_at=step or "", check=False)
        else:
            done = self.vps.put(name, forward.lines(), crash_at=step or "", check=False)
        assert done.status in ({0, KILLED} if step else {0}), done.stderr
        self.now = Look.at(self.vps)
        # What was interrupted is finished by the next run, whichever it is for.
        touched = {name, *self.interrupted}
        assert_untouched(before.without(touched), self.now.without(touched))
        if done.status == KILLED:
            self.interrupted[name] = forward
            return
        others = [each for other, each in self.forwards.items() if other not in touched]
        half_way = [*others, *filter(None, self.interrupted.values())]
        had = [*self.forwards.values(), *half_way]
        resumed = name in self.interrupted
        self.interrupted.pop(name, None)
        self.forwards.pop(name, None)
        if forward is not None:
            self.forwards[name] = forward
        if not self.interrupted:
            type(self).seen += len(before.flows)
            alive = _flows_of([*self.forwards.values()], before.flows)
            # What was interrupted is finished first, and that ends what it has not got half-way.
            sure = _flows_of(half_way, alive) if resumed else alive
            ended = sure - self.now.flows
            assert not ended, ended
            nobodys = before.flows - _flows_of(had, before.flows)
            stayed = self.now.flows - alive
            assert all(flow in nobodys and self.may_stay(flow, others) for flow in stayed), stayed

    def may_stay(self, _flow: Flow, _others: list[F]) -> bool:
        """Whether a flow that was no forward's outlives a change, by those that it leaves alone."""
        return False

    @rule(name=_NAME, forward=_FORWARD)
    def put_or_remove(self, name: str, forward: F | None) -> None:
        self.change(name, forward)

    @rule(name=_NAME, forward=_FORWARD, step=_STEP)
    def crash(self, name: str, forward: F | None, step: int) -> None:
        self.finish()
        self.change(name, forward, step)

    @rule()
    def run_again(self) -> None:
        """What was interrupted, or else what was not: Pulumi may not know that it is done."""
        if self.interrupted:
            self.finish()
        else:
            self.change(*self.last)

    @rule()
    def restart(self) -> None:
        self.vps.machine.run("wg-quick down wg0 && wg-quick up wg0")
        self.now = Look.at(self.vps)

    def finish(self) -> None:
        """Run again what was interrupted."""
        for name, forward in list(self.interrupted.items()):
            self.change(name, forward)

    def end(self) -> None:
        """Nothing is unfinished then."""
        self.finish()
        assert self.vps.machine.run(f"find {self.vps.files} -name '.*'").stdout == ""


def _flows_of(forwards: list[F], flows: set[Flow]) -> set[Flow]:
    return {flow for flow in flows if any(forward.has(flow) for forward in forwards)}
