"""A server whose VPS answers no more dials the address that its name has now."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from components.unmanaged_server import server_config
from components.wireguard_file import Gateway
from components.wireguard_file import Machine as WireGuardMachine
from tests.host.machine import Machine
from tests.host.tunnel import KILLED
from tests.host.watched import beginning, watched
from tests.host.world import VPS, World, world
from tests.support import eventually

NAME = "vps.example.org"
MOVED = "203.0.113.11"
IN_TUNNEL = "172.16.0.1"
LONG = 90.0  # seconds; it takes WireGuard up to twenty to give up on the old address


def name_leads_to(server: Machine, *addresses: str) -> None:
    server.run(f"sed -i /{NAME}/d /etc/hosts")
    for address in addresses:
        server.run(f"echo {address} {NAME} >>/etc/hosts")


def endpoint(server: Machine) -> str:
    return server.run("wg show wg0 endpoints").stdout.split()[1]


def answers(server: Machine) -> bool:
    return server.run(f"ping -c 1 -W 1 {IN_TUNNEL}", check=False).status == 0


def asked(vps: Machine) -> int:
    """How often the VPS was pinged."""
    (head, counts) = vps.run("grep ^Icmp: /proc/net/snmp").stdout.splitlines()
    return int(dict(zip(head.split(), counts.split(), strict=True))["InEchos"])


def set_endpoint(ends: World, host: str, keepalive: int = 25) -> None:
    key = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
    lines = ends.server.server_settings("172.16.0.4/24", key, f"{host}:51820")
    ends.server.call("interface", stdin=lines.replace("keepalive 25", f"keepalive {keepalive}"))


@pytest.fixture
def ends() -> Iterator[World]:
    """A tunnel whose server dials the VPS by its name."""
    with world() as ends:
        name_leads_to(ends.server.machine, VPS)
        set_endpoint(ends, NAME)
        eventually(lambda: answers(ends.server.machine), LONG, "the tunnel is not up")
        yield ends


def test_a_name_that_has_an_address_of_ipv6_as_well_is_dialled_by_ipv4(ends: World) -> None:
    """That one is for visitors: the provider's panel may let the tunnel's port in by IPv4 alone."""
    server = ends.server.machine
    server.run("ip -6 address add 2001:db8:3::20/64 dev eth0 nodad")
    server.run("ip -6 route add default via 2001:db8:3::1 dev eth0")
    name_leads_to(server, "2001:db8:2::10", VPS)
    assert server.run(f"getent ahosts {NAME}").stdout.startswith("2001:db8:2::10")
    set_endpoint(ends, NAME, keepalive=24)
    assert endpoint(server) == f"{VPS}:51820"
    server.run("wg-quick down wg0; wg-quick up wg0")
    assert endpoint(server) == f"{VPS}:51820"


def move(vps: Machine) -> None:
    vps.run(f"ip address add {MOVED}/24 dev ens6; ip address del {VPS}/24 dev ens6")
    vps.run(f"ip address replace {MOVED}/24 dev ens6; ip route replace default via 203.0.113.1")


def test_a_vps_with_another_address_is_found_by_its_name(ends: World) -> None:
    server = ends.server.machine
    with watched(ends.server):
        move(ends.vps.machine)
        # Nobody is told yet, and the server keeps asking where the name has led to.
        before = asked(ends.vps.machine)
        eventually(lambda: not answers(server), LONG, "the VPS still answers")
        assert endpoint(server) == f"{VPS}:51820"
        name_leads_to(server, MOVED)
        eventually(lambda: endpoint(server) == f"{MOVED}:51820", LONG, "the name was not looked up")
        eventually(lambda: answers(server), LONG, "the tunnel did not come back")
        eventually(lambda: asked(ends.vps.machine) > before, LONG, "the server asks no more")


def test_a_name_is_not_looked_up_while_the_vps_answers(ends: World) -> None:
    """It may be wrong, or its server may lie, and the tunnel is well."""
    server, vps = ends.server.machine, ends.vps.machine
    with watched(ends.server):
        name_leads_to(server, MOVED)
        before = asked(vps)
        eventually(lambda: asked(vps) > before + 3, LONG, "the server does not ask")
        assert endpoint(server) == f"{VPS}:51820"


def test_a_vps_that_answers_no_pings_is_not_left(ends: World) -> None:
    """Its firewall may drop them. WireGuard's own word takes ten seconds, so at the usual pace."""
    server, vps = ends.server.machine, ends.vps.machine
    vps.run("iptables -I INPUT -i wg0 -p icmp -j DROP")
    name_leads_to(server, VPS, MOVED)
    dropped = "iptables -nvxL INPUT | awk '/ DROP / { print $1; exit }'"
    seen = set()

    def is_asked_often() -> bool:
        seen.add(endpoint(server))
        return int(vps.run(dropped).stdout) >= 4

    with beginning(ends.server, look_every=10) as go_on:
        go_on()
        eventually(is_asked_often, LONG, "the server does not ask")
    assert seen == {f"{VPS}:51820"}


def test_a_vps_without_its_sessions_waits_for_a_server_that_has_just_asked(ends: World) -> None:
    """Next time it notices, and WireGuard shakes hands anew some time later."""
    vps = ends.vps.machine
    key = vps.run("wg show wg0 peers").stdout.strip()
    with beginning(ends.server, look_every=10) as go_on:
        go_on()
        before = asked(vps)
        eventually(lambda: asked(vps) > before, LONG, "the server does not ask")
        vps.run("wg-quick down wg0; rm -f /etc/reverse-tunnel/wg0/endpoints; wg-quick up wg0")
        ends.vps.call("wait-handshake", stdin=f"peer homelab {key}\n")


def test_without_keepalive_a_server_stays_silent(ends: World) -> None:
    """That is what was wished. The watcher goes round all the same: it sees to the rules."""
    server, vps = ends.server.machine, ends.vps.machine
    set_endpoint(ends, NAME, keepalive=0)
    with watched(ends.server):
        before = asked(vps)
        chains = server.run("iptables -t nat -S").stdout
        for _ in range(3):
            server.run("iptables -t nat -F")
            eventually(
                lambda: server.run("iptables -t nat -S").stdout == chains, LONG, "no watcher"
            )
        assert asked(vps) == before


CALLS = "/var/log/systemctl"
# In the place of systemctl, for what the loop says.
# A stop of the loop ends it; the tunnel goes and comes once, however often that is asked then.
NOTING = """#!/bin/sh
echo "$*" >>{calls}
case $1 in
  stop) pkill -f 'while sleep' ;;
  try-restart) setsid flock -n /run sh -c 'wg-quick down wg0; wg-quick up wg0' >/dev/null 2>&1 & ;;
esac
"""
BLIND = """#!/bin/sh
case " $* " in *" -C "*) exit 1 ;; esac
exec /usr/sbin/iptables "$@"
"""
RULES = "iptables-save | grep -e ^-A -e ^:RT | sed 's/ .0:0.$//' | sort"  # tables go, and come last

SYSTEMD_RUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
"$@" &
"""


@pytest.fixture
def unmanaged(ends: World) -> World:
    """Its server is one that nobody logs in to; the loop that its file gives to systemd runs."""
    server, vps = ends.server.machine, ends.vps.machine
    private = server.read(f"{ends.server.files}/private.key").strip()
    key = vps.run("wg show wg0 public-key").stdout.strip()
    tunnel = IPv4Network("172.16.0.0/24")
    file = server_config(
        WireGuardMachine("homelab", IPv4Address("172.16.0.4"), private, 1420),
        Gateway(key, f"{NAME}:51820", IPv4Address(IN_TUNNEL), tunnel, 25),
    )
    ends.server.call("uninstall reverse-tunnel/home")
    server.write("/usr/bin/systemd-run", SYSTEMD_RUN)
    server.run("chmod 755 /usr/bin/systemd-run")
    quick = file.replace("sleep 10", "sleep 0.2").replace("-W 8", "-W 1")
    server.write("/etc/wireguard/wg0.conf", quick)
    server.run("wg-quick up wg0 >/dev/null 2>&1")
    eventually(lambda: answers(server), LONG, "the tunnel is not up")
    return ends


def test_a_server_by_its_file_alone_finds_the_vps_as_well(unmanaged: World) -> None:
    server, vps = unmanaged.server.machine, unmanaged.vps.machine
    name_leads_to(server, MOVED)
    before = asked(vps)
    eventually(lambda: asked(vps) > before + 3, LONG, "the server does not ask")
    assert endpoint(server) == f"{VPS}:51820"
    move(vps)
    eventually(lambda: endpoint(server) == f"{MOVED}:51820", LONG, "the name was not looked up")
    eventually(lambda: answers(server), LONG, "the tunnel did not come back")


@pytest.mark.parametrize(
    "loss",
    [
        "ip link del wg0",  # as where WireGuard is a program that was killed
        "iptables -F FORWARD",
        "iptables -t mangle -F",
        "iptables -t nat -F; iptables -t nat -X",
    ],
)
def test_such_a_server_gets_again_what_was_lost(unmanaged: World, loss: str) -> None:
    """By a start of its unit, which counts as running."""
    server = unmanaged.server.machine
    whole = server.run(RULES).stdout
    server.write("/usr/bin/systemctl", NOTING.format(calls=CALLS))
    server.run(loss)
    eventually(lambda: answers(server) and server.run(RULES).stdout == whole, LONG, "it is lost")
    assert set(server.read(CALLS).splitlines()) == {
        "try-restart --no-block wg-quick@wg0",
        "stop reverse-tunnel-wg0-redial",
    }


def test_one_whose_iptables_knows_no_rule_again_is_left_in_peace(unmanaged: World) -> None:
    """As there have been versions; it would else be begun anew every few seconds."""
    server = unmanaged.server.machine
    server.write("/usr/bin/systemctl", NOTING.format(calls=CALLS))
    server.write("/usr/bin/iptables", BLIND)
    server.run("chmod 755 /usr/bin/iptables; wg-quick down wg0; wg-quick up wg0 >/dev/null 2>&1")
    before = asked(unmanaged.vps.machine)
    eventually(lambda: asked(unmanaged.vps.machine) > before + 3, LONG, "it does not ask")
    assert set(server.read(CALLS).splitlines()) == {"stop reverse-tunnel-wg0-redial"}


def test_its_rule_for_udp_comes_last_again(unmanaged: World) -> None:
    """Behind the published ports of a Docker that starts later; nothing is begun anew for that."""
    server = unmanaged.server.machine
    server.write("/usr/bin/systemctl", NOTING.format(calls=CALLS))
    chain = "iptables -t nat -S PREROUTING"
    (_, ours) = server.run(chain).stdout.splitlines()
    docker = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
    server.run(f"iptables -t nat -N DOCKER; iptables -t nat {docker}")
    expected = ["-P PREROUTING ACCEPT", docker, ours]
    eventually(lambda: server.run(chain).stdout.splitlines() == expected, LONG, "it is not last")
    # Another tunnel's, which would be the last, too, may come behind it.
    other = "-A PREROUTING -i wg1 -p udp -j RT-wg1-UDP"
    server.run(f"iptables -t nat -N RT-wg1-UDP; iptables -t nat {other}")
    before = asked(unmanaged.vps.machine)
    eventually(lambda: asked(unmanaged.vps.machine) > before + 3, LONG, "it does not ask")
    assert server.run(chain).stdout.splitlines() == [*expected, other]
    assert server.run(f"test -e {CALLS}", check=False).status != 0


def test_its_udp_follows_another_address_of_its_line(unmanaged: World) -> None:
    """The old one is somebody else's by then. Nothing is begun anew for that."""
    server = unmanaged.server.machine
    server.write("/usr/bin/systemctl", NOTING.format(calls=CALLS))
    chain = "iptables -t nat -S RT-wg0-UDP"
    before = server.run(chain).stdout
    assert "--to-destination 192.0.2.20\n" in before
    server.run(
        "ip addr flush dev eth0; ip addr add 192.0.2.2/24 dev eth0;"
        " ip route add default via 192.0.2.1"
    )
    after = before.replace("192.0.2.20", "192.0.2.2")
    eventually(lambda: server.run(chain).stdout == after, LONG, "it does not follow")
    assert server.run(f"test -e {CALLS}", check=False).status != 0


def test_its_answers_leave_by_the_tunnel_beside_a_vpn_that_comes_later(unmanaged: World) -> None:
    """Whose rules come before all that are there, as those of wg-quick do."""
    server, way = unmanaged.server.machine, "ip route get 198.51.100.10"
    server.write("/usr/bin/systemctl", NOTING.format(calls=CALLS))
    rules = "ip rule | sed 's/^[0-9]*:.//' | grep 0x80000000"
    before = server.run(rules).stdout
    server.run(
        "ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip link set vpn1 up;"
        f" ip route add default dev vpn0 table 51820; ip route add {VPS} via 192.0.2.1"
    )
    server.run("ip rule add not fwmark 51820 table 51820")
    server.run("ip rule add table main suppress_prefixlength 0")
    marked = f"{way} mark 0x80000000"
    eventually(lambda: " dev wg0 " in server.run(marked).stdout, LONG, "it is led into the VPN")
    assert " dev vpn0 " in server.run(way).stdout
    eventually(lambda: server.run(rules).stdout == before, LONG, "not all of its rules are there")
    server.run("wg-quick down wg0")
    assert server.run(rules, check=False).stdout == ""


def test_of_several_addresses_the_next_one_is_dialled(ends: World) -> None:
    server = ends.server.machine
    name_leads_to(server, MOVED, VPS, "203.0.113.12")
    dialled = []
    for _ in range(3):
        ends.server.call("redial")
        dialled.append(endpoint(server))
    assert dialled == [f"{MOVED}:51820", "203.0.113.12:51820", f"{VPS}:51820"]


@pytest.mark.kills("redial")
def test_a_redial_that_was_killed_is_finished_by_the_next(ends: World) -> None:
    """While the VPS changes its key it is dialled by two, and either may be the one in use."""
    server = ends.server.machine

    def endpoints() -> set[str]:
        return {line.split()[1] for line in server.run("wg show wg0 endpoints").stdout.splitlines()}

    old = server.run("wg show wg0 peers").stdout.strip()
    new = server.run("wg genkey | wg pubkey").stdout.strip()
    settings = server.read(f"{ends.server.files}/settings").replace(old, new)
    ends.server.call("interface", stdin=settings, env={"RT_SETTLED": "1000"})
    assert set(server.run("wg show wg0 peers").stdout.split()) == {old, new}
    # Lest it answers, and tells where it is.
    ends.vps.machine.run("ip link set ens6 down")
    name_leads_to(server, MOVED)
    for _ in range(4):  # whichever of the two is told first: wireguard-go has no order of its own
        assert ends.server.call("redial", crash_at="dialled", check=False).status == KILLED
        assert endpoints() == {f"{VPS}:51820", f"{MOVED}:51820"}
        ends.server.call("redial")
        assert endpoints() == {f"{MOVED}:51820"}
        for key in (old, new):
            server.run(f"wg set wg0 peer {key} endpoint {VPS}:51820")


@pytest.mark.parametrize("leads_to", [[], [VPS]])
def test_a_name_that_leads_nowhere_else_changes_nothing(ends: World, leads_to: list[str]) -> None:
    server = ends.server.machine
    name_leads_to(server, *leads_to)
    said = ends.server.call("redial")
    assert endpoint(server) == f"{VPS}:51820"
    assert said.stderr == ""


def test_nobody_is_dialled_where_there_is_no_tunnel(ends: World) -> None:
    server = ends.server.machine
    name_leads_to(server, MOVED)
    server.run("wg-quick down wg0")
    assert ends.server.call("redial").status == 0
    assert ends.vps.call("redial").status == 0
    server.run("wg-quick up wg0")
    assert endpoint(server) == f"{MOVED}:51820"  # a start looks it up anyway
