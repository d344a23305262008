"""Packets through every kind of forward: who gets through, whom the service sees, and who does not.

client 198.51.100.10 ---- internet ---- 203.0.113.10 vps .. tunnel .. server 192.0.2.20
                    (another: 203.0.113.1)                              | lan0
                                                      nas 192.168.1.30 -+
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.host.harm import ROUTER, added, set_otherwise
from tests.host.machine import Machine
from tests.host.world import (
    CLIENT,
    GONE,
    SERVER,
    SHUT,
    VPS,
    Call,
    World,
    call,
    serve,
    served,
    world,
)
from tests.support import eventually, harmed

ANOTHER = "203.0.113.1"
NAS = "192.168.1.30"
LAN = "192.168.1.0/24"
BEHIND = f"network {LAN}\n"


@pytest.fixture(scope="module")
def ends() -> Iterator[World]:
    """One world for all: each test uses ports of its own."""
    with world() as made:
        # Not all of the range 8078-8081, to see which port is which.
        for port in (8078, 8081, 27000, 27003):
            made.serve(port)
        yield made


@contextmanager
def forward(ends: World, lines: str, name: str = "web") -> Iterator[None]:
    """A forward for a while."""
    ends.vps.put(name, lines)
    try:
        yield
    finally:
        ends.vps.remove(name)


def calls(machine: Machine, protocol: str, port: int, number: int) -> list[Call]:
    """Connections at the same time, each asked once."""
    made = [Call(machine, protocol, VPS, port) for _ in range(number)]
    for each in made:
        if each.state == "connected":
            each.state = each.ask()
    return made


def end(made: list[Call]) -> None:
    for each in made:
        each.end()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_range_goes_to_the_same_ports(ends: World, protocol: str) -> None:
    with forward(ends, f"{protocol} 27000-27003 -> {SERVER}:27000-27003"):
        assert call(ends.client, protocol, VPS, 27000) == CLIENT
        assert call(ends.client, protocol, VPS, 27003) == CLIENT
        assert call(ends.client, protocol, VPS, 27001) in SHUT  # nobody there
        assert call(ends.client, protocol, VPS, 8078) in SHUT  # not of the range
    assert call(ends.client, protocol, VPS, 27000) in SHUT


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_remapped_range_goes_port_by_port(ends: World, protocol: str) -> None:
    """The kernel would take any port that is free, were it not told where the range begins."""
    with forward(ends, f"{protocol} 9000-9003 -> {SERVER}:8078-8081"):
        for _ in range(4):
            assert call(ends.client, protocol, VPS, 9000) == CLIENT
            assert call(ends.client, protocol, VPS, 9003) == CLIENT
            assert call(ends.client, protocol, VPS, 9001) in SHUT
            assert call(ends.client, protocol, VPS, 9002) in SHUT


def test_both_protocols_in_one(ends: World) -> None:
    with forward(ends, f"tcp+udp 443 -> {SERVER}:8081"):
        assert call(ends.client, "tcp", VPS, 443) == CLIENT
        assert call(ends.client, "udp", VPS, 443) == CLIENT
    assert call(ends.client, "tcp", VPS, 443) in SHUT
    assert call(ends.client, "udp", VPS, 443) in SHUT


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_paused_forward_lets_nobody_in_and_ends_its_connections(
    ends: World, protocol: str
) -> None:
    line = f"{protocol} 1000 -> {SERVER}:8081"
    with forward(ends, line), forward(ends, f"{protocol} 1001 -> {SERVER}:8081", "other"):
        paused, other = (Call(ends.client, protocol, VPS, port) for port in (1000, 1001))
        assert (paused.ask(), other.ask()) == (CLIENT, CLIENT)
        ends.vps.put("web", f"{line}\npaused")
        assert paused.ask() in GONE
        assert other.ask() == CLIENT
        assert call(ends.client, protocol, VPS, 1000) in SHUT
        assert ends.vps.told("forward web")[0] == "paused"
        ends.vps.put("web", line)
        assert call(ends.client, protocol, VPS, 1000) == CLIENT
        end([paused, other])


@pytest.mark.parametrize("protocol", ["tcp", "udp", "tcp+udp"])
def test_only_those_on_the_list_get_in(ends: World, protocol: str) -> None:
    """And others do not reach what the VPS itself has on that port: they are dropped."""
    with served(ends.vps.machine, 1002):
        for one in protocol.split("+"):
            with forward(ends, f"{protocol} 1002 -> {SERVER}:8081\nfrom 192.0.2.0/24,{CLIENT}/32"):
                assert call(ends.client, one, VPS, 1002) == CLIENT
                assert call(ends.internet, one, VPS, 1002) == "-"
            assert call(ends.internet, one, VPS, 1002) == ANOTHER  # the VPS's own


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_shorter_list_ends_the_connections_of_those_who_left_it(
    ends: World, protocol: str
) -> None:
    line = f"{protocol} 1003 -> {SERVER}:8081"
    with forward(ends, f"{line}\nfrom {CLIENT}/32,{ANOTHER}/32"):
        mine, others = (
            Call(ends.client, protocol, VPS, 1003),
            Call(ends.internet, protocol, VPS, 1003),
        )
        assert (mine.ask(), others.ask()) == (CLIENT, ANOTHER)
        ends.vps.put("web", f"{line}\nfrom {CLIENT}/32")
        assert others.ask() in GONE
        assert mine.ask() == CLIENT
        ends.vps.put("web", line)
        assert mine.ask() == CLIENT
        assert call(ends.internet, protocol, VPS, 1003) == ANOTHER
        end([mine, others])


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_connections_at_once_are_limited_for_each_visitor(ends: World, protocol: str) -> None:
    with forward(ends, f"{protocol} 1004 -> {SERVER}:8081\nlimit-concurrent 2"):
        made = calls(ends.client, protocol, 1004, 3)
        assert [each.state for each in made] == [CLIENT, CLIENT, "-"]
        another = calls(ends.internet, protocol, 1004, 1)
        assert another[0].state == ANOTHER
        end(made + another)


def test_both_protocols_count_together(ends: World) -> None:
    with forward(ends, f"tcp+udp 1005 -> {SERVER}:8081\nlimit-concurrent 2"):
        made = calls(ends.client, "tcp", 1005, 1) + calls(ends.client, "udp", 1005, 1)
        assert [each.state for each in made] == [CLIENT, CLIENT]
        assert call(ends.client, "udp", VPS, 1005) == "-"
        end(made)


def test_new_connections_a_second_are_limited_for_each_visitor(ends: World) -> None:
    """A change of the limit counts at once: the kernel keeps a table, and its rate, by its name."""
    line = f"udp 1006 -> {SERVER}:8081"
    burst = (
        "python3 -c 'import socket\nfor n in range(40):\n"
        " s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f' s.connect(("{VPS}", 1006)); s.send(b"?")\'; '
        "true"
    )
    counter = "iptables -t mangle -vnxL RT-wg0-GATE | awk '/hashlimit|limit:/ {print $1}'"
    dropped = {}
    for limit in (1, 1000):
        with forward(ends, f"{line}\nlimit-new {limit}"):
            ends.client.run(burst)
            dropped[limit] = int(ends.vps.machine.run(counter).stdout)
            assert call(ends.internet, "udp", VPS, 1006) == ANOTHER
    assert dropped[1] >= 30
    assert dropped[1000] == 0


def test_a_flow_that_gets_no_answer_is_one_connection_all_the_same(ends: World) -> None:
    """To the kernel each packet of it is new: of a stream that is sent in, of a first burst."""
    server, vps = ends.server.machine, ends.vps.machine
    stream = "python3 -c 'import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    stream += f's.connect(("{VPS}", 1017))\nfor n in range(40): s.send(b"?")\''
    passed = (
        "conntrack -L -p udp --orig-port-dst 1017 2>/dev/null | grep -c 'packets=40 .*packets=0 '"
    )

    def dropped() -> int:
        listed = vps.run("iptables -t mangle -vnxL RT-wg0-GATE").stdout
        return int(listed.splitlines()[2].split()[0])

    drop = "iptables -I INPUT -p udp --dport 9998 -j DROP"
    with (
        added(server, drop),
        forward(ends, f"udp 1017 -> {SERVER}:9998\nlimit-new 1"),
    ):
        ends.client.run(stream)
        eventually(lambda: vps.run(passed, check=False).stdout == "1\n", 20, "they did not come")
        assert dropped() == 0
        # Of several at once most do not get through, as ever.
        ends.client.run(" & ".join([stream] * 5) + " & wait")
        assert dropped() > 0


def test_as_the_tunnel_the_service_sees_the_vps(ends: World) -> None:
    for protocol in ("tcp", "udp"):
        line = f"{protocol} 1007 -> {SERVER}:8081"
        with forward(ends, f"{line}\nsource-address tunnel"):
            assert call(ends.client, protocol, VPS, 1007) == "172.16.0.1"
            flow = Call(ends.client, "udp", VPS, 1007)
            if protocol == "udp":
                assert flow.ask() == "172.16.0.1"
                # A long-lived flow follows at once.
                ends.vps.put("web", line)
                assert flow.ask() == CLIENT
            flow.end()


@pytest.fixture(scope="module")
def nas(ends: World) -> Iterator[Machine]:
    """A host behind the server, with a router of its own; the server has it as its network."""
    with Machine() as made:
        ends.server.machine.join(made, "lan0 192.168.1.20/24", f"eth0 {NAS}/24")
        ends.internet.join(made, "nas 192.0.3.1/24", "line 192.0.3.30/24")
        made.run("ip route add default via 192.0.3.1")
        serve(made, 22)
        serve(made, 23)
        with set_otherwise(ends.server, BEHIND):
            key = ends.vps.machine.run("wg show wg0 peers").stdout.strip()
            peer = f"public-key {key}\nallowed-ips {SERVER}/32,{LAN}\n"
            ends.vps.call("put-peer homelab", stdin=peer)
            yield made
            ends.vps.call("put-peer homelab", stdin=peer.replace(f",{LAN}", ""))
        assert ends.server.machine.read("/proc/sys/net/ipv4/conf/lan0/forwarding") == "0\n"
        assert LAN not in ends.vps.machine.run("ip route").stdout


@contextmanager
def led_by_the_server(nas: Machine) -> Iterator[None]:
    """Its router is the server, for a while."""
    route = "ip route replace default via"
    with harmed(nas, f"{route} 192.168.1.20", f"{route} 192.0.3.1"):
        yield


@contextmanager
def opening(ends: World, lines: str, name: str = "web") -> Iterator[None]:
    """What lets a forward through to a host behind the server, for a while."""
    ends.server.call(f"put-opening {name}", stdin=lines)
    try:
        yield
    finally:
        ends.server.call(f"remove-opening {name}")


@pytest.mark.usefixtures("nas")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_host_with_a_router_of_its_own_is_reached_as_the_server(
    ends: World, protocol: str
) -> None:
    """Or not at all: its answers to the visitor's own address leave by that router."""
    with forward(ends, f"{protocol} 2222 -> {NAS}:22"):
        assert call(ends.client, protocol, VPS, 2222) in SHUT
        with opening(ends, f"{protocol} {NAS}:22"):
            assert call(ends.client, protocol, VPS, 2222) == "-"
            with opening(ends, f"{protocol} {NAS}:22\nsource-address tunnel"):
                assert call(ends.client, protocol, VPS, 2222) == "192.168.1.20"
        assert call(ends.client, protocol, VPS, 2222) in SHUT


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_host_whose_default_route_is_the_server_sees_the_visitor(
    ends: World, nas: Machine, protocol: str
) -> None:
    """A container, too. Its connection ends when the forward is paused, by the server as well."""
    with (
        led_by_the_server(nas),
        forward(ends, f"{protocol} 2222 -> {NAS}:22"),
        opening(ends, f"{protocol} {NAS}:22"),
    ):
        open_call = Call(ends.client, protocol, VPS, 2222)
        assert open_call.ask() == CLIENT
        ends.server.call("put-opening web", stdin=f"{protocol} {NAS}:22\npaused\n")
        assert open_call.ask() in GONE
        assert ends.server.told("opening web") == ["paused"]
        open_call.end()


# Answers each question with a datagram that is too large for the tunnel, and asks for it thrice.
_LARGE = """
import socket
large = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
large.bind(("", 1016))
print("ready", flush=True)
while True:
    asker = large.recvfrom(9)[1]
    large.sendto(b"x" * 1450, asker)
"""
_ASK = f"""
import socket, sys
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.connect(("{VPS}", 1016))
asker.settimeout(int(sys.argv[1]))
for _ in range(3):
    asker.send(b"?")
    try:
        print(len(asker.recv(2000)))
    except TimeoutError:
        print("-")
"""
_MARK = "0x2000000"


def test_a_host_behind_the_server_hears_that_its_packets_are_too_large(
    ends: World, nas: Machine
) -> None:
    """From the server; what that says belongs to the visitor's connection, and is not for him."""
    whatever = f"-m connmark --mark {_MARK}/{_MARK} -j CONNMARK --restore-mark"
    mark_all = f"iptables -t mangle -I RT-wg0-OUT {whatever}"
    service = nas.start(f"exec python3 -c '{_LARGE}'")
    assert service.stdout is not None
    assert service.stdout.readline() == "ready\n"
    with (
        led_by_the_server(nas),
        forward(ends, f"udp 1016 -> {NAS}:1016"),
        opening(ends, f"udp {NAS}:1016"),
    ):
        assert ends.client.run(f"python3 -c '{_ASK}' 5").stdout.split()[1:] == ["1450", "1450"]
        nas.run("ip route flush cache")
        with harmed(ends.server.machine, mark_all, ends.server.line("up")):
            assert ends.client.run(f"python3 -c '{_ASK}' 2").stdout.split() == ["-"] * 3
    service.kill()
    service.communicate()


# One packet to 127.0.0.1, put onto the tunnel as no honest host would.
_TO_ITSELF = """
import socket, struct
def checksum(header):
    total = sum(struct.unpack("!10H", header))
    return ~((total >> 16) + total & 0xFFFF) & 0xFFFF
udp = struct.pack("!4H", 5432, 5432, 8, 0)
words = (0x45, 0, 28, 0, 0, 64, 17, 0, bytes((172, 16, 0, 1)), bytes((127, 0, 0, 1)))
header = struct.pack("!BBHHHBBH4s4s", *words)
header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
wire.sendto(header + udp, ("wg0", 0x0800))
"""


@pytest.mark.usefixtures("nas")
def test_what_is_published_to_the_server_alone_is_not_reached_by_the_tunnel(ends: World) -> None:
    """Docker translates it before the kernel sees who calls; a broken-into VPS is no way in."""
    server, vps = ends.server.machine, ends.vps.machine
    published = "iptables -t nat -A PREROUTING -d 127.0.0.1 -p udp --dport 5432 -j DNAT"
    published += f" --to-destination {NAS}:22"
    peer = vps.run("wg show wg0 peers").stdout.strip()
    allow = f"wg set wg0 peer {peer} allowed-ips {SERVER}/32,{LAN},127.0.0.1/32"
    let_in = "iptables -t mangle -D RT-wg0-PRE -d 127.0.0.0/8 -i wg0 -j DROP"
    count = "iptables -t nat -nvxL PREROUTING | awk '/dpt:5432/ {print $1}'"

    look = "cat /sys/class/net/wg0/statistics/rx_packets"

    def arrived() -> int:
        before = server.run(look).stdout
        vps.run(f"python3 -c '{_TO_ITSELF}'")
        eventually(lambda: server.run(look).stdout != before, 20, "nothing came")
        return int(server.run(count).stdout)

    with (
        added(server, published),
        harmed(vps, allow, ends.vps.line("restore")),
    ):
        assert arrived() == 0
        with harmed(server, let_in, ends.server.line("up")):
            assert arrived() == 1


def test_what_is_behind_the_server_is_open_as_far_as_was_said(ends: World, nas: Machine) -> None:
    """A broken-into VPS reaches the opened port, and nothing else of the home network."""
    with led_by_the_server(nas):
        with opening(ends, f"tcp {NAS}:22"):
            assert call(ends.vps.machine, "tcp", NAS, 22) == "172.16.0.1"
            assert call(ends.vps.machine, "tcp", NAS, 23) == "-"
            assert call(ends.vps.machine, "udp", NAS, 22) == "-"
            assert ends.vps.machine.run(f"ping -c 1 -W 1 {NAS}", check=False).status != 0
        assert call(ends.vps.machine, "tcp", NAS, 22) == "-"


@contextmanager
def speaking_as(machine: Machine, address: str, to: str, way: str) -> Iterator[None]:
    """The machine calls by another's address, for a while; answers that come back are its own."""
    route = f"ip route add {to}/32 {way} src {address}"
    with added(machine, f"ip address add {address}/32 dev lo", route):
        yield


@contextmanager
def counted(server: Machine, source: str) -> Iterator[None]:
    """What comes by the tunnel from that address is counted before all else, for a while."""
    with added(server, f"iptables -t raw -A PREROUTING -i wg0 -s {source}"):
        yield


def passed(machine: Machine, table: str, chain: str) -> int:
    """The packets that the first rule of a chain has counted."""
    listed = machine.run(f"iptables -t {table} -nvxL {chain}").stdout
    return int(listed.splitlines()[2].split()[0])


@pytest.mark.usefixtures("nas")
def test_the_vps_cannot_speak_as_somebody_of_the_home_network(ends: World) -> None:
    """A service may trust those, and the answers would go where the question came from."""
    vps = ends.vps.machine
    with speaking_as(vps, "192.168.77.9", SERVER, "dev wg0"):
        assert call(vps, "tcp", SERVER, 8081) == "192.168.77.9"
    let_in = f"iptables -t mangle -D RT-wg0-PRE -s {LAN} -i wg0 -j DROP"
    with speaking_as(vps, NAS, SERVER, "dev wg0"):
        for protocol in ("tcp", "udp"):
            assert call(vps, protocol, SERVER, 8081) == "-"
        with harmed(ends.server.machine, let_in, ends.server.line("up")):
            assert call(vps, "tcp", SERVER, 8081) == NAS


def test_nor_as_somebody_behind_a_router_of_the_house(ends: World) -> None:
    """Of whose network the server knows by its settings alone."""
    vps, somebody = ends.vps.machine, "192.168.20.5"
    with speaking_as(vps, somebody, SERVER, "dev wg0"):
        with set_otherwise(ends.server, "network 192.168.20.0/24\n"):
            for protocol in ("tcp", "udp"):
                assert call(vps, protocol, SERVER, 8081) == "-"
        assert call(vps, "tcp", SERVER, 8081) == somebody


WIDE_VPN = """
ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip link set vpn1 up
ip route add 0.0.0.0/1 dev vpn0; ip route add 10.9.0.0/16 dev vpn0
ip route add 10.8.0.0/16 via 192.0.2.1
"""
NO_VPN = """
ip link del vpn0; ip route del 10.8.0.0/16
"""


def test_a_visitor_is_nobody_of_the_house_by_a_vpns_wide_route(ends: World) -> None:
    """Private networks alone are the house's; half of the internet may lead into a VPN."""
    server = ends.server.machine
    with harmed(server, WIDE_VPN, NO_VPN + ends.server.line("restore")):
        ends.server.call("restore")
        rules = server.run("iptables -t mangle -S RT-wg0-PRE").stdout
        dropped = (line for line in rules.splitlines() if line.endswith("-i wg0 -j DROP"))
        kept_out = {line.split()[3] for line in dropped}
        assert "10.9.0.0/16" in kept_out
        assert not kept_out & {"0.0.0.0/1", "10.8.0.0/16", "192.0.2.0/24"}


def test_nobody_outside_can_speak_as_a_peer_by_a_forward(ends: World) -> None:
    """The answer would not come back, but one packet can be enough."""
    server, peer = ends.server.machine, "172.16.0.9"

    def arrived() -> int:
        assert call(ends.client, "udp", VPS, 1013) == "-"
        return passed(server, "raw", "PREROUTING")

    let_in = "iptables -t mangle -D RT-wg0-PRE -s 172.16.0.0/24 ! -i wg0 -j DROP"
    ends.internet.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.client.rp_filter=0")
    with counted(server, peer), forward(ends, f"udp 1013 -> {SERVER}:8081"):
        assert call(ends.client, "udp", VPS, 1013) == CLIENT
        with speaking_as(ends.client, peer, VPS, "via 198.51.100.1"):
            assert arrived() == 0
            with harmed(ends.vps.machine, let_in, ends.vps.line("up")):
                assert arrived() > 0


def test_nor_as_somebody_behind_a_peer(ends: World) -> None:
    """Whom a forward may let in alone."""
    server, somebody = ends.server.machine, "192.168.88.5"
    key = ends.vps.machine.run("wg genkey | wg pubkey").stdout

    def arrived() -> int:
        assert call(ends.client, "udp", VPS, 1014) == "-"
        return passed(server, "raw", "PREROUTING")

    ends.internet.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.client.rp_filter=0")
    with (
        counted(server, somebody),
        forward(ends, f"udp 1014 -> {SERVER}:8081\nfrom 192.168.88.0/24"),
        speaking_as(ends.client, somebody, VPS, "via 198.51.100.1"),
    ):
        assert arrived() > 0
        before = arrived()
        allowed = "allowed-ips 172.16.0.9/32,192.168.88.0/24"
        try:
            ends.vps.call("put-peer attic", stdin=f"public-key {key}{allowed}\n")
            assert arrived() == before
        finally:
            ends.vps.call("remove-peer attic")
        assert arrived() > before


def test_nobody_of_the_home_network_can_speak_as_a_peer(ends: World, nas: Machine) -> None:
    """Nor by the home's own wire."""
    server, peer = ends.server.machine, "172.16.0.9"

    def arrived() -> int:
        assert call(nas, "udp", "192.168.1.20", 8081) == "-"
        return passed(server, "mangle", "INPUT")

    assert call(nas, "udp", "192.168.1.20", 8081) == NAS
    server.run("sysctl -qw net.ipv4.conf.lan0.rp_filter=0")
    let_in = "iptables -t mangle -D RT-wg0-PRE -s 172.16.0.0/24 ! -i wg0 -j DROP"
    with (
        added(server, f"iptables -t mangle -I INPUT -s {peer}"),
        speaking_as(nas, peer, "192.168.1.20", "dev eth0"),
    ):
        assert arrived() == 0
        with harmed(server, let_in, ends.server.line("up")):
            assert arrived() > 0


@pytest.mark.usefixtures("nas")
def test_a_server_is_no_router_between_its_own_networks(ends: World, nas: Machine) -> None:
    """It passes on what comes in from there, for answers alone."""
    server = ends.server.machine
    translate = "iptables -t nat -A PREROUTING -i iot0 -p tcp --dport 2223 -j DNAT"
    translate += f" --to-destination {NAS}:22"
    with Machine() as lamp:
        server.join(lamp, "iot0 192.168.50.20/24", "eth0 192.168.50.30/24")
        lamp.run("ip route add default via 192.168.50.20")
        serve(lamp, 22)
        with led_by_the_server(nas), set_otherwise(ends.server, "network 192.168.50.0/24\n"):
            assert call(lamp, "tcp", NAS, 22) == "-"
            assert call(nas, "tcp", "192.168.50.30", 22) == "-"
            # Nor to anywhere else; from where somebody else wants it, Docker for one, it is.
            assert call(nas, "tcp", "192.0.2.1", 22) == "-"
            with forward(ends, f"tcp 2222 -> {NAS}:22"), opening(ends, f"tcp {NAS}:22"):
                assert call(ends.client, "tcp", VPS, 2222) == CLIENT
            # What somebody has translated is wanted, as the forwards of another tunnel of ours.
            with added(server, translate):
                assert call(lamp, "tcp", "192.168.50.20", 2223) == "192.168.50.30"
            with harmed(server, *ROUTER):
                ends.server.call("restore")
                assert call(lamp, "tcp", NAS, 22) == "192.168.50.30"


def test_the_home_network_does_not_get_into_the_tunnel_by_the_server(
    ends: World, nas: Machine
) -> None:
    """The server passes on what comes in from there, now, but for answers alone."""
    serve(ends.vps.machine, 1008)
    with added(nas, "ip route add 172.16.0.0/24 via 192.168.1.20"):
        assert call(nas, "tcp", "172.16.0.1", 1008) == "-"
        with harmed(ends.server.machine, "iptables -F RT-wg0-FWD", ends.server.line("up")):
            assert call(nas, "tcp", "172.16.0.1", 1008) == NAS


def peer_of(ends: World, more: str = "") -> str:
    key = ends.vps.machine.run("wg show wg0 peers").stdout.strip()
    return f"public-key {key}\nallowed-ips {SERVER}/32\n{more}"


@contextmanager
def way_out(ends: World) -> Iterator[None]:
    """The server's own traffic leaves by the VPS, for a while."""
    ends.vps.call("put-peer homelab", stdin=peer_of(ends, "egress tunnel\n"))
    try:
        with set_otherwise(ends.server, "egress tunnel\n"):
            yield
    finally:
        ends.vps.call("put-peer homelab", stdin=peer_of(ends))


def test_the_way_out_through_the_tunnel_has_the_address_of_the_vps(ends: World) -> None:
    serve(ends.client, 1009)
    server = ends.server.machine
    port = server.run("wg show wg0 listen-port").stdout
    assert call(server, "tcp", CLIENT, 1009) == "192.0.2.20"
    with way_out(ends):
        assert call(server, "tcp", CLIENT, 1009) == VPS
        assert call(server, "udp", CLIENT, 1009) == VPS
        open_call = Call(server, "udp", CLIENT, 1009)
        assert open_call.ask() == VPS
        # The tunnel's own packets did not go round in circles, visitors get their answers as
        # before, and those who come by the server's own line theirs by that.
        with forward(ends, f"tcp 1010 -> {SERVER}:8081"):
            assert call(ends.client, "tcp", VPS, 1010) == CLIENT
        assert call(ends.client, "tcp", "192.0.2.20", 8081) == CLIENT
        ends.vps.call("put-peer homelab", stdin=peer_of(ends))
        assert open_call.ask() in GONE
        assert call(server, "tcp", CLIENT, 1009) == "-"
        open_call.end()
    assert call(server, "tcp", CLIENT, 1009) == "192.0.2.20"
    # Another one would cut everybody off until the next keepalive.
    assert server.run("wg show wg0 listen-port").stdout == port


@pytest.mark.parametrize("metadata", ["169.254.169.254", "168.63.129.16", "100.100.100.200"])
def test_the_way_out_does_not_lead_to_what_is_the_vpss_alone(ends: World, metadata: str) -> None:
    """A cloud tells each of its machines there who it is, and gives it keys of its own."""
    with (
        added(ends.internet, f"ip address add {metadata}/32 dev lo"),
        served(ends.internet, 1016, metadata),
        way_out(ends),
    ):
        assert call(ends.vps.machine, "tcp", metadata, 1016) == VPS
        assert call(ends.server.machine, "tcp", metadata, 1016) == "-"
        assert call(ends.server.machine, "udp", metadata, 1016) == "-"


@pytest.fixture
def routed(ends: World, nas: Machine) -> Iterator[Machine]:
    """A host that the server passes on by its own line since somebody else wants it."""
    server = ends.server.machine
    masquerade = "iptables -t nat -A POSTROUTING -s 192.168.1.0/24 -o eth0 -j MASQUERADE"
    with (
        added(server, masquerade),
        harmed(server, *ROUTER),
        led_by_the_server(nas),
    ):
        ends.server.call("restore")
        yield nas


def test_what_the_home_sends_by_the_server_does_not_take_its_way_out(
    ends: World, routed: Machine
) -> None:
    serve(ends.client, 1014)
    with way_out(ends):
        assert call(routed, "tcp", CLIENT, 1014) == "192.0.2.20"
        assert call(ends.server.machine, "tcp", CLIENT, 1014) == VPS


def test_a_connection_that_the_vps_has_forgotten_ends_inside(ends: World) -> None:
    """It counts for none, so nobody translates it: outside, a tunnel address would be seen."""
    serve(ends.client, 1015)
    vps, internet = ends.vps.machine, ends.internet
    outside = "iptables -t raw -A PREROUTING -i vps -s 172.16.0.0/24"
    count = "iptables -t raw -nvxL PREROUTING | awk '/172.16/ {print $1}'"
    last = "iptables -t mangle -I FORWARD -i wg0 -p tcp --dport 1015 --tcp-flags FIN FIN"
    sent = "iptables -t mangle -nvxL FORWARD | awk '/dpt:1015/ {print $1}'"
    let_out = f"iptables -I RT-wg0-FWD -s {SERVER} -i wg0 -o ens6 -j ACCEPT"

    def leaked() -> bool:
        flow = Call(ends.server.machine, "tcp", CLIENT, 1015)
        assert flow.ask() == VPS
        vps.run("conntrack -D -p tcp --orig-port-dst 1015")
        with added(vps, last):
            flow.end()
            eventually(lambda: int(vps.run(sent).stdout) > 0, 20, "it does not end")
        return internet.run(count).stdout != "0\n"

    with way_out(ends), added(internet, outside):
        assert not leaked()
        with harmed(vps, let_out, ends.vps.line("up")):
            assert leaked()


def test_a_way_out_that_is_given_up_does_not_lead_the_tunnel_into_itself(ends: World) -> None:
    """The VPS would answer the server there, until its next keepalive."""
    server = ends.server.machine
    busy = server.start("exec ping -qi 0.01 -w 60 172.16.0.1")
    for _ in range(3):
        with way_out(ends):
            pass
        endpoint = ends.vps.machine.run("wg show wg0 endpoints").stdout.split()[1]
        assert endpoint.startswith("192.0.2.20:")
    busy.kill()
    busy.communicate()


# Says of every name that it leads to the VPS.
_NAME_SERVER = f"""
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("{CLIENT}", 53))
print("ready", flush=True)
while True:
    question, asker = server.recvfrom(512)
    head = question[:2] + b"\\x81\\x80" + question[4:6]
    is_ipv4 = question[12:].split(b"\\0", 1)[1][:2] == b"\\0\\1"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton("{VPS}")
    counts = b"\\0\\1\\0\\0\\0\\0" if is_ipv4 else bytes(6)
    server.sendto(head + counts + question[12:] + (answer if is_ipv4 else b""), asker)
"""


NAME = "vps.example.org"


@contextmanager
def name_server_outside(ends: World) -> Iterator[tuple[str, str]]:
    """The server asks one on the internet; yields its settings of now, and those with the name."""
    server = ends.server.machine
    names = ends.client.start(f"exec python3 -c '{_NAME_SERVER}'")
    assert names.stdout is not None
    assert names.stdout.readline() == "ready\n"
    ask = "cp /etc/resolv.conf /run; printf '%s\\n' 'nameserver {0}' '{1}' >/etc/resolv.conf"
    ask = ask.format(CLIENT, "options timeout:1 attempts:1")
    own = server.read(f"{ends.server.files}/settings")
    named = own.replace(f"peer-endpoint {VPS}", f"peer-endpoint {NAME}")
    assert named != own
    with harmed(server, ask, "cp /run/resolv.conf /etc"):
        try:
            yield own, named
        finally:
            ends.vps.call("put-peer homelab", stdin=peer_of(ends))
            ends.server.call("interface", stdin=own)
    names.kill()
    names.communicate()


def test_a_way_out_to_the_name_server_can_be_given_up(ends: World) -> None:
    """The VPS ends it first; the name by which it is dialled is the one that it was."""
    server = ends.server.machine
    with name_server_outside(ends) as (_, named):
        ends.vps.call("put-peer homelab", stdin=peer_of(ends, "egress tunnel\n"))
        ends.server.call("interface", stdin=f"{named}egress tunnel\n")
        assert server.run(f"getent ahostsv4 {NAME}").stdout.startswith(VPS)
        ends.vps.call("put-peer homelab", stdin=peer_of(ends))
        assert server.run(f"getent ahostsv4 {NAME}", check=False).stdout == ""
        ends.server.call("interface", stdin=named)
        assert server.run(f"getent ahostsv4 {NAME}").stdout.startswith(VPS)


def test_a_vps_that_gets_a_name_is_found_by_a_name_server_behind_it(ends: World) -> None:
    """It is dialled anew, and the name must be looked up while it is still there."""
    server = ends.server.machine
    with name_server_outside(ends) as (own, named):
        ends.vps.call("put-peer homelab", stdin=peer_of(ends, "egress tunnel\n"))
        ends.server.call("interface", stdin=f"{own}egress tunnel\n")
        assert f" dev {ends.server.name} " in server.run(f"ip route get {CLIENT}").stdout
        ends.server.call("interface", stdin=f"{named}egress tunnel\n")
        assert server.run("wg show wg0 endpoints").stdout.split()[1].startswith(f"{VPS}:")
        assert server.run(f"getent ahostsv4 {NAME}").stdout.startswith(VPS)


def test_calls_to_all_of_a_network_stay_at_home(ends: World) -> None:
    """As that which wakes a device; also where all else goes through the tunnel."""
    server = ends.server.machine
    with way_out(ends):
        for address, leads in {
            "255.255.255.255": "eth0",
            "239.255.255.250": "eth0",
            CLIENT: "wg0",
        }.items():
            assert f" dev {leads} " in server.run(f"ip route get {address}").stdout


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_server_reaches_its_own_forward_by_the_public_address(ends: World, protocol: str) -> None:
    """By its own line as any visitor; by the tunnel masqueraded, lest it hears its own address."""
    with forward(ends, f"{protocol} 1011 -> {SERVER}:8081"):
        # Home is behind a router that translates.
        translate = "iptables -t nat -A POSTROUTING -s 192.0.2.20 -j MASQUERADE"
        with added(ends.internet, translate):
            assert call(ends.server.machine, protocol, VPS, 1011) == ANOTHER
        with way_out(ends):
            assert call(ends.server.machine, protocol, VPS, 1011) == "172.16.0.1"
            ends.vps.machine.run("iptables -t nat -D RT-wg0-VISIT 3")
            assert call(ends.server.machine, protocol, VPS, 1011) in SHUT


def test_the_list_of_those_who_may_counts_for_peers_too(ends: World) -> None:
    with way_out(ends), forward(ends, f"tcp 1012 -> {SERVER}:8081\nfrom {CLIENT}/32"):
        assert call(ends.server.machine, "tcp", VPS, 1012) == "-"
        ends.vps.put("web", f"tcp 1012 -> {SERVER}:8081\nfrom {CLIENT}/32,172.16.0.0/24")
        assert call(ends.server.machine, "tcp", VPS, 1012) == "172.16.0.1"


def test_a_peer_with_a_smaller_mtu_is_told_to_visitors(ends: World) -> None:
    """By the clamped segment size, which looks at the route."""
    ends.vps.call("put-peer homelab", stdin=peer_of(ends, "mtu 1280\n"))
    route = ends.vps.machine.run(f"ip route get {SERVER}").stdout
    assert "mtu 1280" in route
    ends.vps.call("put-peer homelab", stdin=peer_of(ends))
    assert "mtu" not in ends.vps.machine.run(f"ip route get {SERVER}").stdout


def test_a_flow_that_a_range_swallows_follows_it_at_once(ends: World) -> None:
    """From a single port to a range, and to another target: those of its ports alone."""
    with (
        forward(ends, f"udp 1013 -> {SERVER}:9999"),
        forward(ends, f"udp 1099 -> {SERVER}:8078", "b"),
    ):
        flow, other = Call(ends.client, "udp", VPS, 1013), Call(ends.client, "udp", VPS, 1099)
        assert flow.ask() in GONE
        assert other.ask() == CLIENT
        look = "iptables -t nat -nvxL RT-wg0-DNAT | grep rt:wg0:b; "
        look += "conntrack -L -p udp --orig-port-dst 1099 2>/dev/null | grep -o 'sport=[0-9]*'"
        before = ends.vps.machine.run(look).stdout
        ends.vps.put("web", f"udp 1012-1014 -> {SERVER}:8080-8082")
        assert flow.ask() == CLIENT
        assert other.ask() == CLIENT
        after = ends.vps.machine.run(look).stdout
        assert after == before
        end([flow, other])
