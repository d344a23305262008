"""Packets: through a forward to the server and back, with the visitor's address; no others."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.host.harm import ROUTER, added
from tests.host.machine import Machine
from tests.host.waiting import Waiting
from tests.host.world import CLIENT, HOME, SERVER, VPS, Call, World, call, serve, served, world
from tests.support import eventually, harmed


@pytest.fixture(scope="module")
def ends() -> Iterator[World]:
    """One world for all: each test uses ports of its own."""
    with world() as made:
        for port in (8080, 8081):
            made.serve(port)
        yield made


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_the_service_sees_the_visitors_own_address(ends: World, protocol: str) -> None:
    """And the answer finds back through the tunnel, although the server has a line of its own."""
    ends.vps.put("web", f"{protocol} 80 -> {SERVER}:8080")
    assert call(ends.client, protocol, VPS, 80) == CLIENT
    ends.vps.remove("web")
    assert call(ends.client, protocol, VPS, 80) in {"refused", "closed"}


def test_a_udp_service_that_is_bound_to_the_tunnels_address_answers_too(ends: World) -> None:
    """It answers from that address by itself; one bound to any address needs help, see above."""
    ends.serve(8082, address=SERVER)
    ends.vps.put("bound", f"udp 82 -> {SERVER}:8082")
    assert call(ends.client, "udp", VPS, 82) == CLIENT
    ends.vps.remove("bound")


def test_udp_that_came_before_the_rules_is_led_on_when_they_are_there(ends: World) -> None:
    """At the VPS's start. A player's computer asks again and again, by the same port."""
    vps = ends.vps.machine
    ends.vps.put("game", f"udp 84 -> {SERVER}:8080")
    flow = Call(ends.client, "udp", VPS, 84)
    assert flow.ask() == CLIENT
    with harmed(vps, "iptables -t nat -F RT-wg0-VISIT; conntrack -F", ends.vps.line("up")):
        assert flow.ask() in {"-", "closed"}
        serve(vps, 85)
        own = Call(ends.client, "udp", VPS, 85)
        assert own.ask() == CLIENT
        known = "conntrack -L -p udp --orig-port-dst 85 2>/dev/null | grep -c src"
        assert vps.run(known).stdout == "1\n"
    assert flow.ask() == CLIENT
    assert vps.run(known).stdout == "1\n", "it is no forward's"
    for each in (flow, own):
        each.end()
    ends.vps.remove("game")


FORGE = f"""
wg set wg0 peer $(wg show wg0 peers) allowed-ips {SERVER}/32,{HOME}/32
ip address add {CLIENT}/32 dev lo; ip rule add from {CLIENT} lookup 99
ip route add default dev wg0 table 99
"""
_FORGED = """
import socket, sys
protocol, source, port, host, there = sys.argv[1:]
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
with socket.socket(socket.AF_INET, kind) as forged:
    forged.setblocking(False)
    forged.bind((source, int(port)))
    forged.connect_ex((host, int(there)))
    if protocol == "udp":
        forged.send(b"?")
"""
FORGE_NO_MORE = f"""
ip rule del lookup 99; ip route flush table 99; ip address del {CLIENT}/32 dev lo
"""


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_came_by_the_servers_own_line_stays_there(ends: World, protocol: str) -> None:
    """A broken-into VPS that sends a packet in a visitor's name gets none of the answers."""
    server, vps = ends.server.machine, ends.vps.machine
    direct = Call(ends.client, protocol, HOME, 8080)
    assert direct.ask() == CLIENT
    known = f"conntrack -L -p {protocol} --orig-dst {HOME} --orig-port-dst 8080 2>/dev/null"
    port = server.run(f"{known} | sed -n 's/.* sport=\\([0-9]*\\) dport=8080 .*/\\1/p'").stdout
    seen = f"iptables -t raw -nvxL PREROUTING | awk '/{CLIENT}/ {{ print $1 }}'"
    count = f"iptables -t raw -A PREROUTING -i wg0 -s {CLIENT} -d {HOME}"
    with (
        harmed(vps, FORGE, FORGE_NO_MORE + ends.vps.line("restore")),
        added(server, count),
    ):
        forged = Call(vps, protocol, HOME, 8080, by=f"{CLIENT} {port}")
        if protocol == "udp":
            assert forged.ask() == "-"
        forged.end()
        assert int(server.run(seen).stdout) > 0
        assert direct.ask() == CLIENT
        assert "mark=0 " in server.run(known).stdout
    direct.end()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_the_server_will_ask_is_not_led_to_the_vps_beforehand(
    ends: World, protocol: str
) -> None:
    """A broken-into VPS sends a packet first, as if what the server asks later were the answer."""
    server, vps = ends.server.machine, ends.vps.machine
    forged = f"exec python3 -c '{_FORGED}' {protocol} {CLIENT} 1053 {SERVER} 40000"
    arrived = "iptables -t raw -nvxL PREROUTING | awk '/dpt:40000/ {print $1}'"
    count = f"iptables -t raw -A PREROUTING -i wg0 -p {protocol} --dport 40000"
    with (
        served(ends.client, 1053),
        harmed(vps, FORGE, FORGE_NO_MORE + ends.vps.line("restore")),
        added(server, count),
    ):
        vps.run(forged)
        eventually(lambda: server.run(arrived).stdout != "0\n", 20, "nothing arrives")
        question = Call(server, protocol, CLIENT, 1053, by=f"{HOME} 40000")
        assert question.ask() == HOME
        question.end()


FLUSH = "iptables -t nat -F; iptables -t mangle -F; conntrack -F"


def test_so_it_is_at_a_server(ends: World) -> None:
    ends.vps.put("game", f"udp 86 -> {SERVER}:8080")
    flow = Call(ends.client, "udp", VPS, 86)
    assert flow.ask() == CLIENT
    with harmed(ends.server.machine, FLUSH, ends.server.line("up")):
        assert flow.ask() == "-"
    assert flow.ask() == CLIENT
    flow.end()
    ends.vps.remove("game")


@pytest.mark.parametrize("flushed", ["vps", "server"])
def test_so_it_is_when_somebody_has_flushed_the_rules(ends: World, flushed: str) -> None:
    """Although its visitor never rests: what comes between two tables is no exception."""
    end = ends.vps if flushed == "vps" else ends.server
    ends.vps.put("game", f"udp 87 -> {SERVER}:8080")
    with harmed(end.machine, FLUSH, end.line("restore")):
        visitor = ends.client.start(f"exec python3 -c '{_RESTLESS}' {VPS} 87")
        assert visitor.stdout is not None
        assert visitor.stdout.readline() == "silence\n"
    assert visitor.stdout.readline() == "answered\n"
    visitor.communicate()
    ends.vps.remove("game")


def test_a_port_that_the_tunnel_has_now_is_no_forwards_any_more(ends: World) -> None:
    """The forward goes when all else is done, and servers find the tunnel before that."""
    vps, server = ends.vps, ends.server
    settings = server.machine.read(f"{server.files}/settings")
    vps.put("quic", f"udp 443 -> {SERVER}:8080")
    try:
        vps.call("interface", stdin=vps.vps_settings(port=443))
        server.call("interface", stdin=settings.replace(f"{VPS}:51820", f"{VPS}:443"))
        server.machine.run("ping -c 1 -w 20 -i 0.2 172.16.0.1")
    finally:
        vps.remove("quic")
        vps.call("interface", stdin=vps.vps_settings())
        server.call("interface", stdin=settings)
    server.machine.run("ping -c 1 -w 20 -i 0.2 172.16.0.1")


# A visitor that sends every few milliseconds until an answer comes.
_RESTLESS = """
import socket, sys
caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
caller.settimeout(0.005)
caller.connect((sys.argv[1], int(sys.argv[2])))
for n in range(100_000):
    try:
        caller.send(b"?")
        caller.recv(100)
        print("answered", flush=True)
        break
    except OSError:
        if n == 20:
            print("silence", flush=True)
"""


# Segments of a connection, from all over its numbers: SOURCE PORT DESTINATION PORT. Those ahead of
# where it is count for none, those behind may be taken for ones that were sent again.
_ASTRAY = """
import socket, struct, sys
source, port, to, to_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
addresses = socket.inet_aton(source) + socket.inet_aton(to)
pack = lambda: struct.pack("!HHIIBBHHH", *header)
for quarter in range(4):
    header = [port, to_port, quarter << 30, quarter << 30, 5 << 4, 0x10, 1024, 0, 0]
    total = sum(struct.unpack("!16H", addresses + struct.pack("!HH", 6, 20) + pack()))
    total = (total >> 16) + (total & 0xFFFF)
    header[7] = ~(total + (total >> 16)) & 0xFFFF
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).sendto(pack(), (to, 0))
"""


def test_what_counts_for_no_connection_is_not_answered_with_a_reset(ends: World) -> None:
    """Older kernels take a packet so that was sent again and comes late; then uploads break."""
    vps, client = ends.vps.machine, ends.client

    def stray(port: int) -> None:
        own = client.run(f"ss -Htn dst {VPS}:{port} | awk '{{ print $4 }}'").stdout.strip()
        words = own.replace(":", " ")
        client.run(f"python3 - {words} {VPS} {port}", stdin=_ASTRAY)

    def count(rules: str, what: str) -> int:
        return int(vps.run(f"iptables -nvxL {rules} | awk '/{what}/ {{ print $1 }}'").stdout)

    def dropped() -> int:
        return count("RT-wg0-PRE -t mangle", "INVALID.*DROP|DROP.*INVALID")

    ends.vps.put("web", f"tcp 87 -> {SERVER}:8080")
    serve(vps, 88)
    flow, own = (Call(client, "tcp", VPS, port) for port in (87, 88))
    with added(vps, "iptables -t raw -A OUTPUT -p tcp --tcp-flags RST RST"):
        stray(87)
        assert flow.ask() == CLIENT
        of_the_forward = dropped()
        stray(88)
        assert [flow.ask(), own.ask()] == [CLIENT, CLIENT]
        assert dropped() == of_the_forward > 0
        assert count("OUTPUT -t raw", "tcp flags") == 0
        with harmed(vps, "iptables -t mangle -F RT-wg0-PRE", ends.vps.line("up")):
            stray(87)
            assert own.ask() == CLIENT
            assert count("OUTPUT -t raw", "tcp flags") > 0
    for each in (flow, own):
        each.end()
    ends.vps.remove("web")


def test_a_packet_of_a_known_connection_is_asked_for_little(ends: World) -> None:
    """Not for what a visitor's first one is: each question is asked thousands of times a second."""
    vps, chain = ends.vps.machine, "RT-wg0-PRE -t mangle"

    def asked(flow: Call) -> int:
        """How many of five packets were asked all questions, and came to the chain's end."""
        with added(vps, f"iptables -A {chain} -p tcp --dport 90"):
            for _ in range(5):
                assert flow.ask() == CLIENT
            return int(vps.run(f"iptables -nvxL {chain} | awk 'END {{ print $1 }}'").stdout)

    known = f"iptables -D {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
    ends.vps.put("web", f"tcp 90 -> {SERVER}:8080")
    flow = Call(ends.client, "tcp", VPS, 90)
    assert flow.ask() == CLIENT
    assert asked(flow) == 0
    with harmed(vps, known, ends.vps.line("up")):
        assert asked(flow) >= 5
    flow.end()
    ends.vps.remove("web")


def give_line(ends: World, address: str) -> None:
    """The server's own line gets an address, as by DHCP; the tunnel goes on by it."""
    words = f"ip addr flush dev eth0; ip addr add {address}/24 dev eth0"
    ends.server.machine.run(f"{words}; ip route add default via 192.0.2.1")
    # WireGuard would find out by itself, in 15 s.
    ends.server.machine.run(f"wg set wg0 peer $(wg show wg0 peers) endpoint {VPS}:51820")
    ends.server.machine.run("ping -c 1 -w 20 -i 0.2 172.16.0.1")


@contextmanager
def line_of_another_address(ends: World) -> Iterator[None]:
    """The server's own line has another one for a while, and a stranger that which it had."""
    give_line(ends, "192.0.2.21")
    try:
        with added(ends.internet, f"ip addr add {HOME}/32 dev home"):
            yield
    finally:
        give_line(ends, HOME)


def test_visitors_do_not_reach_who_has_the_servers_old_address_by_now(ends: World) -> None:
    """By UDP, which is sent to that, and would be passed on where a server forwards for Docker."""
    server, stranger = ends.server.machine, ends.internet
    ends.vps.put("web", f"udp 83 -> {SERVER}:8080")
    flow = Call(ends.client, "udp", VPS, 83)
    assert flow.ask() == CLIENT
    came = "iptables -t raw -A PREROUTING -i home -d 192.0.2.20 -p udp --dport 8080"
    count = "iptables -t raw -nvxL PREROUTING | awk '/dpt:8080/ {print $1}'"
    with (
        harmed(server, *ROUTER),
        line_of_another_address(ends),
        added(stranger, came),
    ):
        assert flow.ask() == "-"
        assert call(ends.client, "udp", VPS, 83) == "-"
        assert stranger.run(count).stdout == "0\n"
        with harmed(server, "iptables -D RT-wg0-FWD 1", ends.server.line("up")):
            assert flow.ask() == "-"
            assert call(ends.client, "udp", VPS, 83) == "-"
            assert int(stranger.run(count).stdout) >= 2
        assert call(ends.client, "udp", VPS, 83) == CLIENT
        flow.end()
    ends.server.call("up")
    assert call(ends.client, "udp", VPS, 83) == CLIENT
    ends.vps.remove("web")


def test_without_the_mark_the_answer_leaves_by_the_wrong_line(ends: World) -> None:
    """Shows that the test above can fail."""
    ends.vps.put("web", f"tcp 80 -> {SERVER}:8080")
    unmark = "ip rule del lookup $(cut -d' ' -f2 /etc/reverse-tunnel/wg0/mark)"
    with harmed(ends.server.machine, unmark, ends.server.line("up")):
        assert call(ends.client, "tcp", VPS, 80) == "-"
    assert call(ends.client, "tcp", VPS, 80) == CLIENT
    ends.vps.remove("web")


def test_the_servers_own_traffic_stays_on_its_own_line(ends: World) -> None:
    route = ends.server.machine.run(f"ip route get {CLIENT}").stdout
    assert "via 192.0.2.1 dev eth0" in route
    ends.server.machine.run(f"ping -c 1 -W 10 {CLIENT}")


def test_tunnel_addresses_reach_the_service_without_a_forward(ends: World) -> None:
    assert call(ends.vps.machine, "tcp", SERVER, 8081) == "172.16.0.1"


def test_a_neighbour_that_routes_the_tunnel_through_the_vps_reaches_nothing(ends: World) -> None:
    """The VPS forwards, and a provider's network is shared: only the rules keep neighbours out."""
    neighbour, route = ends.internet, f"ip route add 172.16.0.0/24 via {VPS}"
    # The guards are what keeps them out; the server's mark would even bring the answers back.
    unguarded = "iptables -t mangle -F RT-wg0-PRE; iptables -F RT-wg0-FWD"
    with added(neighbour, route):
        assert call(neighbour, "tcp", SERVER, 8080) == "-"
        assert call(neighbour, "udp", SERVER, 8080) == "-"
        assert neighbour.run("ping -c 1 -W 1 172.16.0.1", check=False).status != 0
        with harmed(ends.vps.machine, unguarded, ends.vps.line("up")):
            assert call(neighbour, "tcp", SERVER, 8080) == "203.0.113.1"


def test_the_vps_is_no_router_into_its_own_private_network(ends: World) -> None:
    """It passes on what comes in from outside, but that is for forwards alone."""
    neighbour, vps = ends.internet, ends.vps.machine
    route = f"ip route add 10.20.0.0/24 via {VPS}"
    published = "iptables -t nat -A PREROUTING -i ens6 -p tcp --dport 2224 -j DNAT"
    published += " --to-destination 10.20.0.3:22"
    router = (ROUTER[0], f"{ROUTER[1]}; {ends.vps.line('restore')}")
    with Machine() as private:
        vps.join(private, "eth1 10.20.0.2/24", "eth0 10.20.0.3/24")
        private.run("ip route add default via 10.20.0.2")
        vps.run("sysctl -qw net.ipv4.conf.eth1.forwarding=1")
        serve(private, 22)
        with added(neighbour, route):
            for protocol in ("tcp", "udp"):
                assert call(neighbour, protocol, "10.20.0.3", 22) == "-"
            # What somebody has translated, and where somebody wants a router, it is.
            with added(vps, published):
                assert call(neighbour, "tcp", VPS, 2224) == "203.0.113.1"
            with harmed(vps, *router):
                assert ends.vps.told("chain RT-wg0-FWD") == ["differs"]
                ends.vps.call("restore")
                assert ends.vps.told("chain RT-wg0-FWD") == ["ok"]
                assert call(neighbour, "tcp", "10.20.0.3", 22) == "203.0.113.1"
            assert call(neighbour, "tcp", "10.20.0.3", 22) == "-"


def test_nor_is_it_one_back_to_where_it_came_from(ends: World) -> None:
    """What a neighbour sends on by this host would be the traffic of whose address it is."""
    neighbour, vps = ends.internet, ends.vps.machine
    gate = "iptables -t raw -A PREROUTING -i vps -d 198.51.100.77"
    passed = "iptables -t raw -nvxL PREROUTING | awk '/198.51.100.77/ {print $1}'"
    router = (ROUTER[0], f"{ROUTER[1]}; {ends.vps.line('restore')}")

    def passes() -> bool:
        before = neighbour.run(passed).stdout
        neighbour.run("ping -c 1 -W 1 198.51.100.77", check=False)
        return neighbour.run(passed).stdout != before

    with added(neighbour, f"ip route add 198.51.100.77/32 via {VPS}"), added(neighbour, gate):
        assert not passes()
        with harmed(vps, *router):
            ends.vps.call("restore")
            assert passes()
        assert not passes()


def test_tunnel_addresses_never_leave_the_vps_untranslated(ends: World) -> None:
    """Whatever the server sends into the tunnel; with the rules gone it is seen outside."""
    server, internet = ends.server.machine, ends.internet

    def leaked() -> int:
        server.run(f"ping -I {SERVER} -c 2 -i 0.2 -W 1 {CLIENT}", check=False)
        return int(internet.run("iptables -vxnL FORWARD").stdout.splitlines()[2].split()[0])

    with (
        added(internet, "iptables -A FORWARD -s 172.16.0.0/24"),
        added(server, f"ip route add {CLIENT}/32 dev wg0"),
    ):
        assert leaked() == 0
        with harmed(ends.vps.machine, "iptables -F RT-wg0-FWD", ends.vps.line("up")):
            assert leaked() > 0


def test_the_vps_reaches_the_server_but_not_what_lies_behind_it(ends: World) -> None:
    """A broken-into VPS must not be a way into the home, even if the server forwards (Docker)."""
    server, vps = ends.server.machine, ends.vps.machine
    allow = "wg set wg0 peer $(wg show wg0 peers) allowed-ips 172.16.0.4/32"
    with (
        harmed(server, *ROUTER),
        harmed(vps, f"{allow},192.0.2.0/24", allow),
        added(vps, "ip route add 192.0.2.1/32 dev wg0"),
    ):
        assert vps.run("ping -c 1 -W 1 192.0.2.1", check=False).status != 0
        with (
            harmed(server, "iptables -F RT-wg0-FWD", ends.server.line("up")),
            added(server, "iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE"),
        ):
            assert vps.run("ping -c 1 -w 20 -i 0.2 192.0.2.1", check=False).status == 0


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_connection_dies_with_its_forward_and_others_live_on(ends: World, protocol: str) -> None:
    ends.vps.put("going", f"{protocol} 1080 -> {SERVER}:8080")
    ends.vps.put("staying", f"{protocol} 1081 -> {SERVER}:8081")
    going, staying = (Call(ends.client, protocol, VPS, port) for port in (1080, 1081))
    assert (going.ask(), staying.ask()) == (CLIENT, CLIENT)
    ends.vps.remove("going")
    assert going.ask() in {"-", "closed"}
    assert staying.ask() == CLIENT
    ends.vps.remove("staying")
    assert staying.ask() in {"-", "closed"}
    going.end()
    staying.end()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_connection_is_known_on_a_host_that_counts_its_packets(
    ends: World, protocol: str
) -> None:
    """conntrack then prints more of each."""
    vps, switch = ends.vps.machine, "sysctl -qw net.netfilter.nf_conntrack_acct="
    with harmed(vps, f"{switch}1", f"{switch}0"):
        ends.vps.put("counted", f"{protocol} 1086 -> {SERVER}:8080")
        counted = Call(ends.client, protocol, VPS, 1086)
        assert counted.ask() == CLIENT
        assert "packets=" in vps.run(f"conntrack -L -p {protocol} --orig-port-dst 1086").stdout
        ends.vps.put("counted", f"{protocol} 1086 -> {SERVER}:8080\nfrom {CLIENT}/32")
        assert counted.ask() == CLIENT
        ends.vps.remove("counted")
        assert counted.ask() in {"-", "closed"}
        counted.end()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_connection_survives_the_renaming_of_its_forward(ends: World, protocol: str) -> None:
    """New before old, and the entry is claimed by the new when the old goes."""
    ends.vps.put("old", f"{protocol} 1082 -> {SERVER}:8080")
    open_call = Call(ends.client, protocol, VPS, 1082)
    assert open_call.ask() == CLIENT
    ends.vps.put("new", f"{protocol} 1082 -> {SERVER}:8080")
    ends.vps.remove("old")
    assert open_call.ask() == CLIENT
    ends.vps.remove("new")
    open_call.end()


def test_a_udp_flow_follows_its_forward_at_once(ends: World) -> None:
    """NAT rules are asked on the first packet only; a game's flow would stay at the old target."""
    ends.vps.put("game", f"udp 1083 -> {SERVER}:9999")  # nobody there
    flow = Call(ends.client, "udp", VPS, 1083)
    assert flow.ask() in {"-", "closed"}
    ends.vps.put("game", f"udp 1083 -> {SERVER}:8081")
    assert flow.ask() == CLIENT
    ends.vps.remove("game")
    flow.end()


def test_a_udp_flow_from_before_the_forward_gets_to_it(ends: World) -> None:
    with added(ends.vps.machine, "iptables -I INPUT -p udp --dport 1084 -j DROP"):
        flow = Call(ends.client, "udp", VPS, 1084)
        assert flow.ask() == "-"
        ends.vps.put("late", f"udp 1084 -> {SERVER}:8081")
        assert flow.ask() == CLIENT
    ends.vps.remove("late")
    flow.end()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_calls_the_vps_itself_does_not_end_with_a_new_forward(
    ends: World, protocol: str
) -> None:
    """At its tunnel address and its loopback, which no forward translates."""
    vps = ends.vps.machine
    mark = f"iptables -t mangle -A PREROUTING -p {protocol} --dport 1088 -j CONNMARK --set-mark 7"
    with served(vps, 1088):
        # A mark tells them from what would come back as another entry.
        with added(vps, mark):
            flows = [
                Call(ends.server.machine, protocol, "172.16.0.1", 1088),
                Call(vps, protocol, "127.0.0.1", 1088),
                Call(ends.client, protocol, VPS, 1088),
            ]
            assert [flow.ask() for flow in flows] == [SERVER, "127.0.0.1", CLIENT]
        marked = f"conntrack -L -p {protocol} --orig-port-dst 1088 --mark 7"
        assert vps.run(marked).stdout.count(" mark=7 ") == 3
        ends.vps.put("own", f"{protocol} 1088 -> {SERVER}:8080")
        kept = vps.run(marked).stdout
        assert kept.count(" mark=7 ") == 2
        assert f"dst={VPS}" not in kept
        assert [flow.ask() for flow in flows[:2]] == [SERVER, "127.0.0.1"]
        ends.vps.remove("own")
        for flow in flows:
            flow.end()


def first_packet(machine: Machine, interface: str, expression: str) -> subprocess.Popen[str]:
    """A listener that prints the first packet that fits, and is listening by now."""
    words = f"exec timeout 60 tcpdump -c 1 -nni {interface} '{expression}' 2>&1"
    listener = machine.start(words)
    assert listener.stdout is not None
    assert any("listening on" in line for line in iter(listener.stdout.readline, ""))
    return listener


def test_the_largest_segment_fits_the_tunnel_in_both_directions(ends: World) -> None:
    """Lowering the MTU alone leaves black holes: the far ends must be told."""
    ends.vps.put("web", f"tcp 1085 -> {SERVER}:8080")
    answer = first_packet(ends.client, "eth0", "tcp[13] = 18")
    question = first_packet(ends.server.machine, "wg0", "tcp[13] = 2")
    assert call(ends.client, "tcp", VPS, 1085) == CLIENT
    assert "mss 1380" in answer.communicate()[0]
    assert "mss 1380" in question.communicate()[0]
    ends.vps.remove("web")


def test_forwards_that_go_together_take_their_own_flows_along(ends: World) -> None:
    """One port by either protocol, to two services; a third forward has another port."""
    lines = {
        "one": f"tcp 1090 -> {SERVER}:8080",
        "other": f"udp 1090 -> {SERVER}:8081",
        "stays": f"tcp+udp 1091 -> {SERVER}:8080",
    }
    for name, line in lines.items():
        ends.vps.put(name, line)
    gone = [Call(ends.client, protocol, VPS, 1090) for protocol in ("tcp", "udp")]
    stay = [Call(ends.client, protocol, VPS, 1091) for protocol in ("tcp", "udp")]
    assert [flow.ask() for flow in gone + stay] == [CLIENT] * 4
    waiting = Waiting(ends.vps)
    for name in ("one", "other"):
        waiting.call("remove-forward", name)
    assert {*waiting.go().values()} == {(0, "")}
    assert [flow.ask() for flow in stay] == [CLIENT] * 2
    assert CLIENT not in [flow.ask() for flow in gone]
    ends.vps.remove("stays")
