"""A VPN of the server's own beside the tunnel: visitors are answered by the tunnel all the same.

Its rules are written as the programs of such VPNs write them. It leads nowhere: what enters it is
lost. The VPS alone is still reached by the server's own line.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.host.dual import CLIENT6, SERVER6, Dual, dual
from tests.host.harm import added, set_otherwise
from tests.host.machine import Machine
from tests.host.watched import watched
from tests.host.world import CLIENT, HOME, SERVER, VPS, Call, call, serve
from tests.support import eventually, harmed

LONG = 30.0
BOX = "192.168.1.30"

# wg-quick's, of a file whose AllowedIPs are everything: each before all rules that there are.
WG_QUICK = (
    "ip {family} rule add not fwmark 51820 table {table}",
    "ip {family} rule add table main suppress_prefixlength 0",
)
# Tailscale's with an exit node, which has places of its own.
TAILSCALE = (
    "ip {family} rule add priority 5210 fwmark 0x80000/0xff0000 table main",
    "ip {family} rule add priority 5270 table {table}",
)
# What leaves by the address of one line, as where there are two.
TWO_LINES = ("ip {family} rule add priority 100 from {line} table {table}",)
TABLE = 51820
# The app's, which marks its own packets with a whole number.
MULLVAD = ("0x6d6f6c65", 1836018789)


@pytest.fixture(scope="module")
def ends() -> Iterator[Dual]:
    with dual() as made:
        for address in ("", "::"):
            made.world.serve(8081, address)
        made.server.run(
            "ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip link set vpn1 up;"
            f" ip address add 10.64.0.2/32 dev vpn0;"
            f" ip route add {VPS} via 192.0.2.1; ip route add {VPS} via 192.0.2.1 table {TABLE};"
            f" ip route add default dev vpn0 table {TABLE};"
            f" ip -6 route add default dev vpn0 table {TABLE}"
        )
        made.vps.put("web", f"tcp+udp 80 -> {SERVER}:8081\nipv6 {SERVER6}")
        yield made


@contextmanager
def vpn(server: Machine, rules: tuple[str, ...], family: str) -> Iterator[None]:
    """It comes up after the tunnel, and goes."""
    with added(server, *(rule.format(family=family, line=HOME, table=TABLE) for rule in rules)):
        yield


def answers(ends: Dual, protocol: str, family: str) -> str:
    """What a visitor hears."""
    return call(ends.client, protocol, ends.vps6 if family == "-6" else VPS, 80)


@pytest.mark.parametrize(
    ("rules", "family", "protocol"),
    [
        pytest.param(WG_QUICK, "-4", "tcp", id="wg-quick-tcp"),
        pytest.param(WG_QUICK, "-4", "udp", id="wg-quick-udp"),
        pytest.param(WG_QUICK, "-6", "tcp", id="wg-quick-ipv6-tcp"),
        pytest.param(WG_QUICK, "-6", "udp", id="wg-quick-ipv6-udp"),
        pytest.param(TAILSCALE, "-4", "tcp", id="tailscale-tcp"),
        # TCP is answered by the tunnel's address, UDP by that of the line.
        pytest.param(TWO_LINES, "-4", "udp", id="two-lines-udp"),
    ],
)
def test_visitors_are_answered_by_the_tunnel(
    ends: Dual, rules: tuple[str, ...], family: str, protocol: str
) -> None:
    """And told of until that is so, which a watcher sees to."""
    server, visitor = ends.world.server, CLIENT6 if family == "-6" else CLIENT
    assert answers(ends, protocol, family) == visitor
    with anew_in_the_end(ends):
        with ExitStack() as watching:
            with vpn(ends.server, rules, family):
                assert answers(ends, protocol, family) == "-"
                assert server.wrong() == ["routes"]
                watching.enter_context(watched(server))
                eventually(lambda: server.wrong() == [], LONG, "answers are still led elsewhere")
                assert answers(ends, protocol, family) == visitor
            eventually(lambda: answers(ends, protocol, family) == visitor, LONG, "none, without it")
            with vpn(ends.server, rules, family):
                eventually(
                    lambda: answers(ends, protocol, family) == visitor, LONG, "none any more"
                )
        assert server.wrong() == []


@contextmanager
def anew_in_the_end(ends: Dual) -> Iterator[None]:
    """The tunnel's rules come to the places that they have where no other is."""
    try:
        yield
    finally:
        for verb in ("down", "up"):
            ends.world.server.call(verb)


def priorities(ends: Dual) -> set[str]:
    """Those of the rules that lead answers back, of both families."""
    said = ends.server.run("ip -4 rule; ip -6 rule").stdout
    return {line.split(":")[0] for line in said.splitlines() if "fwmark 0x2000000/" in line}


def test_its_rules_come_before_others_where_they_must_alone(ends: Dual) -> None:
    """And stay where they are as long as no place is better."""
    server = ends.world.server
    assert priorities(ends) == {"7025"}
    with anew_in_the_end(ends), vpn(ends.server, TAILSCALE, "-4"):
        server.call("restore", crash_at="removed-way-back", check=False)
        assert priorities(ends) == {"7025"}
        server.call("restore")
        assert priorities(ends) == {"5209", "7025"}
    for priority, others in ((2, {"1", "7025"}), (1, {"7025"})):
        rules = (f"ip {{family}} rule add priority {priority} table {TABLE}",)
        with anew_in_the_end(ends), vpn(ends.server, rules, "-4"):
            server.call("restore")
            assert priorities(ends) == others
            server.call("restore", crash_at="removed-way-back")
    with harmed(ends.server, server.line("down"), server.line("up")):
        assert priorities(ends) == set()


def test_what_a_vpn_marks_by_a_whole_number_is_not_led_into_the_tunnel(ends: Dual) -> None:
    """Mullvad's, which is installed after the tunnel was set up: it could never connect."""
    mark, table = MULLVAD
    ways = f"ip route get 1.1.1.1 mark {mark}; ip -6 route get 2001:db8:9::1 mark {mark}"
    vpn = added(
        ends.server,
        f"ip rule add not fwmark {mark} lookup {table}",
        f"ip -6 rule add not fwmark {mark} lookup {table}",
        f"ip route add {VPS} via 192.0.2.1 table {table}",
        f"ip route add default dev vpn0 table {table}",
        f"ip -6 route add default dev vpn0 table {table}",
        "ip -6 route add default dev vpn0",
    )
    with anew_in_the_end(ends), vpn:
        assert " dev wg0 " not in ends.server.run(ways).stdout
        # Everything else goes by that VPN, but answers to visitors.
        assert " dev vpn0 " in ends.server.run("ip route get 1.1.1.1").stdout
        ends.world.server.call("restore")
        assert answers(ends, "tcp", "-4") == CLIENT
        assert " dev wg0 " not in ends.server.run(ways).stdout


def test_nothing_of_it_stays_when_the_tunnel_goes(ends: Dual) -> None:
    server = ends.world.server
    with (
        harmed(ends.server, server.line("down"), server.line("up")),
        vpn(ends.server, WG_QUICK, "-4"),
    ):
        before = ends.server.run("ip rule; ip -6 rule").stdout
        server.call("up")
        assert ends.server.run("ip rule; ip -6 rule").stdout != before
        server.call("down")
        assert ends.server.run("ip rule; ip -6 rule").stdout == before


def test_what_comes_in_is_not_led_back_by_a_mark_that_the_vpn_gives_it(ends: Dual) -> None:
    """wg-quick gives each datagram the mark of its connection, also those for a host behind."""
    server = ends.server
    restore = "iptables -t mangle -A PREROUTING -p udp -j CONNMARK --restore-mark"
    with Machine() as box:
        server.join(box, "lan0 192.168.1.20/24", f"eth0 {BOX}/24")
        box.run("ip route add default via 192.168.1.20")
        serve(box, 22)
        peer = f"{SERVER}/32,{SERVER6}/128,192.168.1.0/24"
        key = ends.vps.machine.run("wg show wg0 peers").stdout.strip()
        with (
            set_otherwise(ends.world.server, "network 192.168.1.0/24\n"),
            added(server, restore),
        ):
            ends.world.server.call("put-opening box", stdin=f"udp {BOX}:22")
            ends.vps.call("put-peer homelab", stdin=f"public-key {key}\nallowed-ips {peer}\n")
            ends.vps.put("box", f"udp 81 -> {BOX}:22")
            flow = Call(ends.client, "udp", VPS, 81)
            assert [flow.ask(), flow.ask()] == [CLIENT, CLIENT]
            server.run("ip rule del fwmark 0x2000000/0x2000000 iif wg0")
            assert flow.ask() == "-"
            assert ends.world.server.wrong() == ["routes"]
            ends.world.server.call("restore")
            assert flow.ask() == CLIENT
            flow.end()
            ends.vps.remove("box")
            ends.world.server.call("remove-opening box")
