"""Any sequence of changes among every kind of forward ends in what the last ones alone would be.

As test_forwards' and its like, but for ranges, both protocols, pauses, lists, limits and source
addresses, of which one forward has rules in several chains. Hypothesis draws the sequences;
iptables, conntrack and kill -9 are real.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.host.machine import Machine
from tests.host.sequences import at_rest, run_sequences
from tests.host.test_forwards import FOREIGN_RULES, FOREIGN_RULES6
from tests.host.tunnel import KILLED, Tunnel

VISITOR, VISITOR6 = "203.0.113.1", "fd00:113::1"
TARGETS6 = {f"172.16.0.{number}": f"fd5c:91e2:7a3b::{number}" for number in (4, 6)}
FIRST, LAST = 5000, 5003  # the ports that are knocked at
NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.integers(min_value=1, max_value=16)
FLOW = re.compile(
    rf"udp .* src=(?:{re.escape(VISITOR)}|{VISITOR6}) dst=\S+ sport=\d+ dport=(\d+) "
    r"(?:packets=\d+ bytes=\d+ )?(?:\[UNREPLIED\] )?src=(172\.\S+|fd5c:\S+) dst=(\S+) sport=(\d+)"
)
KNOCK = f"""
import socket
for port in range({FIRST}, {LAST} + 1):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", ("203.0.113.10", port))
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"?", ("fd00:113::10", port))
"""


@dataclass(frozen=True)
class Forward:
    """One forward, as the stack would say it."""

    protocol: str
    first: int
    length: int
    target: str
    remapped: int
    paused: bool
    listed: bool | None  # whether the visitor is on its list; None without a list
    limit: tuple[int, int] | None
    source_address: str
    ipv6: bool

    def lines(self) -> str:
        """For the helper."""
        there = self.first + self.remapped
        lines = [f"{self.protocol} {self.ports(self.first)} -> {self.target}:{self.ports(there)}"]
        if self.ipv6:
            lines.append(f"ipv6 {TARGETS6[self.target]}")
        if self.paused:
            lines.append("paused")
        if self.listed is not None:
            visitors = f",{VISITOR}/32,{VISITOR6}/128" if self.listed else ""
            lines.append(f"from 198.51.100.0/24,2001:db8::/32{visitors}")
        if self.limit is not None:
            lines += [f"limit-new {self.limit[0]}", f"limit-concurrent {self.limit[1]}"]
        if self.source_address == "tunnel":
            lines.append("source-address tunnel")
        return "\n".join(lines)

    def ports(self, first: int) -> str:
        return f"{first}-{first + self.length - 1}" if self.length > 1 else str(first)

    def has(self, port: int, target: str, back: str, target_port: int) -> bool:
        """Whether a visitor's UDP flow is this forward's."""
        return (
            "udp" in self.protocol
            and not self.paused
            and self.listed is not False
            and self.first <= port < self.first + self.length
            and target in {self.target, self.ipv6 and TARGETS6[self.target]}
            and target_port == port + self.remapped
            and (back in {VISITOR, VISITOR6}) == (self.source_address == "client")
        )


FORWARDS = st.builds(
    Forward,
    st.sampled_from(["tcp", "udp", "udp", "tcp+udp"]),
    st.integers(FIRST, LAST),
    st.integers(1, 3),
    st.sampled_from(["172.16.0.4", "172.16.0.6"]),
    st.sampled_from([0, 0, 1, 100]),
    st.booleans(),
    st.sampled_from([None, None, True, False]),
    st.sampled_from([None, (5, 5), (3333, 65535)]),
    st.sampled_from(["client", "tunnel"]),
    st.booleans(),
)


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Tunnel, Machine]]:
    """A VPS for all sequences, and its visitor."""
    with Machine() as host, Machine() as outside:
        host.join(outside, "ens6 203.0.113.10/24", f"eth0 {VISITOR}/24")
        host.run("ip -6 address add fd00:113::10/64 dev ens6 nodad")
        outside.run(f"ip -6 address add {VISITOR6}/64 dev eth0 nodad")
        host.run("iptables-restore -c --noflush", stdin=FOREIGN_RULES)
        host.run("ip6tables-restore -c --noflush", stdin=FOREIGN_RULES6)
        # Nothing but the helper shall end a flow while a sequence runs.
        host.run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3600")
        vps = Tunnel(host)
        vps.set_up_vps()
        vps.call("interface", stdin=vps.vps_settings() + "ipv6 fd5c:91e2:7a3b::1/64\n")
        yield vps, outside


class Sequence(RuleBasedStateMachine):
    """Operations on one VPS, and what must be true after each."""

    vps: Tunnel
    visitor: Machine
    seen: ClassVar[list[int]]  # how many flows there were before changes

    def __init__(self) -> None:
        super().__init__()
        names = self.vps.machine.run(f"ls {self.vps.files}/forwards.d").stdout.split()
        for name in names:
            self.vps.remove(name)
        self.vps.machine.run("conntrack -F; conntrack -F -f ipv6")
        self.forwards: dict[str, Forward] = {}
        self.interrupted: dict[str, Forward | None] = {}

    def saved_rules(self, *, of: set[str] | None = None, but: set[str] | None = None) -> list[str]:
        """Rules of some forwards, or all rules but those of some, with counters."""
        saved = self.vps.machine.run("iptables-save -c; ip6tables-save -c").stdout.splitlines()
        kept = []
        for line in saved:
            name = re.search(r'"rt:wg0:([^"]+)"', line)
            if of is not None:
                wanted = name is not None and name[1] in of
            else:
                wanted = line[:1] == "[" and not (name and name[1] in (but or set()))
            # What passes by our own jumps and gates counts there, whichever forward it is for.
            if wanted and (name or "RT-wg0" not in line):
                kept.append(line)
        return kept

    def flows(self) -> set[tuple[int, str, str, int]]:
        """The visitor's translated ones: port, target, whom it answers, its port."""
        look = "for family in ipv4 ipv6; do conntrack -L -f $family -p udp 2>/dev/null; done"
        listed = self.vps.machine.run(look).stdout.splitlines()
        found = [FLOW.search(line) for line in listed]
        return {(int(flow[1]), flow[2], flow[3], int(flow[4])) for flow in found if flow}

    def change(self, name: str, forward: Forward | None, step: int = 0) -> None:
        """Create, change or remove a forward; or be killed at a step of that."""
        self.visitor.run(f"python3 -c '{KNOCK}'")
        touched = {name, *self.interrupted}
        others, flows = at_rest(lambda: (self.saved_rules(but=touched), self.flows()))
        crash = step or ""
        if forward is None:
            status = self.vps.remove(name, crash_at=crash, check=not step).status
        else:
            status = self.vps.put(name, forward.lines(), crash_at=crash, check=not step).status
        assert status in {0, KILLED}
        assert self.saved_rules(but=touched) == others
        if status == KILLED:
            self.interrupted[name] = forward
            return
        self.interrupted.pop(name, None)
        self.forwards.pop(name, None)
        if forward is not None:
            self.forwards[name] = forward
        if not self.interrupted:
            self.seen.append(len(flows))
            alive = {
                flow for flow in flows if any(each.has(*flow) for each in self.forwards.values())
            }
            assert self.flows() == alive

    @rule(name=NAMES, forward=st.none() | FORWARDS)
    def put_or_remove(self, name: str, forward: Forward | None) -> None:
        self.change(name, forward)

    @precondition(lambda self: not self.interrupted)
    @rule(name=NAMES, forward=st.none() | FORWARDS, step=STEPS)
    def crash(self, name: str, forward: Forward | None, step: int) -> None:
        self.change(name, forward, step)

    @precondition(lambda self: self.interrupted)
    @rule()
    def run_again(self) -> None:
        for name, forward in list(self.interrupted.items()):
            self.change(name, forward)

    @rule()
    def restart(self) -> None:
        self.vps.machine.run("wg-quick down wg0 2>/dev/null; wg-quick up wg0 2>/dev/null")

    def teardown(self) -> None:
        """The rules are those of a VPS that never saw anything but the last forwards."""
        for name, forward in list(self.interrupted.items()):
            self.change(name, forward)
        # By the helper's own words, too, which compare rules and files.
        told = [line.split() for line in self.vps.status() if line.startswith("forward ")]
        assert {name: state for _, name, state, *_ in told} == {
            name: "paused" if each.paused else "ok" for name, each in self.forwards.items()
        }
        names = set(self.forwards)
        ended = [line.partition(" ")[2] for line in self.saved_rules(of={"a", "b", "c"})]
        for name in names:
            self.vps.remove(name)
        assert self.saved_rules(of={"a", "b", "c"}) == []
        for name, forward in self.forwards.items():
            self.vps.put(name, forward.lines())
        anew = [line.partition(" ")[2] for line in self.saved_rules(of={"a", "b", "c"})]
        assert sorted(ended) == sorted(anew)


def test_any_sequence_ends_in_exactly_the_final_rules_and_flows(
    machines: tuple[Tunnel, Machine], record_property: Callable[[str, object], None]
) -> None:
    class Here(Sequence):
        vps, visitor = machines
        seen: ClassVar = []

    record_property("tried", run_sequences(Here, steps=12))
    assert any(Here.seen), "there were no flows to lose"
