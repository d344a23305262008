"""Any sequence of changes among every kind of forward ends in what the last ones alone would be.

As test_sequences' and its like, but for ranges, both protocols, pauses, lists, limits and source
addresses, of which one forward has rules in several chains.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from tests.host.sequences import (
    PUBLIC,
    PUBLIC6,
    VISITOR,
    VISITOR6,
    Changes,
    Flow,
    Look,
    Visitor,
    run_sequences,
    stage,
)
from tests.host.test_forwards import FOREIGN_RULES6
from tests.host.tunnel import Tunnel

TARGETS6 = {f"172.16.0.{number}": f"fd5c:91e2:7a3b::{number}" for number in (4, 6)}
FIRST, LAST = 5000, 5003  # the ports that are knocked at


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

    def takes(self, port: int) -> bool:
        """Whether it translates what visitors send by UDP to a port."""
        there = self.first <= port < self.first + self.length
        return there and "udp" in self.protocol and not self.paused

    def has(self, flow: Flow) -> bool:
        """Whether a visitor's UDP flow is this forward's."""
        return (
            self.takes(flow.port)
            and self.listed is not False
            and flow.target in {self.target, self.ipv6 and TARGETS6[self.target]}
            and flow.target_port == flow.port + self.remapped
            and (flow.back in {VISITOR, VISITOR6}) == (self.source_address == "client")
        )


@pytest.fixture(scope="module")
def tunnel() -> Iterator[tuple[Tunnel, Visitor]]:
    """Of both families, for all sequences: each begins without forwards and flows."""
    places = [
        ("udp", address, port) for port in range(FIRST, LAST + 1) for address in (PUBLIC, PUBLIC6)
    ]
    with stage(places) as (vps, visitor):
        host = vps.machine
        host.run(f"ip -6 address add {PUBLIC6}/64 dev ens6 nodad")
        visitor.machine.run(f"ip -6 address add {VISITOR6}/64 dev eth0 nodad")
        host.run("ip6tables-restore -c --noflush", stdin=FOREIGN_RULES6)
        vps.call("interface", stdin=vps.vps_settings() + "ipv6 fd5c:91e2:7a3b::1/64\n")
        yield vps, visitor


class Sequence(Changes[Forward]):
    """At its end the rules are those of a VPS that never saw anything but the last forwards."""

    names = ("a", "b", "c")
    drawn = st.builds(
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
    last_step = 16

    def may_stay(self, flow: Flow, others: list[Forward]) -> bool:
        """Where two overlap, until either changes: one's rules may meet what the other translates.

        A range is masqueraded as a whole, whichever port became which: iptables cannot compare the
        two ports of a connection, and a rule for each port would be thousands. So such a flow has
        the target of one and the way back of the other. A list that lets a visitor in likewise
        lets it pass by the other's list. Whoever overlaps is about to change, and that ends it.
        """
        return sum(other.takes(flow.port) for other in others) > 1

    def end(self) -> None:
        """By the helper's own words, too, which compare rules and files."""
        super().end()
        told = [line.split() for line in self.vps.status() if line.startswith("forward ")]
        assert {name: state for _, name, state, *_ in told} == {
            name: "paused" if each.paused else "ok" for name, each in self.forwards.items()
        }
        left = self.remove_all()
        assert (left.ours(), left.flows) == ([], set())
        for name, forward in self.forwards.items():
            self.vps.put(name, forward.lines())
        assert sorted(self.now.ours()) == sorted(Look.at(self.vps).ours())


def test_any_sequence_ends_in_exactly_the_final_rules_and_flows(
    tunnel: tuple[Tunnel, Visitor], record_property: Callable[[str, object], None]
) -> None:
    Sequence.vps, Sequence.visitor = tunnel
    run_sequences(Sequence, 12, record_property)
    assert Sequence.seen, "there were no flows to lose"


def plain(
    first: int, length: int, target: str, remapped: int = 0, source_address: str = "client"
) -> Forward:
    """A forward of UDP for everybody."""
    return Forward(
        protocol="udp",
        first=first,
        length=length,
        target=target,
        remapped=remapped,
        paused=False,
        listed=None,
        limit=None,
        source_address=source_address,
        ipv6=False,
    )


def test_a_flow_of_two_that_overlap_stays_until_either_changes(
    tunnel: tuple[Tunnel, Visitor],
) -> None:
    """A third that changes elsewhere does not end it; see `may_stay`."""
    Sequence.vps, Sequence.visitor = tunnel
    for changed in ("a", "b"):
        sequence = Sequence()
        sequence.change("a", plain(5000, 1, "172.16.0.4", remapped=1))
        sequence.change("b", plain(5000, 2, "172.16.0.4", source_address="tunnel"))
        sequence.change("c", plain(5003, 1, "172.16.0.6"))
        # To the first's target port, which is not the second's, and back as by the second.
        wanted = (5000, "172.16.0.4", 5001, "172.16.0.1")
        mixed = {flow for flow in sequence.now.flows if flow[1:5] == wanted}
        assert mixed
        sequence.change(changed, None)
        assert not mixed & sequence.now.flows
        sequence.end()
