"""Any sequence of changes and crashes ends in exactly the rules and flows of the final forwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant

from tests.host.sequences import PUBLIC, Changes, Flow, Visitor, run_sequences, stage
from tests.host.tunnel import Tunnel, forwards_in

PORTS = (80, 443, 5000)
OWN = "-s 203.0.113.10 -d 198.51.100.9"  # connections of the VPS itself


@dataclass(frozen=True)
class Forward:
    """One port to one port."""

    protocol: str
    port: int
    target: str
    target_port: int

    def lines(self) -> str:
        """For the helper."""
        return f"{self.protocol} {self.port} -> {self.target}:{self.target_port}"

    def has(self, flow: Flow) -> bool:
        """Whether a flow is this forward's."""
        return flow[:4] == (self.protocol, self.port, self.target, self.target_port)


@pytest.fixture(scope="module")
def tunnel() -> Iterator[tuple[Tunnel, Visitor]]:
    """One for all sequences: each begins without forwards and flows."""
    with stage([(protocol, PUBLIC, port) for port in PORTS for protocol in ("udp", "tcp")]) as both:
        yield both


class Sequence(Changes[Forward]):
    """The rules are the forwards' after each change."""

    names = ("http", "https", "game", "game-2")
    drawn = st.builds(
        Forward,
        st.sampled_from(["tcp", "udp"]),
        st.sampled_from(PORTS),
        st.sampled_from(["172.16.0.4", "172.16.0.6"]),
        st.sampled_from([80, 8080]),
    )
    last_step = 9

    def __init__(self) -> None:
        super().__init__()
        make = f"conntrack -I {OWN} -p udp --sport 3000 --timeout 3600"
        self.vps.machine.run("; ".join(f"{make} --dport {port}" for port in PORTS))

    @invariant()
    def the_rules_are_those_of_the_forwards(self) -> None:
        """Of an interrupted one, the old or the new, until it is run again."""
        found = forwards_in("\n".join(self.now.rules), "wg0")
        wanted = [(name, forward.lines()) for name, forward in self.forwards.items()]
        for name, forward in self.interrupted.items():
            mine = [entry for entry in found if entry[0] == name]
            assert len(mine) <= 1
            assert set(mine) <= {*wanted, (name, forward.lines() if forward else "")}
        settled = [entry for entry in found if entry[0] not in self.interrupted]
        assert settled == sorted(entry for entry in wanted if entry[0] not in self.interrupted)

    @invariant()
    def own_connections_of_the_vps_run_on(self) -> None:
        """To ports with the numbers of forwarded ones."""
        own = self.vps.machine.run(f"conntrack -L {OWN}").stdout.splitlines()
        assert len(own) == len(PORTS)

    def end(self) -> None:
        """Nothing is left when the last is removed."""
        super().end()
        self.the_rules_are_those_of_the_forwards()
        left = self.remove_all()
        assert (left.ours(), left.flows) == ([], set())


def test_any_sequence_ends_in_exactly_the_final_rules_and_flows(
    tunnel: tuple[Tunnel, Visitor], record_property: Callable[[str, object], None]
) -> None:
    Sequence.vps, Sequence.visitor = tunnel
    run_sequences(Sequence, 15, record_property)
    assert Sequence.seen, "there were no flows to lose"


def test_a_removal_that_was_killed_is_finished_before_the_same_forward_comes_back(
    tunnel: tuple[Tunnel, Visitor],
) -> None:
    """That ends its flows, as the removal would have, and those of no other."""
    Sequence.vps, Sequence.visitor = tunnel
    sequence = Sequence()
    sequence.change("https", Forward("tcp", 443, "172.16.0.4", 8080))
    http = Forward("tcp", 80, "172.16.0.4", 8080)
    sequence.change("http", http)
    sequence.change("http", None, step=1)
    assert sequence.interrupted
    before = {flow.port for flow in sequence.now.flows}
    sequence.change("http", http)
    assert (before, {flow.port for flow in sequence.now.flows}) == ({80, 443}, {443})
    sequence.end()
