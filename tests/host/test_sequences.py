"""Any sequence of changes and crashes ends in exactly the rules and flows of the final forwards.

Hypothesis draws the sequences; iptables, conntrack and kill -9 are real. Forwards overlap: on a
rename, a swap or a move Pulumi creates the new before it deletes the old.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Self

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.host.machine import Machine
from tests.host.sequences import at_rest, run_sequences
from tests.host.test_forwards import FOREIGN_RULES
from tests.host.tunnel import KILLED, Tunnel, forwards_in

PORTS = (80, 443, 5000)
NAMES = st.sampled_from(["http", "https", "game", "game-2"])
LINES = st.builds(
    "{} {} -> 172.16.0.{}:{}".format,
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(PORTS),
    st.sampled_from([4, 6]),
    st.sampled_from([80, 8080]),
)
STEPS = st.integers(min_value=1, max_value=9)

# A few packets to each port, so that rules have counters and flows exist. One process for all.
KNOCKER = f"""
import socket
import sys
for _ in sys.stdin:
    for port in {PORTS}:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", ("203.0.113.10", port))
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(("203.0.113.10", port))
    print("knocked", flush=True)
"""


OWN = "-p udp --sport 3000 --timeout 3600"

FLOW = re.compile(
    r"(tcp|udp) .* src=203\.0\.113\.1 dst=203\.0\.113\.10 sport=(\d+) dport=(\d+) "
    r"(?:packets=\d+ bytes=\d+ )?(?:\[UNREPLIED\] )?src=(172\.\S+) dst=\S+ sport=(\d+)"
)


@dataclass
class Stage:
    """The VPS, and who knocks at its ports from outside."""

    vps: Tunnel
    knocker: subprocess.Popen[str]

    def knock(self) -> None:
        """Wait until all ports were knocked at."""
        assert self.knocker.stdin is not None
        assert self.knocker.stdout is not None
        self.knocker.stdin.write("\n")
        self.knocker.stdin.flush()
        assert self.knocker.stdout.readline() == "knocked\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One for all sequences: each begins without forwards and flows."""
    with Machine() as host, Machine() as outside:
        host.join(outside, "ens6 203.0.113.10/24", "eth0 203.0.113.1/24")
        host.run("iptables-restore -c --noflush", stdin=FOREIGN_RULES)
        # Nothing but the helper shall end a flow while a sequence runs.
        host.run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3600")
        host.run("sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_sent=3600")
        vps = Tunnel(host)
        vps.set_up_vps()
        knocker = outside.start(f"exec python3 -c '{KNOCKER}'")
        yield Stage(vps, knocker)
        knocker.kill()
        knocker.communicate()


def mapping(line: str) -> tuple[str, str, str]:
    """Protocol, public port and target of a forward."""
    protocol, port, _, target = line.split()
    return protocol, port, target


@dataclass(frozen=True)
class Look:
    """What the VPS holds at a moment."""

    rules: list[str]  # all tables, with counters
    flows: set[tuple[str, str, str, str]]  # translated ones: protocol, port, target, visitor's port
    own: int  # connections of the VPS itself
    files: list[str]  # unfinished ones

    @classmethod
    def at(cls, vps: Tunnel) -> Self:
        """Look at all at once."""
        words = f"iptables-save -c; conntrack -L 2>/dev/null; find {vps.files} -name '.*'"
        lines = vps.machine.run(words).stdout.splitlines()
        listed = [FLOW.search(line) for line in lines]
        return cls(
            [line for line in lines if line[:1] == "["],
            {(flow[1], flow[3], f"{flow[4]}:{flow[5]}", flow[2]) for flow in listed if flow},
            sum(" src=203.0.113.10 dst=198.51.100.9 " in line for line in lines),
            [line for line in lines if line.startswith(vps.files)],
        )

    def others(self) -> list[str]:
        """Everybody else's rules."""
        return [rule for rule in self.rules if "RT-wg0-" not in rule]

    def without(self, names: set[str]) -> list[str]:
        """The forwards' rules but those of some names, in their order."""
        tags = [f'"rt:wg0:{name}"' for name in names]
        ours = [rule for rule in self.rules if "A RT-wg0-DNAT" in rule]
        return [rule for rule in ours if not any(tag in rule for tag in tags)]


def assert_untouched(before: list[str], now: list[str]) -> None:
    """The same rules, none of them made anew; a busy machine may count a packet late."""
    counted = [
        [re.findall(r"\d+", rule.partition("]")[0]) for rule in rules] for rules in (before, now)
    ]
    texts = [[rule.partition("] ")[2] for rule in rules] for rules in (before, now)]
    assert texts[0] == texts[1]
    for old, new in zip(*counted, strict=True):
        assert int(new[0]) >= int(old[0])


class Sequence(RuleBasedStateMachine):
    """Operations on one VPS, and what must be true after each."""

    stage: Stage
    seen: ClassVar[list[int]]  # how many flows there were before changes

    def __init__(self) -> None:
        super().__init__()
        self.vps = self.stage.vps
        for name, _ in self.vps.forwards():
            self.vps.remove(name)
        own = [
            f"conntrack -I -s 203.0.113.10 -d 198.51.100.9 {OWN} --dport {port}" for port in PORTS
        ]
        self.vps.machine.run("; ".join(["conntrack -F", *own]))
        self.forwards: dict[str, str] = {}
        self.interrupted: dict[str, str | None] = {}
        self.now = Look.at(self.vps)

    def change(self, name: str, line: str | None, step: int = 0) -> None:
        """Create, change or remove a forward; or be killed at a step of that."""
        self.stage.knock()
        before = at_rest(partial(Look.at, self.vps))
        crash = step or ""
        if line is None:
            status = self.vps.remove(name, crash_at=crash, check=not step).status
        else:
            status = self.vps.put(name, line, crash_at=crash, check=not step).status
        assert status in {0, KILLED}
        self.now = Look.at(self.vps)
        # What was interrupted is finished by the next run, whichever it is for.
        touched = {name, *self.interrupted}
        assert_untouched(before.without(touched), self.now.without(touched))
        assert_untouched(before.others(), self.now.others())
        if status == KILLED:
            self.interrupted[name] = line
            return
        self.interrupted.pop(name, None)
        self.forwards.pop(name, None)
        if line is not None:
            self.forwards[name] = line
        if not self.interrupted:
            self.seen.append(len(before.flows))
            claimed = {mapping(forward) for forward in self.forwards.values()}
            assert self.now.flows == {flow for flow in before.flows if flow[:3] in claimed}

    @rule(name=NAMES, line=st.none() | LINES)
    def put_or_remove(self, name: str, line: str | None) -> None:
        self.change(name, line)

    @precondition(lambda self: not self.interrupted)
    @rule(name=NAMES, line=st.none() | LINES, step=STEPS)
    def crash(self, name: str, line: str | None, step: int) -> None:
        self.change(name, line, step)

    @precondition(lambda self: self.interrupted)
    @rule()
    def run_again(self) -> None:
        for name, line in list(self.interrupted.items()):
            self.change(name, line)

    @rule()
    def restart(self) -> None:
        self.vps.machine.run("wg-quick down wg0 2>/dev/null; wg-quick up wg0 2>/dev/null")
        self.now = Look.at(self.vps)

    @invariant()
    def the_rules_are_those_of_the_forwards(self) -> None:
        """Of an interrupted one, the old or the new, until it is run again."""
        found = forwards_in("\n".join(self.now.rules), "wg0")
        settled = [entry for entry in found if entry[0] not in self.interrupted]
        wanted = [entry for entry in self.forwards.items() if entry[0] not in self.interrupted]
        assert settled == sorted(wanted)
        for name, line in self.interrupted.items():
            mine = [entry[1] for entry in found if entry[0] == name]
            assert len(mine) <= 1
            assert set(mine) <= {line, self.forwards.get(name)}

    @invariant()
    def own_connections_of_the_vps_run_on(self) -> None:
        assert self.now.own == len(PORTS)

    def teardown(self) -> None:
        for name, line in list(self.interrupted.items()):
            self.change(name, line)
        assert self.vps.forwards() == sorted(self.forwards.items())
        assert self.now.files == []


def test_any_sequence_ends_in_exactly_the_final_rules_and_flows(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    class Here(Sequence):
        seen: ClassVar = []

    Here.stage = stage
    record_property("tried", run_sequences(Here, steps=15))
    assert any(Here.seen), "there were no flows to lose"
