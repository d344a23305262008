"""IPv6: a visitor reaches a server whose own line has none, and whatever guards IPv4 guards it."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from components.unmanaged_server import server_config
from components.wireguard_file import Gateway
from components.wireguard_file import Machine as WireGuardMachine
from tests.host.conftest import fresh_machine
from tests.host.dual import (
    ANOTHER6,
    CLIENT6,
    INSIDE6,
    NETWORK6,
    SERVER6,
    SHORT_LIFETIME,
    Dual,
    address_of,
    advertise,
    advertised_route,
    dual,
    peer_lines,
    renewed_route,
)
from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.world import CLIENT, GONE, SERVER, SHUT, VPS, Call, call, serve, served
from tests.settings.samples import public_key
from tests.support import eventually

WITH_IPV6 = f"ipv6 {INSIDE6}/64\n"
ALL = "/proc/sys/net/ipv6/conf/all/forwarding"
ACCEPT_RA = "/proc/sys/net/ipv6/conf/ens6/accept_ra"


@pytest.fixture(scope="module")
def ends() -> Iterator[Dual]:
    """One internet for all: each test uses ports of its own."""
    with dual() as made:
        made.world.serve(8081)
        for port in (8078, 8081):
            made.world.serve(port, "::")
        yield made


@contextmanager
def forward(ends: Dual, line: str, more: str = "", name: str = "web") -> Iterator[None]:
    """A forward for both families, for a while."""
    ends.vps.put(name, f"{line}\nipv6 {SERVER6}\n{more}".rstrip())
    try:
        yield
    finally:
        ends.vps.remove(name)


# ---- visitors ----


def test_connections_of_both_families_are_counted_together(ends: Dual) -> None:
    with forward(ends, f"tcp 88 -> {SERVER}:8081"):
        calls = [Call(ends.client, "tcp", address, 88) for address in (ends.vps6, VPS)]
        assert [one.ask() for one in calls] == [CLIENT6, CLIENT]
        assert ends.vps.told("forward web")[1] == "2"
        for one in calls:
            one.end()


@pytest.mark.parametrize("added", [0, 26000], ids=["marked", "what leads nowhere"])
def test_a_servers_way_back_by_ipv6_that_is_gone_is_told_and_mended(ends: Dual, added: int) -> None:
    server = ends.world.server
    settings = server.machine.read(f"{server.files}/settings")

    assert "routes" not in server.wrong()
    table = f"$(cut -d' ' -f2 {server.files}/mark)"
    server.machine.run(f"ip -6 rule del priority $(({table} + {added}))")
    assert "routes" in server.wrong()
    server.call("interface", stdin=settings)
    assert "routes" not in server.wrong()


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (f"echo 0 >{ALL}", "forwarding"),
        (f"ip -6 address del {INSIDE6}/64 dev wg0", "addresses"),
        (f"ip -6 address add {INSIDE6}99/64 dev wg0 nodad", "addresses"),
    ],
)
def test_what_of_ipv6_somebody_has_changed_on_the_vps_is_told_and_mended(
    ends: Dual, harm: str, word: str
) -> None:
    vps = ends.vps
    assert vps.wrong() == []
    vps.machine.run(harm)
    assert vps.wrong() == [word]
    vps.call("interface", stdin=vps.machine.read(f"{vps.files}/settings"))
    assert vps.wrong() == []


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_the_service_sees_the_visitors_own_address_of_either_family(
    ends: Dual, protocol: str
) -> None:
    with forward(ends, f"{protocol} 80 -> {SERVER}:8081"):
        assert call(ends.client, protocol, ends.vps6, 80) == CLIENT6
        assert call(ends.client, protocol, VPS, 80) == CLIENT
        assert call(ends.client, protocol, ends.vps6, 8081) in SHUT
        ends.vps.put("web", f"{protocol} 80 -> {SERVER}:8081")
        assert call(ends.client, protocol, ends.vps6, 80) in SHUT
        assert call(ends.client, protocol, VPS, 80) == CLIENT
    assert call(ends.client, protocol, ends.vps6, 80) in SHUT


def test_without_the_last_way_a_line_without_ipv6_answers_nobody(ends: Dual) -> None:
    """Shows that the test above can fail."""
    with forward(ends, f"tcp+udp 81 -> {SERVER}:8081"):
        ends.server.run("while ip -6 rule del iif lo 2>/dev/null; do :; done")
        for protocol in ("tcp", "udp"):
            assert call(ends.client, protocol, ends.vps6, 81) == "-"
        ends.world.server.call("up")
        for protocol in ("tcp", "udp"):
            assert call(ends.client, protocol, ends.vps6, 81) == CLIENT6


@contextmanager
def line_with_ipv6(ends: Dual) -> Iterator[str]:
    """The server's own line has IPv6, too, for a while; its address."""
    ends.internet.run("ip -6 address add 2001:db8:3::1/64 dev home nodad")
    ends.server.run("ip -6 address add 2001:db8:3::20/64 dev eth0 nodad")
    ends.server.run("ip -6 route add default via 2001:db8:3::1")
    ends.world.server.call("up")
    try:
        yield "2001:db8:3::20"
    finally:
        ends.server.run(
            "ip -6 route del default via 2001:db8:3::1; ip -6 address flush dev eth0 scope global"
        )
        ends.internet.run("ip -6 address del 2001:db8:3::1/64 dev home")
        ends.world.server.call("up")


def test_a_line_that_loses_its_ipv6_is_as_if_it_had_never_had_any(ends: Dual) -> None:
    """UDP above all, which is sent to the line's address: nobody has that one by now."""
    note = f"{ends.world.server.files}/line-address-ipv6"
    with forward(ends, f"udp 89 -> {SERVER}:8081"):
        with line_with_ipv6(ends) as own:
            assert ends.server.read(note) == f"{own}\n"
            assert call(ends.client, "udp", ends.vps6, 89) == CLIENT6
        assert call(ends.client, "udp", ends.vps6, 89) == CLIENT6
        assert ends.server.run(f"test -e {note}", check=False).status != 0


def test_a_server_with_ipv6_of_its_own_answers_visitors_by_the_tunnel(ends: Dual) -> None:
    """And its own traffic stays on its own line."""
    serve(ends.client, 1001, "::")
    with line_with_ipv6(ends) as own, forward(ends, f"tcp+udp 82 -> {SERVER}:8081"):
        for protocol in ("tcp", "udp"):
            assert call(ends.client, protocol, ends.vps6, 82) == CLIENT6
            assert call(ends.server, protocol, CLIENT6, 1001) == own
            assert call(ends.client, protocol, own, 8081) == CLIENT6


def test_what_a_server_without_ipv6_begins_itself_is_told_so_at_once(ends: Dual) -> None:
    connect = f"python3 -c 'import socket; socket.create_connection((\"{CLIENT6}\", 1002))'"
    said = ends.server.run(connect, check=False).stderr
    assert "Network is unreachable" in said
    assert call(ends.server, "tcp", INSIDE6, 1002) == "refused"  # the tunnel is another thing


def test_a_remapped_range_goes_port_by_port(ends: Dual) -> None:
    with forward(ends, f"tcp+udp 9000-9003 -> {SERVER}:8078-8081"):
        for protocol in ("tcp", "udp"):
            for _ in range(3):
                assert call(ends.client, protocol, ends.vps6, 9000) == CLIENT6
                assert call(ends.client, protocol, ends.vps6, 9003) == CLIENT6
                assert call(ends.client, protocol, ends.vps6, 9001) in SHUT
    with forward(ends, f"tcp 8078-8081 -> {SERVER}:8078-8081"):
        assert call(ends.client, "tcp", ends.vps6, 8081) == CLIENT6


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_only_those_on_the_list_get_in_and_a_family_that_is_not_on_it_does_not(
    ends: Dual, protocol: str
) -> None:
    line = f"{protocol} 1003 -> {SERVER}:8081"
    with served(ends.vps.machine, 1003, "::"):
        with forward(ends, line, "from 2001:db8:1::/64"):
            assert call(ends.client, protocol, ends.vps6, 1003) == CLIENT6
            assert call(ends.internet, protocol, ends.vps6, 1003) == "-"
            assert call(ends.client, protocol, VPS, 1003) == "-"
            ends.vps.put("web", f"{line}\nipv6 {SERVER6}\nfrom {CLIENT}/32")
            assert call(ends.client, protocol, ends.vps6, 1003) == "-"
            assert call(ends.client, protocol, VPS, 1003) == CLIENT
        assert call(ends.internet, protocol, ends.vps6, 1003) == ANOTHER6  # the VPS's own


def test_a_visitors_whole_network_counts_as_one(ends: Dual) -> None:
    ends.client.run("ip -6 address add 2001:db8:1::11/64 dev eth0 nodad")
    burst = (
        "python3 -c 'import socket\nfor n in range(40):\n"
        " s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        ' s.bind(("2001:db8:1::1%d" % (n % 2), 0))\n'
        f' s.connect(("{ends.vps6}", 1004)); s.send(b"?")\''
    )
    counter = "ip6tables -t mangle -vnxL RT-wg0-GATE | awk '/#conn|limit:/ {print $1}'"
    for limit, dropped in (("limit-concurrent 30", 10), ("limit-new 20", 1), ("limit-new 1", 30)):
        with forward(ends, f"udp 1004 -> {SERVER}:8081", limit):
            ends.client.run(burst)
            assert int(ends.vps.machine.run(counter).stdout) >= dropped
            assert call(ends.internet, "udp", ends.vps6, 1004) == ANOTHER6
    ends.client.run("ip -6 address del 2001:db8:1::11/64 dev eth0")


def test_as_the_tunnel_the_service_sees_the_vps(ends: Dual) -> None:
    with forward(ends, f"tcp+udp 1005 -> {SERVER}:8081", "source-address tunnel"):
        for protocol in ("tcp", "udp"):
            assert call(ends.client, protocol, ends.vps6, 1005) == INSIDE6


# ---- connections ----


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_connection_ends_with_its_forward_and_others_live_on(ends: Dual, protocol: str) -> None:
    line = f"{protocol} 1006 -> {SERVER}:8081"
    with forward(ends, f"{protocol} 1007 -> {SERVER}:8081", name="other"):
        other = Call(ends.client, protocol, ends.vps6, 1007)
        assert other.ask() == CLIENT6
        for end in (
            f"{line}\nipv6 {SERVER6}\npaused",
            f"{line}\nipv6 {SERVER6}\nfrom {CLIENT}/32",
            line,
        ):
            with forward(ends, line):
                mine, by_ipv4 = (Call(ends.client, protocol, to, 1006) for to in (ends.vps6, VPS))
                assert (mine.ask(), by_ipv4.ask()) == (CLIENT6, CLIENT)
                ends.vps.put("web", end)
                assert mine.ask() in GONE
                assert (by_ipv4.ask() in GONE) == ("paused" in end)
                assert other.ask() == CLIENT6
                mine.end()
                by_ipv4.end()
        other.end()


def test_a_udp_flow_follows_its_forward_at_once(ends: Dual) -> None:
    """From the VPS's own service to the server's, and back."""
    serve(ends.vps.machine, 1008, "::")
    flow = Call(ends.internet, "udp", ends.vps6, 1008)
    assert flow.ask() == ANOTHER6
    look = "conntrack -L -f ipv6 -p udp --orig-port-dst 1008 2>/dev/null"
    assert f"src={ends.vps6}" in ends.vps.machine.run(look).stdout
    with forward(ends, f"udp 1008 -> {SERVER}:8081"):
        assert flow.ask() == ANOTHER6
        assert f"src={SERVER6}" in ends.vps.machine.run(look).stdout
    flow.end()


# ---- guards ----


def test_a_neighbour_that_routes_the_tunnel_through_the_vps_reaches_nothing(ends: Dual) -> None:
    neighbour = ends.internet
    serve(ends.vps.machine, 1009, INSIDE6)
    neighbour.run(f"ip -6 route add {NETWORK6} via {ends.vps6} dev vps")
    for address, port in ((SERVER6, 8081), (INSIDE6, 1009)):
        for protocol in ("tcp", "udp"):
            assert call(neighbour, protocol, address, port) == "-"
    ends.vps.machine.run("ip6tables -t mangle -F RT-wg0-PRE; ip6tables -F RT-wg0-FWD")
    assert call(neighbour, "tcp", SERVER6, 8081) == ANOTHER6
    assert call(neighbour, "tcp", INSIDE6, 1009) == ANOTHER6
    ends.vps.call("up")
    assert call(neighbour, "tcp", SERVER6, 8081) == "-"
    neighbour.run(f"ip -6 route del {NETWORK6}")


def test_nobody_outside_can_speak_as_the_vps_itself(ends: Dual) -> None:
    """The kernel asks of IPv4 alone whether an address is this host's own."""
    neighbour, count = ends.internet, "ip6tables -t raw -nvxL PREROUTING | awk '/fd5c/ {print $1}'"
    ends.server.run(f"ip6tables -t raw -A PREROUTING -i wg0 -p udp -s {INSIDE6} --dport 8081")
    neighbour.run(f"ip -6 address add {INSIDE6}/128 dev lo nodad")
    neighbour.run(f"ip -6 route add {ends.vps6} dev vps src {INSIDE6}")
    with forward(ends, f"udp 1011 -> {SERVER}:8081"):
        assert call(neighbour, "udp", ends.vps6, 1011) == "-"
        assert ends.server.run(count).stdout == "0\n"
        rule = f"{NETWORK6} ! -i wg0 -j DROP"
        ends.vps.machine.run(f"ip6tables -t mangle -D RT-wg0-PRE -s {rule}")
        assert call(neighbour, "udp", ends.vps6, 1011) == "-"
        assert int(ends.server.run(count).stdout) > 0
    ends.vps.call("up")
    neighbour.run(
        f"ip -6 route del {ends.vps6} src {INSIDE6}; ip -6 address del {INSIDE6}/128 dev lo"
    )
    ends.server.run("ip6tables -t raw -F")


def test_tunnel_addresses_never_leave_the_vps_untranslated(ends: Dual) -> None:
    ends.internet.run(f"ip6tables -t raw -A PREROUTING -i vps -s {NETWORK6}")
    count = "ip6tables -t raw -nvxL PREROUTING | awk '/fd5c/ {print $1}'"
    ends.server.run("ip6tables -F RT-wg0-OWN")
    assert call(ends.server, "udp", CLIENT6, 1010) == "-"
    assert ends.internet.run(count).stdout == "0\n"
    ends.vps.machine.run("ip6tables -F RT-wg0-FWD")
    assert call(ends.server, "udp", CLIENT6, 1010) == "-"
    assert int(ends.internet.run(count).stdout) >= 1
    for end in (ends.vps, ends.world.server):
        end.call("up")
    ends.internet.run("ip6tables -t raw -F")


def test_the_vps_reaches_the_server_but_not_what_lies_behind_it(ends: Dual) -> None:
    """Also where the server passes on IPv6, for somebody else."""
    behind = "2001:db8:4::30"
    with Machine() as nas:
        ends.server.join(nas, "lan0 192.168.7.1/24", "eth0 192.168.7.30/24")
        ends.server.run("ip -6 address add 2001:db8:4::1/64 dev lan0 nodad")
        nas.run(f"ip -6 address add {behind}/64 dev eth0 nodad")
        nas.run("ip -6 route add default via 2001:db8:4::1")
        ends.server.run(f"echo 1 >{ALL}")
        serve(nas, 22, "::")
        vps = ends.vps.machine
        vps.run(
            f"ip -6 route add {behind} dev wg0; wg set wg0 peer $(wg show wg0 peers)"
            f" allowed-ips {SERVER}/32,{SERVER6}/128,{behind}/128"
        )
        assert call(vps, "tcp", behind, 22) == "-"
        ends.server.run("ip6tables -F RT-wg0-FWD")
        assert call(vps, "tcp", behind, 22) == INSIDE6
        ends.world.server.call("up")
        vps.run(f"ip -6 route del {behind}")
        ends.vps.call("put-peer homelab", stdin=peer_lines(ends.world))
        ends.server.run(f"echo 0 >{ALL}")


@contextmanager
def way_out(ends: Dual) -> Iterator[None]:
    """The server's own traffic leaves by the VPS, for a while."""
    settings = ends.server.read(f"{ends.world.server.files}/settings")
    ends.vps.call("put-peer homelab", stdin=peer_lines(ends.world, "egress tunnel\n"))
    ends.world.server.call("interface", stdin=settings + "egress tunnel\n")
    try:
        yield
    finally:
        ends.world.server.call("interface", stdin=settings)
        ends.vps.call("put-peer homelab", stdin=peer_lines(ends.world))


def test_the_way_out_through_the_tunnel_has_the_address_of_the_vps(ends: Dual) -> None:
    serve(ends.client, 1011, "::")
    with way_out(ends):
        for protocol in ("tcp", "udp"):
            assert call(ends.server, protocol, CLIENT6, 1011) == ends.vps6
        open_call = Call(ends.server, "udp", CLIENT6, 1011)
        assert open_call.ask() == ends.vps6
        with forward(ends, f"tcp+udp 1012 -> {SERVER}:8081", "from 2001:db8:1::/64"):
            for protocol in ("tcp", "udp"):
                assert call(ends.client, protocol, ends.vps6, 1012) == CLIENT6
                # By its own public address: a visitor who is not on the list, then one who is.
                assert call(ends.server, protocol, ends.vps6, 1012) == "-"
            ends.vps.put("web", f"tcp+udp 1012 -> {SERVER}:8081\nipv6 {SERVER6}")
            for protocol in ("tcp", "udp"):
                assert call(ends.server, protocol, ends.vps6, 1012) == INSIDE6
        ends.vps.call("put-peer homelab", stdin=peer_lines(ends.world))
        assert open_call.ask() in GONE
        assert call(ends.server, "udp", CLIENT6, 1011) == "-"
        open_call.end()


def test_a_servers_way_out_by_ipv6_that_is_gone_is_told_and_mended(ends: Dual) -> None:
    server = ends.world.server
    with way_out(ends):
        assert "routes" not in server.wrong()
        priority = f"$(($(cut -d' ' -f2 {server.files}/mark) + 100))"
        server.machine.run(f"ip -6 rule del priority {priority}")
        assert "routes" in server.wrong()
        server.call("interface", stdin=server.machine.read(f"{server.files}/settings"))
        assert "routes" not in server.wrong()


def test_a_server_by_its_file_alone_answers_by_both(ends: Dual) -> None:
    """One that nobody logs in to. What it begins itself is told that there is no IPv6."""
    server, vps = ends.server, ends.vps.machine
    settings = server.read(f"{ends.world.server.files}/settings")
    private = server.read(f"{ends.world.server.files}/private.key").strip()
    file = server_config(
        WireGuardMachine("homelab", IPv4Address(SERVER), private, 1420, ipv6=IPv6Address(SERVER6)),
        Gateway(
            vps.run("wg show wg0 public-key").stdout.strip(),
            f"{VPS}:51820",
            IPv4Address("172.16.0.1"),
            IPv4Network("172.16.0.0/24"),
            25,
            IPv6Network(NETWORK6),
        ),
    )
    ends.world.server.call("uninstall reverse-tunnel/home")
    before = snapshot(server)
    server.write("/etc/wireguard/wg0.conf", file)
    server.run("wg-quick up wg0")
    server.run("ping -c 1 -w 20 -i 0.2 172.16.0.1")
    with forward(ends, f"tcp+udp 1013 -> {SERVER}:8081"):
        for protocol in ("tcp", "udp"):
            assert call(ends.client, protocol, ends.vps6, 1013) == CLIENT6
            assert call(ends.client, protocol, VPS, 1013) == CLIENT
    connect = f"python3 -c 'import socket; socket.create_connection((\"{CLIENT6}\", 1002))'"
    assert "Network is unreachable" in server.run(connect, check=False).stderr
    server.run("wg-quick down wg0; rm /etc/wireguard/wg0.conf")
    assert snapshot(server) == before
    ends.world.server.install()
    ends.world.server.call("key", stdin=private)
    ends.world.server.call("interface", stdin=settings)
    server.run("ping -c 1 -w 20 -i 0.2 172.16.0.1")


# ---- the host ----


def test_the_vps_keeps_its_advertised_route() -> None:
    """Each new advertisement renews it; without accept_ra the kernel takes none as a router."""
    with dual(SHORT_LIFETIME) as ends:
        vps = ends.vps.machine
        assert vps.read(ALL) == "1\n"
        assert vps.read(ACCEPT_RA) == "2\n"
        assert "via fe80" in renewed_route(vps)
        # As a router, which it becomes when another program switches all on.
        vps.run(f"echo 1 >{ALL}")
        assert "via fe80" in renewed_route(vps)
        vps.run(f"echo 1 >{ACCEPT_RA}; echo 0 >{ALL}; echo 1 >{ALL}")
        assert renewed_route(vps) == ""
        vps.run(f"echo 0 >{ALL}")
        ends.vps.call("up")
        assert "via fe80" in renewed_route(vps)


@pytest.fixture
def router() -> Iterator[Machine]:
    """What a fresh host is plugged into."""
    with Machine() as made:
        yield made


@pytest.fixture
def advertised(router: Machine) -> Iterator[Machine]:
    """A fresh host whose route of IPv6 is advertised to it."""
    with Machine() as host:
        host.join(router, "ens6 203.0.113.10/24", "eth0 203.0.113.1/24")
        host.run("ip route add default via 203.0.113.1")
        advertise(router, "eth0", SHORT_LIFETIME)
        address_of(host, "ens6")
        yield host


def test_a_tunnel_with_ipv6_leaves_no_trace(advertised: Machine, router: Machine) -> None:
    """And its route was there all the time."""
    before = snapshot(advertised)
    tunnel = Tunnel(advertised)
    tunnel.set_up_vps()
    tunnel.call("interface", stdin=tunnel.vps_settings() + WITH_IPV6)
    tunnel.put("https", f"tcp 443 -> {SERVER}:8081\nipv6 {SERVER6}\nfrom 2001:db8::/32")
    assert advertised_route(advertised)
    saved = advertised.run("ip6tables-save -t nat").stdout
    assert [line for line in saved.splitlines() if line.endswith("-j RT-wg0-DNAT")] == [
        "-A RT-wg0-VISIT -i ens6 -m addrtype --dst-type LOCAL -j RT-wg0-DNAT",
        f"-A RT-wg0-VISIT ! -d {INSIDE6}/128 -i wg0 -m addrtype --dst-type LOCAL -j RT-wg0-DNAT",
    ]
    assert tunnel.told("forward https")[0] == "ok"
    advertised.run("ip6tables -t mangle -F RT-wg0-GATE")
    assert tunnel.told("forward https")[0] == "differs"
    tunnel.put("game", f"udp 5000 -> {SERVER}:5000\nipv6 {SERVER6}")
    router.run("ip -6 address add 2001:db8:2::1/64 dev eth0 nodad")
    router.run(f"nc -u -w 1 {address_of(advertised, 'ens6')} 5000 <<<''", check=False)
    look = "conntrack -L -f ipv6 -p udp --orig-port-dst 5000 2>/dev/null"
    assert SERVER6 in advertised.run(look).stdout
    tunnel.call("uninstall reverse-tunnel/home")
    assert advertised.run(look).stdout == ""
    assert snapshot(advertised) == before
    assert advertised_route(advertised)


@pytest.mark.parametrize(
    "more", ["", "egress tunnel\nnetwork 203.0.113.0/24\n"], ids=["plain", "with a way out"]
)
def test_a_server_with_ipv6_leaves_no_trace(advertised: Machine, more: str) -> None:
    """Nor does one whose line has IPv6 as well."""
    looks = ("ip -6 rule", "ip -6 route show table all", "ip6tables-save -t mangle")
    before, seen = snapshot(advertised), [advertised.run(look).stdout for look in looks]
    server = Tunnel(advertised)
    server.install()
    server.set_key()
    lines = server.server_settings(f"{SERVER}/24", public_key(1), "203.0.113.1:51820")
    server.call("interface", stdin=f"{lines}ipv6 {SERVER6}/64\n{more}")
    for look, was in zip(looks, seen, strict=True):
        assert advertised.run(look).stdout != was, look
    server.call("uninstall reverse-tunnel/home")
    assert snapshot(advertised) == before


def test_a_route_that_another_program_was_told_of_stays(vps: Tunnel) -> None:
    """systemd-networkd's or NetworkManager's: the kernel itself takes no advertisements then."""
    machine = vps.machine
    machine.run(f"echo 0 >{ACCEPT_RA}; ip -6 address add 2001:db8:2::10/64 dev ens6 nodad")
    machine.run("ip -6 route add default via fe80::1 dev ens6 proto ra metric 100 expires 1800")
    before = snapshot(machine)
    vps.call("interface", stdin=vps.vps_settings() + WITH_IPV6)
    assert " via fe80::1 " in advertised_route(machine)
    assert machine.read(ACCEPT_RA) == "0\n"
    vps.call("interface", stdin=vps.vps_settings())
    assert snapshot(machine) == before


def test_a_stack_that_gives_it_up_is_as_if_it_had_never_had_it(vps: Tunnel) -> None:
    before = snapshot(vps.machine)
    vps.call("interface", stdin=vps.vps_settings() + WITH_IPV6)
    assert snapshot(vps.machine) != before
    vps.call("interface", stdin=vps.vps_settings())
    assert snapshot(vps.machine) == before


def test_without_ipv6_in_the_stack_nothing_is_done_about_it(machine: Machine) -> None:
    state = "ip6tables-save | grep -v '^#'; ip -6 rule; ip -6 route show table all | grep -v wg0;"
    state += "grep -H '' /proc/sys/net/ipv6/conf/{all,ens6}/{forwarding,accept_ra,disable_ipv6}"
    # The kernel has a route to an address of its own when it knows that nobody else has it.
    own = "ip -6 address show dev ens6 scope link -tentative"
    eventually(lambda: machine.run(own).stdout, 30, "no address of the link")
    before = machine.run(state).stdout
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("https", f"tcp 443 -> {SERVER}:8081\nfrom {CLIENT}/32\nlimit-concurrent 5")
    assert machine.run(state).stdout == before


def test_a_host_with_ipv6_switched_off_has_its_part_by_ipv4(machine: Machine) -> None:
    machine.run("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    said = tunnel.call("interface", stdin=tunnel.vps_settings() + WITH_IPV6).stderr
    assert "of IPv4 alone" in said
    tunnel.put("https", f"tcp 443 -> {SERVER}:8081\nipv6 {SERVER6}")
    assert tunnel.told("forward https")[0] == "ok"
    assert "RT-" not in machine.run("ip6tables-save").stdout
    machine.run("wg-quick down wg0; wg-quick up wg0")
    tunnel.call("uninstall reverse-tunnel/home")
    assert snapshot(machine) == before


def test_one_that_switches_ipv6_off_and_on_starts_again_each_time(machine: Machine) -> None:
    """As by a reboot: the file that wg-quick starts it by is the one of before."""
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.call("interface", stdin=tunnel.vps_settings() + WITH_IPV6)
    tunnel.put("https", f"tcp 443 -> {SERVER}:8081\nipv6 {SERVER6}")
    whole = machine.run("ip -o address show dev wg0 scope global | awk '{print $4}'").stdout
    assert INSIDE6 in whole
    for off in ("1", "0"):
        machine.run(f"wg-quick down wg0; echo {off} >/proc/sys/net/ipv6/conf/all/disable_ipv6")
        machine.run("wg-quick up wg0")
        has_ipv6 = off == "0"
        now = machine.run("ip -o address show dev wg0 scope global | awk '{print $4}'").stdout
        assert (now == whole) == has_ipv6
        assert tunnel.told("forward https")[0] == "ok"
        assert ("RT-" in machine.run("ip6tables-save").stdout) == has_ipv6


def test_the_last_to_leave_restores_forwarding_and_advertisements(advertised: Machine) -> None:
    one, other = Tunnel(advertised), Tunnel(advertised, "wg-game", "reverse-tunnel/game")
    one.set_up_vps()
    one.call("interface", stdin=one.vps_settings() + WITH_IPV6)
    other.set_up_vps("10.8.0.1/24", 51821)
    settings = other.vps_settings("10.8.0.1/24", 51821)
    overlapping = other.call("interface", stdin=settings + f"ipv6 {SERVER6}/64\n", check=False)
    assert overlapping.status == REFUSED
    assert "network.ipv6 fd5c:91e2:7a3b::/64 overlaps" in overlapping.stderr
    other.call("interface", stdin=settings + "ipv6 fd00:8::1/64\n")
    one.call("uninstall reverse-tunnel/home")
    assert (advertised.read(ALL), advertised.read(ACCEPT_RA)) == ("1\n", "2\n")
    other.call("uninstall reverse-tunnel/game")
    assert (advertised.read(ALL), advertised.read(ACCEPT_RA)) == ("0\n", "1\n")
    assert advertised_route(advertised)


def test_who_takes_advertisements_over_meanwhile_keeps_them(advertised: Machine) -> None:
    """As a program that sees to a link's addresses itself."""
    tunnel = Tunnel(advertised)
    tunnel.set_up_vps()
    tunnel.call("interface", stdin=tunnel.vps_settings() + WITH_IPV6)
    advertised.run(f"echo 0 >{ACCEPT_RA}")
    tunnel.call("uninstall reverse-tunnel/home")
    assert advertised.read(ACCEPT_RA) == "0\n"


def test_what_docker_needs_by_then_stays(advertised: Machine) -> None:
    """It switches on what is off: that of the interfaces to come, and of the host."""
    tunnel = Tunnel(advertised)
    tunnel.set_up_vps()
    tunnel.call("interface", stdin=tunnel.vps_settings() + WITH_IPV6)
    for place in ("default", "all"):
        advertised.run(
            f"grep -q 1 {ALL.replace('all', place)} || echo 1 >{ALL.replace('all', place)}"
        )
    tunnel.call("uninstall reverse-tunnel/home")
    assert advertised.read(ALL) == "1\n"
    assert "via fe80" in renewed_route(advertised)


def test_a_host_that_forwarded_before_goes_on() -> None:
    with fresh_machine() as host:
        host.run(f"echo 1 >{ALL}")
        before = snapshot(host)
        tunnel = Tunnel(host)
        tunnel.set_up_vps()
        tunnel.call("interface", stdin=tunnel.vps_settings() + WITH_IPV6)
        tunnel.call("uninstall reverse-tunnel/home")
        assert snapshot(host) == before


def test_a_network_that_the_host_has_otherwise_is_refused(vps: Tunnel) -> None:
    vps.machine.run(f"ip -6 address add {SERVER6}/64 dev ens6 nodad")
    refused = vps.call("interface", stdin=vps.vps_settings() + WITH_IPV6, check=False)
    assert refused.status == REFUSED
    assert "network.ipv6 fd5c:91e2:7a3b::/64 overlaps fd5c:91e2:7a3b::/64" in refused.stderr


def test_a_vpns_wide_route_gives_way_and_a_wide_network_of_the_hosts_own_does_not(
    vps: Tunnel,
) -> None:
    vps.machine.run("ip -6 route add 8000::/1 dev ens6")
    vps.call("interface", stdin=vps.vps_settings() + WITH_IPV6)
    vps.machine.run("ip -6 route add fd5c:91e2::/32 dev ens6 proto ra")
    refused = vps.call("interface", stdin=vps.vps_settings() + WITH_IPV6, check=False)
    assert refused.status == REFUSED
    assert "network.ipv6 fd5c:91e2:7a3b::/64 overlaps fd5c:91e2::/32" in refused.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ipv6 172.16.0.4", "is not an IPv6 address"),
        ("ipv6 fd5c::1::4", "is not an IPv6 address"),
        ("ipv6 FD5C::4", "is not an IPv6 address"),
        ("ipv6 fd5c::4/64", "is not an IPv6 address"),
        ("ipv6 fd5c:0::4", "is not an IPv6 address"),
        ("from 2001:db8::1/32", "is not a network"),
        ("from ::/0", "is not a network"),
        ("from 2001:db8::/129", "is not a network"),
        ("from 2001:db8:::/32", "is not a network"),
    ],
)
def test_lines_that_are_not_valid_are_refused_and_change_nothing(
    standing_vps: Tunnel, line: str, says: str
) -> None:
    before = snapshot(standing_vps.machine)
    refused = standing_vps.put("web", f"tcp 80 -> {SERVER}:80\n{line}", check=False)
    assert refused.status == REFUSED
    assert says in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert snapshot(standing_vps.machine) == before


@pytest.mark.parametrize("line", ["ipv6 172.16.0.1/24", "ipv6 fd5c::1", "ipv6 fd5c::1/129"])
def test_settings_that_are_not_valid_are_refused(standing_vps: Tunnel, line: str) -> None:
    settings = f"{standing_vps.vps_settings()}{line}\n"
    refused = standing_vps.call("interface", stdin=settings, check=False)
    assert refused.status == REFUSED
    assert "an IPv6 address with its network's prefix length" in refused.stderr
