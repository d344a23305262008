"""Two stacks on one host: neither sees the other, and the last to leave closes the door."""

from functools import partial

import pytest

from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.tunnel import REFUSED, Tunnel, rules_of
from tests.support import eventually

HTTPS = "tcp 443 -> 172.16.0.4:8081"
GAME = "udp 27015 -> 10.8.0.2:27015"

FORWARDING = "/proc/sys/net/ipv4/conf/ens6/forwarding"


@pytest.fixture
def other(machine: Machine) -> Tunnel:
    """The second stack's tunnel, not yet there."""
    return Tunnel(machine, "wg-game", "reverse-tunnel/game")


def of_one(tunnel: Tunnel) -> list[str]:
    """All rules that carry the tunnel's name, with their counters, and its files."""
    rules = rules_of(tunnel.machine.run("iptables-save -c").stdout)
    files = tunnel.machine.run(f"grep -r '' {tunnel.files} {tunnel.folder}").stdout
    peers = tunnel.machine.run(f"wg show {tunnel.name} dump").stdout
    return [*(rule for rule in rules if f"RT-{tunnel.name}-" in rule), files, peers]


def test_neither_notices_the_other(vps: Tunnel, other: Tunnel) -> None:
    vps.put("https", HTTPS)
    first = of_one(vps)
    other.set_up_vps("10.8.0.1/24", 51821)
    other.put("https", GAME)
    assert of_one(vps) == first
    second = of_one(other)
    vps.put("https", "tcp 80 -> 172.16.0.4:80")
    vps.remove("https")
    assert of_one(other) == second
    vps.call("uninstall reverse-tunnel/home")
    assert of_one(other) == second
    assert other.forwards() == [("https", GAME)]


def test_a_name_that_begins_with_the_others_name_is_another(vps: Tunnel) -> None:
    """RT-wg0-... must not be taken for a chain of a tunnel named "wg0-x", or the reverse."""
    longer = Tunnel(vps.machine, "wg0-FWD", "reverse-tunnel/long")
    longer.set_up_vps("10.8.0.1/24", 51821)
    longer.put("game", GAME)
    second = of_one(longer)
    vps.put("https", HTTPS)
    vps.call("uninstall reverse-tunnel/home")
    assert of_one(longer) == second


def test_the_last_to_leave_restores_forwarding(vps: Tunnel, other: Tunnel) -> None:
    machine = vps.machine
    other.set_up_vps("10.8.0.1/24", 51821)
    vps.call("uninstall reverse-tunnel/home")
    assert machine.read(FORWARDING) == "1\n"
    other.call("uninstall reverse-tunnel/game")
    assert machine.read(FORWARDING) == "0\n"
    assert machine.run("ls -d /run/reverse-tunnel", check=False).status != 0


def test_what_docker_needs_by_then_stays(vps: Tunnel) -> None:
    """Docker, started after us, switches ip_forward on; our leaving must not cut its containers."""
    machine = vps.machine
    machine.run("sysctl -qw net.ipv4.ip_forward=1")
    vps.call("uninstall reverse-tunnel/home")
    assert machine.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
    assert machine.read(FORWARDING) == "1\n"


def test_what_somebody_has_switched_off_meanwhile_is_off_in_the_end(machine: Machine) -> None:
    """As a VPN that came before us and goes before us; until then it is a router for us alone."""
    machine.run("sysctl -qw net.ipv4.ip_forward=1")
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    guard = "iptables -S RT-wg0-FWD | grep -c -e '-i ens6 -m conntrack --ctstate NEW'"
    assert machine.run(guard, check=False).stdout == "0\n"
    machine.run("sysctl -qw net.ipv4.ip_forward=0")
    tunnel.call("restore")
    assert machine.read(FORWARDING) == "1\n"
    assert machine.run(guard).stdout == "1\n"
    tunnel.call("uninstall reverse-tunnel/home")
    assert machine.read(FORWARDING) == "0\n"


def test_a_host_that_forwarded_before_goes_on(machine: Machine) -> None:
    """And what else hangs on the global switch is not changed by ours."""
    machine.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.accept_redirects=0")
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.call("uninstall reverse-tunnel/home")
    assert snapshot(machine) == before


@pytest.mark.parametrize(
    ("called", "told"),
    [
        (r"systemd-resolve", "systemd-resolve"),
        (r"\x1b]52;c;aGk=\x07\xe9", "__52_c_aGk___"),
        (r"<{%x%}>", "___x___"),
    ],
)
def test_what_holds_the_port_is_told_by_a_name_that_steers_no_terminal(
    vps: Tunnel, other: Tunnel, called: str, told: str
) -> None:
    """Any local user may choose it."""
    listener = vps.machine.start(
        "exec python3 -c 'import socket, sys; udp = socket.socket(type=socket.SOCK_DGRAM);"
        f' udp.bind(("", 53)); open("/proc/self/comm", "wb").write(b"{called}");'
        ' print("ready", flush=True); sys.stdin.read()\''
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"
    other.install()
    other.set_key()
    settings = other.vps_settings("10.8.0.1/24", 53)
    result = other.call("interface", stdin=settings, check=False)
    listener.communicate()
    assert result.status == REFUSED
    assert f"is in use on this host by {told} (see" in result.stderr


@pytest.mark.parametrize(
    ("address", "port", "words"),
    [
        ("172.16.0.9/16", 51821, "network.cidr 172.16.0.0/16 overlaps 172.16.0.0/24 of the tunnel"),
        ("10.8.0.1/24", 51820, "network.listenPort 51820 is taken by the tunnel wg0"),
        ("203.0.113.77/28", 51821, "overlaps 203.0.113.0/24, which this host reaches by ens6"),
        ("10.8.0.1/24", 53, "network.listenPort 53 (udp) is in use on this host by"),
    ],
)
def test_a_second_stack_that_would_collide_is_refused_by_the_others_name(
    vps: Tunnel, other: Tunnel, address: str, port: int, words: str
) -> None:
    first = of_one(vps)
    listener = vps.machine.start("exec nc -lu 53")
    listens = partial(vps.machine.run, "ss -Hlnu sport = 53")
    eventually(lambda: listens().stdout, 20, "nobody listens")
    other.install()
    other.set_key()
    other_files = vps.machine.run(f"grep -r '' {other.files}").stdout
    result = other.call("interface", stdin=other.vps_settings(address, port), check=False)
    listener.kill()
    listener.communicate()
    assert result.status == REFUSED
    assert words in result.stderr
    assert port != 51820 or "belongs to the stack reverse-tunnel/home" in result.stderr
    assert of_one(vps) == first
    assert vps.machine.run(f"grep -r '' {other.files}").stdout == other_files


def test_a_port_that_the_first_stack_forwards_is_refused_too(vps: Tunnel, other: Tunnel) -> None:
    """WireGuard's own packets would go to that one's server."""
    vps.put("home", "udp 51821-51823 -> 172.16.0.4:51821-51823")
    other.install()
    other.set_key()
    settings = other.vps_settings("10.8.0.1/24", 51821)
    refused = other.call("interface", stdin=settings, check=False)
    assert refused.status == REFUSED
    assert (
        "network.listenPort: udp 51821-51823 is taken by the forward home of the tunnel wg0, which"
        " belongs to the stack reverse-tunnel/home"
    ) in refused.stderr
    vps.put("home", "tcp 51821-51823 -> 172.16.0.4:51821-51823")
    other.call("interface", stdin=settings)


@pytest.mark.parametrize(
    ("route", "fine"),
    [
        ("10.0.0.0/8 via 203.0.113.1", True),
        ("10.8.0.0/24 via 203.0.113.1", False),
        ("10.8.0.128/25 via 203.0.113.1", False),
        ("10.0.0.0/8 via 203.0.113.1 proto dhcp", True),
        ("0.0.0.0/1 dev ens6", True),
        ("10.0.0.0/8 dev ens6 proto static", True),
        ("10.8.0.0/24 dev ens6", False),
        ("10.8.0.128/25 dev ens6", False),
        ("10.0.0.0/8 dev ens6 proto kernel", False),
        ("10.0.0.0/8 dev ens6 proto dhcp", False),  # as dhcpcd has it instead of the kernel's
        ("10.0.0.0/8 dev ens6 proto 171", False),  # behind another tunnel of this project
    ],
)
def test_a_wider_network_that_the_host_is_not_in_gives_way_to_the_tunnels(
    vps: Tunnel, route: str, *, fine: bool
) -> None:
    """Behind a router, as in many clouds, or in a VPN, as half of the internet may be.

    The look-up's judgement is the same, see components/preflight/host_facts.py.
    """
    wanted = 0 if fine else REFUSED
    network = "10.8.0.0/24"
    key = vps.machine.run("wg genkey | wg pubkey").stdout.strip()
    peer = f"public-key {key}\nallowed-ips 172.16.0.4/32,{network}\n"
    vps.machine.run(f"ip route add {route}")
    result = vps.call("put-peer a", stdin=peer, check=False)
    assert (result.status, "behind this peer overlaps" in result.stderr) == (wanted, not fine)
    vps.call("remove-peer a")
    settings = vps.vps_settings("10.8.0.1/24")
    result = vps.call("interface", stdin=settings, check=False)
    assert (result.status, "network.cidr 10.8.0.0/24 overlaps" in result.stderr) == (
        wanted,
        not fine,
    )


def test_a_second_stack_with_the_same_interface_is_refused_and_harms_nothing(vps: Tunnel) -> None:
    """Neither by its install, nor by its destroy, which runs the claim's delete all the same."""
    vps.put("https", HTTPS)
    before = snapshot(vps.machine)
    rival = Tunnel(vps.machine, "wg0", "reverse-tunnel/rival")
    result = rival.install(check=False)
    assert result.status == REFUSED
    assert "belongs to the stack reverse-tunnel/home" in result.stderr
    assert snapshot(vps.machine) == before
    gone = rival.call("uninstall reverse-tunnel/rival")
    assert "nothing was removed" in gone.stderr
    assert snapshot(vps.machine) == before


@pytest.mark.parametrize("link", [True, False])
def test_somebodys_own_wireguard_of_that_name_is_refused(machine: Machine, *, link: bool) -> None:
    if link:
        machine.run("ip link add wg0 type veth peer wg0-peer")
    else:
        machine.run("echo '[Interface]' >/etc/wireguard/wg0.conf")
    before = snapshot(machine)
    result = Tunnel(machine).install(check=False)
    assert result.status == REFUSED
    assert "not from reverse-tunnel" in result.stderr
    assert "network.interface" in result.stderr
    assert snapshot(machine) == before


def test_marks_of_two_tunnels_on_one_server_differ(machine: Machine) -> None:
    """And of others' rules: a bit that somebody matches is not taken."""
    machine.run("iptables -t mangle -A OUTPUT -m mark --mark 0x3000000/0x3000000 -j RETURN")
    machine.run("ip rule add fwmark 0x4000000/0x4000000 lookup 99")
    marks = []
    for number in range(4):
        tunnel = Tunnel(machine, f"wg{number}", f"reverse-tunnel/s{number}")
        tunnel.install()
        key = tunnel.set_key()
        lines = tunnel.server_settings(f"10.{number}.0.4/24", key, "203.0.113.1:51820")
        tunnel.call("interface", stdin=lines)
        marks.append(tunnel.machine.read(f"{tunnel.files}/mark").split()[0])
    assert len(set(marks)) == 4
    assert not {0x1000000, 0x2000000, 0x4000000} & {int(mark, 16) for mark in marks}
    tunnel = Tunnel(machine, "wg9", "reverse-tunnel/s9")
    tunnel.install()
    key = tunnel.set_key()
    lines = tunnel.server_settings("10.9.0.4/24", key, "203.0.113.1:51820")
    result = tunnel.call("interface", stdin=lines, check=False)
    assert result.status == REFUSED
    assert "no firewall mark is free" in result.stderr
    assert "wg2 of reverse-tunnel/s2" in result.stderr


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("wg0", 7025),
        ("home-tunnel0", 7028),
        # Beyond 64 bits as a number
        ("tunnel-homelab0", 7025),
        ("reversetunnel01", 7028),
    ],
)
def test_a_mark_is_derived_from_a_name_of_any_length(
    machine: Machine, name: str, table: int
) -> None:
    """By that number, and always the same: other bits are Tailscale's, Mullvad's."""
    tunnel = Tunnel(machine, name)
    tunnel.install()
    lines = tunnel.server_settings("10.1.0.4/24", tunnel.set_key(), "203.0.113.1:51820")
    tunnel.call("interface", stdin=lines)
    mark = machine.read(f"{tunnel.files}/mark")
    assert mark == f"{1 << (table - 7000):#x} {table}\n"


@pytest.mark.parametrize("kept", ["its file", "its way"])
def test_a_mark_that_was_chosen_is_kept(machine: Machine, kept: str) -> None:
    """By an older version, which knew of no Mullvad. The file may be lost, the tunnel be down."""
    tunnel = Tunnel(machine)
    tunnel.install()
    lines = tunnel.server_settings("10.1.0.4/24", tunnel.set_key(), "203.0.113.1:51820")
    machine.write(f"{tunnel.files}/mark", "0x1000000 7024\n")
    tunnel.call("interface", stdin=lines)
    if kept == "its file":
        machine.run("wg-quick down wg0")
    else:
        machine.run(f"rm {tunnel.files}/mark")
    tunnel.call("interface", stdin=lines)
    assert machine.read(f"{tunnel.files}/mark") == "0x1000000 7024\n"
