"""The VPS's firewall: what gets in and what does not; and that it cannot lock anybody out."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256

import pytest

from tests.host.guarded import (
    INSIDE,
    LAPTOP,
    PROXY_PORT,
    SSH,
    VPS6,
    Guarded,
    guarded,
    guards,
    serve,
)
from tests.host.harm import added
from tests.host.kills import Tell, killed_at_each_step
from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.test_many_flows import COUNTING
from tests.host.transient import killed, killed_at_first
from tests.host.tunnel import KILLED, REFUSED, Tunnel
from tests.host.watched import watched
from tests.host.world import CLIENT, SERVER, VPS, Call, call
from tests.host.world import serve as serve_at
from tests.support import eventually, harmed

DENY = "default-deny\n"
ALLOW = (
    f"{DENY}"
    f"allow dns udp {LAPTOP} -> {INSIDE}:9000\n"
    f"allow mount tcp {SERVER},{LAPTOP} -> {SERVER}:9000-9000\n"
)
INSIDE6, SERVER6, LAPTOP6 = (f"fd5c:91e2:7a3b::{number}" for number in ("1", "4", "a"))
OTHER = f"{DENY}allow all any {LAPTOP} -> {SERVER}\n"
TRIAL = "/run/reverse-tunnel/wg0.firewall"
OFF = ("wg-quick down wg0", "wg-quick up wg0")
TELL = "exit $?"  # of a program that was killed ssh tells no more than that it failed

SHORT = 2  # seconds of a trial whose end a test waits for
ENOUGH = 30  # seconds of a trial during which a test looks round, also on a slow machine
LONG = 120  # seconds; only a broken run needs them
NOBODY = {"-", "closed", "refused"}


@pytest.fixture(scope="module")
def house() -> Iterator[Guarded]:
    """One for all tests, each of which leaves it without a firewall."""
    with guarded() as made:
        yield made


@pytest.fixture
def open_vps(house: Guarded) -> Iterator[Guarded]:
    """The VPS without a firewall."""
    yield house
    house.vps.call("remove-firewall")
    assert guards(house.vps.machine) == []


@pytest.fixture
def guarded_vps(open_vps: Guarded) -> Guarded:
    """The VPS with a firewall that is kept."""
    open_vps.guard(ALLOW)
    return open_vps


def healed(house: Guarded) -> None:
    """Wait until nothing is on trial, and no guard is left."""
    eventually(
        lambda: house.state() != "pending" and not guards(house.vps.machine),
        LONG,
        "the firewall was not taken back",
    )


# ---- what gets in ----


def test_from_outside_only_ssh_and_forwards_get_in(open_vps: Guarded) -> None:
    client, vps = open_vps.client, open_vps.vps.machine
    for protocol in ("tcp", "udp"):
        assert call(client, protocol, VPS, 9000) == CLIENT
    open_vps.guard(ALLOW)
    for protocol in ("tcp", "udp"):
        assert call(client, protocol, VPS, 9000) == "-"
        assert call(client, protocol, VPS, PROXY_PORT) == "-"
    assert open_vps.lets_in()
    assert call(client, "tcp", VPS, 80) == CLIENT
    client.run(f"ping -c 1 -W 10 {VPS}")
    # Out of the VPS everything goes as before, and what it asked for comes back.
    vps.run("ping -c 1 -W 10 203.0.113.1")
    serve(open_vps.world.internet, 9000)
    for protocol in ("tcp", "udp"):
        assert call(vps, protocol, "203.0.113.1", 9000) == VPS


PUBLISHED = "PREROUTING -p $protocol --dport 53 -j DNAT --to 172.17.0.2"
DOCKER = f"""
sysctl -qw net.ipv4.ip_forward=1
iptables -I FORWARD -o docker0 -j ACCEPT
for protocol in tcp udp; do iptables -t nat -A {PUBLISHED}; done
"""
NO_DOCKER = f"""
for protocol in tcp udp; do iptables -t nat -D {PUBLISHED}; done
iptables -D FORWARD -o docker0 -j ACCEPT
ip link del docker0
sysctl -qw net.ipv4.ip_forward=0
"""


def test_what_is_published_by_docker_is_no_way_in(open_vps: Guarded) -> None:
    """Docker translates before any rule of INPUT is asked; a container stands for the VPS here."""
    vps, client = open_vps.vps.machine, open_vps.client
    with Machine() as container:
        vps.join(container, "docker0 172.17.0.1/16", "eth0 172.17.0.2/16")
        container.run("ip route add default via 172.17.0.1")
        serve(container, 53)
        with harmed(vps, DOCKER, NO_DOCKER + open_vps.vps.line("up")):
            published = Call(client, "udp", VPS, 53)
            assert published.ask() == CLIENT
            open_vps.guard(f"{DENY}allow dns udp {LAPTOP} -> {INSIDE}:53\n")
            assert published.ask() == "-"
            published.end()
            assert call(client, "udp", VPS, 53) == "-"
            assert call(open_vps.laptop, "udp", INSIDE, 53) == LAPTOP
            assert call(open_vps.laptop, "tcp", INSIDE, 53) == "-"
            assert call(open_vps.world.server.machine, "udp", INSIDE, 53) == "-"
            # The container's own way out is not touched.
            container.run("ping -c 1 -W 10 172.17.0.1; ping -c 1 -W 10 203.0.113.10")


def test_pings_are_answered_by_a_rate(guarded_vps: Guarded) -> None:
    # Counted at the guard: of so many at once, which -l sends however slow the machine is, some may
    # get lost elsewhere.
    counters = "iptables -t mangle -vnxL RT-wg0-in | awk '/icmptype 8/ {print $1}'"

    def counted() -> list[int]:
        return [int(line) for line in guarded_vps.vps.machine.run(counters).stdout.split()]

    guarded_vps.client.run(f"ping -q -c 1 -W 5 {VPS}")
    assert counted() == [1, 0]
    guarded_vps.client.run(f"ping -q -l 400 -c 400 -W 1 {VPS}", check=False)
    let_in, dropped = counted()
    assert let_in >= 100
    assert dropped > 0


def test_answers_of_dhcp_get_in(guarded_vps: Guarded) -> None:
    """They may come to an address that the host has not got yet, so nothing knows of a question."""
    vps, internet = guarded_vps.vps.machine, guarded_vps.world.internet
    listener = vps.start("exec timeout 20 nc -u -l -W 1 68")
    assert listener.stdout is not None
    vps.run("until ss -Hlun sport = :68 | grep -q .; do :; done")
    internet.run(f"nc -u -w 1 -p 6767 {VPS} 68 <<<no", check=False)
    internet.run(f"nc -u -w 1 -p 67 {VPS} 68 <<<yes", check=False)
    assert listener.communicate()[0] == "yes\n"


def test_ipv6_is_no_hole(open_vps: Guarded) -> None:
    outside, vps = open_vps.world.internet, open_vps.vps.machine
    listener = vps.start("exec nc -6 -l -k 9100")
    vps.run("until ss -Hltn sport = :9100 | grep -q .; do :; done")
    outside.run(f"nc -z -w 10 {VPS6} 9100")
    open_vps.guard(DENY)
    assert outside.run(f"nc -z -w 1 {VPS6} 9100", check=False).status != 0
    # Neighbours must find each other anew.
    outside.run("ip -6 neigh flush dev vps")
    vps.run("ip -6 neigh flush dev ens6")
    outside.run(f"ping -c 1 -W 10 {VPS6}")
    assert open_vps.login("echo in", to=f"root@{VPS6}", by=outside).stdout == "in\n"
    listener.kill()
    listener.communicate()


@pytest.fixture
def dual_vps(open_vps: Guarded) -> Iterator[Guarded]:
    """The tunnel with IPv6, for a while."""
    ends = [open_vps.vps, open_vps.world.server, Tunnel(open_vps.laptop)]
    settings = [end.machine.read(f"{end.files}/settings") for end in ends]
    for end, was, number in zip(ends, settings, ("1", "4", "a"), strict=True):
        end.call("interface", stdin=f"{was}ipv6 fd5c:91e2:7a3b::{number}/64\n")
    peers = {
        name: open_vps.vps.machine.read(f"{open_vps.vps.files}/peers.d/{name}.conf")
        for name in ("homelab", "laptop")
    }
    for name, number in (("homelab", "4"), ("laptop", "a")):
        more = re.sub(r"/32$", f"/32,fd5c:91e2:7a3b::{number}/128", peers[name], flags=re.MULTILINE)
        open_vps.vps.call(f"put-peer {name}", stdin=more)
    yield open_vps
    for end, was in zip(ends, settings, strict=True):
        end.call("interface", stdin=was)
    for name, was in peers.items():
        open_vps.vps.call(f"put-peer {name}", stdin=was)


def test_ipv6_of_the_tunnel_is_guarded_alike(dual_vps: Guarded) -> None:
    laptop, server, vps = dual_vps.laptop, dual_vps.world.server.machine, dual_vps.vps.machine
    outside = dual_vps.world.internet
    for machine in (laptop, server, vps):
        serve_at(machine, 9100, "::")
    ways = {
        (laptop, "udp", INSIDE6, 9100): LAPTOP6,  # allowed: dns
        (laptop, "tcp", INSIDE6, 9100): "-",
        (server, "udp", INSIDE6, 9100): "-",
        (laptop, "tcp", SERVER6, 9100): LAPTOP6,  # allowed: mount
        (laptop, "udp", SERVER6, 9100): "-",
        (server, "tcp", LAPTOP6, 9100): "-",
        (outside, "tcp", VPS6, 9100): "-",
        (outside, "tcp", VPS6, 9200): "fd00:113::1",  # forwarded
    }
    dual_vps.vps.put("six", f"tcp 9200 -> {SERVER}:9100\nipv6 {SERVER6}")
    for who, protocol, address, port in ways:
        assert call(who, protocol, address, port) not in NOBODY
    refused = Call(server, "udp", LAPTOP6, 9100)
    assert refused.ask() == SERVER6
    dual_vps.guard(
        f"{DENY}allow dns udp {LAPTOP6} -> [{INSIDE6}]:9100\n"
        f"allow mount tcp {LAPTOP6} -> [{SERVER6}]:9100\n"
    )
    for (who, protocol, address, port), answer in ways.items():
        assert call(who, protocol, address, port) == answer, (protocol, address, port)
    assert refused.ask() == "-"
    refused.end()
    # What peers send out, and the VPS itself, is answered; neighbours are found anew.
    vps.run("ip -6 neigh flush dev ens6; ping -c 1 -W 10 fd00:113::1")
    assert call(vps, "tcp", LAPTOP6, 9100) == INSIDE6
    dual_vps.vps.remove("six")
    assert call(outside, "tcp", VPS6, 9200) == "-"


def test_peers_reach_only_what_is_allowed(open_vps: Guarded) -> None:
    laptop, server = open_vps.laptop, open_vps.world.server.machine
    ways = {
        (laptop, "udp", INSIDE, 9000): LAPTOP,  # allowed: dns
        (laptop, "tcp", INSIDE, 9000): "-",
        (laptop, "udp", INSIDE, 9001): "-",
        (server, "udp", INSIDE, 9000): "-",
        (laptop, "tcp", SERVER, 9000): LAPTOP,  # allowed: mount
        (laptop, "udp", SERVER, 9000): "-",
        (laptop, "tcp", SERVER, 9001): "-",
        (server, "tcp", LAPTOP, 9000): "-",
    }
    for who, protocol, address, port in ways:
        assert call(who, protocol, address, port) not in NOBODY
    open_vps.guard(ALLOW)
    for (who, protocol, address, port), answer in ways.items():
        assert call(who, protocol, address, port) == answer, (protocol, address, port)
    assert laptop.run(f"ping -c 1 -W 1 {SERVER}", check=False).status != 0
    # The VPS reaches them all; and at its public address a peer is a visitor like any other.
    assert call(open_vps.vps.machine, "tcp", LAPTOP, 9000) == INSIDE
    assert call(laptop, "tcp", VPS, 80) == "192.0.3.10"
    assert open_vps.login("echo in", by=laptop).stdout == "in\n"
    assert open_vps.login("true", by=laptop, to=f"root@{INSIDE}", check=False).status != 0


def test_any_protocol_means_pings_too(open_vps: Guarded) -> None:
    laptop, server = open_vps.laptop, open_vps.world.server.machine
    open_vps.guard(OTHER)
    laptop.run(f"ping -c 1 -w 20 -i 0.2 {SERVER}")
    assert call(laptop, "udp", SERVER, 9001) == LAPTOP
    assert call(server, "udp", LAPTOP, 9000) == "-"


def test_what_peers_had_open_is_judged_anew(open_vps: Guarded) -> None:
    """A UDP flow never ends by itself; what is allowed goes on."""
    refused = Call(open_vps.world.server.machine, "udp", LAPTOP, 9000)
    allowed = Call(open_vps.laptop, "tcp", SERVER, 9000)
    visitor = Call(open_vps.client, "tcp", VPS, 80)
    assert (refused.ask(), allowed.ask(), visitor.ask()) == (SERVER, LAPTOP, CLIENT)
    open_vps.guard(ALLOW)
    assert (refused.ask(), allowed.ask(), visitor.ask()) == ("-", LAPTOP, CLIENT)
    for one in (refused, allowed, visitor):
        one.end()


def test_what_strangers_had_open_ends_and_all_else_goes_on(open_vps: Guarded) -> None:
    """By both families. As known ones they would pass, and a UDP flow be answered forever."""
    client, outside, vps = open_vps.client, open_vps.world.internet, open_vps.vps.machine
    serve_at(vps, 9300, "::")
    serve(outside, 9301)
    refused = [
        Call(client, "tcp", VPS, 9000),
        Call(client, "udp", VPS, 9000),
        Call(outside, "tcp", VPS6, 9300),
        Call(outside, "udp", VPS6, 9300),
    ]
    staying = {
        Call(client, "tcp", VPS, 80): CLIENT,  # forwarded
        Call(vps, "udp", "203.0.113.1", 9301): VPS,  # begun by the VPS
        Call(vps, "tcp", "203.0.113.1", 9301): VPS,
        Call(vps, "tcp", VPS, 9001): VPS,
    }
    login = client.start(f"{SSH} root@{VPS} cat")
    assert login.stdin is not None
    assert login.stdout is not None
    login.stdin.write("before\n")
    login.stdin.flush()
    assert login.stdout.readline() == "before\n"
    assert all(one.ask() not in NOBODY for one in refused)
    assert [one.ask() for one in staying] == list(staying.values())
    kept = flows_to_keep(vps)
    assert {port for _, port, _ in kept} == {"22", "80", "9001", "9301"}
    open_vps.guard(DENY)
    assert [one.ask() for one in refused] == ["-"] * len(refused)
    # Not ended and taken up anew, but never ended.
    assert kept <= flows_to_keep(vps)
    assert [one.ask() for one in staying] == list(staying.values())
    login.stdin.write("after\n")
    login.stdin.flush()
    assert login.stdout.readline() == "after\n"
    login.communicate()
    for one in (*refused, *staying):
        one.end()


def flows_to_keep(vps: Machine) -> set[tuple[str, str, str]]:
    """Connections to SSH, to a forward and those of the VPS itself: from where, port, identity."""
    found = re.findall(
        r"ESTABLISHED src=(\S+) dst=\S+ sport=\d+ dport=(\d+) .* id=(\d+)",
        vps.run("conntrack -L -p tcp -o id").stdout,
    )
    return {
        (source, port, number)
        for source, port, number in found
        if source == VPS or (source == CLIENT and port in {"22", "80"})
    }


@contextmanager
def in_the_place_of(machine: Machine, program: str, text: str) -> Iterator[None]:
    """Another program is found first by that name, for a while."""
    place = f"/usr/local/sbin/{program}"
    machine.write(place, text)
    with harmed(machine, f"chmod 755 {place}", f"rm {place}"):
        yield


def test_few_calls_end_many_strangers_flows(open_vps: Guarded) -> None:
    """Each walks through all that the host has; and what nobody answered is no known one."""
    vps = open_vps.vps.machine
    one = "conntrack -I -p udp --timeout 300 --orig-src 198.51.100.$ip --orig-dst {vps}"
    one += " --orig-port-src 40000 --orig-port-dst {port} --reply-port-src {port}"
    one += " --reply-port-dst 40000 --reply-src {vps} --reply-dst 198.51.100.$ip {status}"
    for port, status in (("9000", "--status SEEN_REPLY"), ("$ip", "")):
        line = one.format(vps=VPS, port=port, status=status)
        vps.run(f"for ip in $(seq 101 200); do {line} || exit; done")
    with in_the_place_of(vps, "conntrack", COUNTING):
        vps.run(": >/run/deletions")
        open_vps.guard(DENY)
        strangers = [line for line in vps.read("/run/deletions").splitlines() if VPS in line]
    assert [line.split(" -p ")[1] for line in strangers if " 9000 " in line] == [
        f"udp --orig-dst {VPS} --orig-port-dst 9000 --reply-src {VPS} --reply-port-src 9000"
    ]
    assert len(strangers) < 5
    left = vps.run("conntrack -L -p udp --orig-port-dst 9000").stdout
    assert not re.search(r"src=198\.51\.100\.(1[0-9]{2}|200) .*dport=9000", left)


# ---- changed by others ----


@pytest.mark.parametrize(
    ("harm", "lets_in", "cure"),
    [
        ("iptables -t mangle -F RT-wg0-in", "stranger", ""),
        ("iptables -t mangle -F RT-wg0-through", "peer", ""),
        ("iptables -t mangle -D INPUT -j RT-wg0-in", "stranger", ""),
        ("ip6tables -t mangle -F RT-wg0-in", "nobody of IPv4", ""),
        (
            "ip6tables -t mangle -I FORWARD -j ACCEPT",
            "nobody of IPv4",
            "ip6tables -t mangle -D FORWARD -j ACCEPT",
        ),
    ],
)
def test_rules_that_somebody_has_changed_are_told_and_mended_without_a_trial(
    guarded_vps: Guarded, harm: str, lets_in: str, cure: str
) -> None:
    machine, client = guarded_vps.vps.machine, guarded_vps.client
    before = guards(machine)
    assert not told_wrong(guarded_vps)
    with harmed(machine, harm, cure):
        assert told_wrong(guarded_vps)
        stranger, peer = (
            Call(client, "udp", VPS, 9000),
            Call(guarded_vps.laptop, "udp", SERVER, 9001),
        )
        assert (stranger.ask() == CLIENT) == (lets_in == "stranger")
        assert (peer.ask() == LAPTOP) == (lets_in == "peer")
        for verb in ("put-firewall", "confirm-firewall"):
            guarded_vps.login(guarded_vps.verb(verb, wait=SHORT), stdin=ALLOW)
            assert guarded_vps.state() == "kept"
            assert guards(machine) == before
            assert not told_wrong(guarded_vps)
        # What got in meanwhile does not go on either.
        for one in (stranger, peer):
            assert one.ask() == "-"
            one.end()


@pytest.mark.parametrize("jump", ["INPUT -j RT-wg0-in", "FORWARD -j RT-wg0-through"])
def test_a_jump_that_somebody_takes_away_comes_back(guarded_vps: Guarded, jump: str) -> None:
    machine = guarded_vps.vps.machine
    before = guards(machine)
    with watched(guarded_vps.vps):
        machine.run(f"iptables -t mangle -D {jump}")
        eventually(lambda: guards(machine) == before, LONG, "it did not come back")


def test_rules_of_a_trial_are_told_of_and_those_of_none_are_not(open_vps: Guarded) -> None:
    machine, put = open_vps.vps.machine, open_vps.verb("put-firewall")
    assert not told_wrong(open_vps)
    assert open_vps.state() == "none"
    open_vps.login(put, stdin=ALLOW)
    assert not told_wrong(open_vps)
    assert open_vps.state() == "pending"
    machine.run("iptables -t mangle -F RT-wg0-in")
    assert told_wrong(open_vps)
    open_vps.login(put, stdin=ALLOW)
    open_vps.login(open_vps.verb("confirm-firewall"), stdin=ALLOW)
    assert open_vps.state() == "kept"
    # It stays when the tunnel goes down.
    with harmed(machine, *OFF):
        assert not told_wrong(open_vps)
        machine.run("iptables -t mangle -F RT-wg0-in")
        assert told_wrong(open_vps)
    assert not told_wrong(open_vps)


def test_the_text_of_a_firewall_is_told_when_it_is_kept_and_not_while_one_is_on_trial(
    open_vps: Guarded,
) -> None:
    """It may be kept, or be taken back, so it is neither right nor wrong."""

    def text() -> list[str]:
        return [line for line in open_vps.vps.status() if line.startswith("text firewall")]

    def line(given: str) -> list[str]:
        return [f"text firewall - {sha256(given.encode()).hexdigest()[:16]}"]

    assert text() == []
    open_vps.guard(ALLOW)
    assert text() == line(ALLOW)
    open_vps.login(open_vps.verb("put-firewall"), stdin=OTHER)
    assert (open_vps.state(), text()) == ("pending", [])
    open_vps.login(open_vps.verb("confirm-firewall"), stdin=OTHER)
    assert text() == line(OTHER)


@pytest.mark.parametrize("text", ["garbage\n", f"{DENY}allow dns udp 172.16", "\0" * 64])
def test_a_damaged_one_is_left_out_is_told_and_is_put_right_by_the_next_up(
    guarded_vps: Guarded, text: str
) -> None:
    """It keeps no tunnel down, and locks nobody out."""
    vps, machine = guarded_vps.vps, guarded_vps.vps.machine
    before = guards(machine)
    machine.write(f"{vps.files}/firewall", text)
    said = machine.run("wg-quick down wg0; wg-quick up wg0").stderr
    assert "the firewall is left out: " in said
    assert "set vps.firewall to none, run 'pulumi up', set it again" in said
    eventually(
        lambda: call(guarded_vps.client, "tcp", VPS, 80) == CLIENT, LONG, "the tunnel is not up"
    )
    assert guards(machine) == []
    assert vps.wrong() == ["firewall", "taken-back"]
    guarded_vps.guard(ALLOW)
    assert guards(machine) == before
    assert vps.wrong() == []


def told_wrong(house: Guarded) -> bool:
    return "firewall" in house.vps.wrong()


# ---- beside others ----


THEIRS = (
    "iptables -A INPUT -p tcp --dport 22 -s 198.51.100.0/24 -j DROP",
    "iptables -t mangle -A INPUT -p tcp --dport 1 -j ACCEPT",
)


def test_it_only_refuses_and_touches_nobody_elses_rules(open_vps: Guarded) -> None:
    """What it lets by is judged by the others, so a ban of fail2ban's goes on banning."""
    vps = open_vps.vps.machine
    strict = ("iptables -P FORWARD DROP; ip6tables -P INPUT ACCEPT", "iptables -P FORWARD ACCEPT")
    with harmed(vps, *strict), added(vps, *THEIRS):
        theirs = rules_without_ours(vps)
        outside = open_vps.world.internet
        for verb in ("put-firewall", "confirm-firewall"):
            open_vps.login(open_vps.verb(verb), stdin=ALLOW, by=outside)
        assert rules_without_ours(vps) == theirs
        assert not open_vps.lets_in()
        assert open_vps.login("echo in", by=outside).stdout == "in\n"
        assert guards(vps)[0] == "-A INPUT -j RT-wg0-in"
        open_vps.vps.call("remove-firewall")
        assert rules_without_ours(vps) == theirs


@pytest.fixture
def legacy_vps(open_vps: Guarded) -> Iterator[Guarded]:
    """The VPS without a firewall, with the other backend of iptables."""
    machine = open_vps.vps.machine
    switch = "wg-quick down wg0; for tool in iptables ip6tables; do"
    switch += " update-alternatives --set $tool /usr/sbin/$tool-{}; done; wg-quick up wg0"
    with harmed(machine, switch.format("legacy"), switch.format("nft")):
        yield open_vps
        open_vps.vps.call("remove-firewall")


def test_it_serves_as_well_on_the_legacy_backend_of_iptables(legacy_vps: Guarded) -> None:
    client, vps = legacy_vps.client, legacy_vps.vps.machine
    eventually(lambda: call(client, "tcp", VPS, 80) == CLIENT, LONG, "the tunnel is not up again")
    assert call(client, "tcp", VPS, 9000) == CLIENT
    rules = ("iptables -A INPUT -p tcp --dport 1 -j DROP", "ip6tables -A FORWARD -j REJECT")
    with added(vps, *rules):
        theirs = rules_without_ours(vps)
        legacy_vps.guard(ALLOW)
        for tool in ("iptables", "ip6tables"):
            assert "RT-wg0-in" in vps.run(f"{tool}-legacy-save").stdout
        assert "RT-" not in vps.run("nft list ruleset").stdout
        assert call(client, "tcp", VPS, 9000) == "-"
        assert legacy_vps.lets_in()
        assert call(client, "tcp", VPS, 80) == CLIENT
        assert call(legacy_vps.laptop, "tcp", SERVER, 9000) == LAPTOP
        assert call(legacy_vps.laptop, "tcp", SERVER, 9001) in NOBODY
        before = guards(vps)
        legacy_vps.vps.call("up")
        assert guards(vps) == before
        legacy_vps.vps.call("remove-firewall")
        assert guards(vps) == []
        assert rules_without_ours(vps) == theirs
        assert call(client, "tcp", VPS, 9000) == CLIENT


def rules_without_ours(machine: Machine) -> list[str]:
    saved = machine.run("iptables-save; ip6tables-save").stdout.splitlines()
    ours = ("RT-wg0-in", "RT-wg0-through")
    lines = (line.split(" [")[0] for line in saved if not line.startswith("#"))
    return [line for line in lines if not any(name in line for name in ours)]


def test_another_tunnel_of_the_host_gets_in(guarded_vps: Guarded) -> None:
    """Also one that comes later or changes its port, of which the first stack knows nothing."""
    other = Tunnel(guarded_vps.vps.machine, "wg-game", "reverse-tunnel/game")

    def let_in() -> list[str]:
        lines = guards(other.machine)
        return [line.split("--dport ")[1].split()[0] for line in lines if "--dport 518" in line]

    assert let_in() == ["51820"] * 2
    try:
        other.set_up_vps("10.8.0.1/24", 51821)
        assert let_in() == ["51820", "51821"] * 2
        # Of both families, although the first has no IPv6.
        theirs = "-A RT-wg0-through -o wg-game -m conntrack --ctstate DNAT -j RETURN"
        assert guards(other.machine).count(theirs) == 2
        other.call("interface", stdin=other.vps_settings("10.8.0.1/24", 51822))
        assert let_in() == ["51820", "51822"] * 2
    finally:
        other.call("uninstall reverse-tunnel/game")
    assert let_in() == ["51820"] * 2
    assert guarded_vps.state() == "kept"


# ---- nobody is locked out ----


def test_a_lock_out_heals_by_itself(open_vps: Guarded) -> None:
    """The login's port is another program's that only passes on to sshd: no host can see that."""
    assert open_vps.lets_in(PROXY_PORT)
    text, put = ALLOW, open_vps.verb("put-firewall", wait=ENOUGH)
    open_vps.login(put, stdin=text, port=PROXY_PORT)
    assert not open_vps.lets_in(PROXY_PORT)
    eventually(lambda: open_vps.lets_in(PROXY_PORT), LONG, "the lock-out did not heal")
    assert guards(open_vps.vps.machine) == []
    late = open_vps.login(open_vps.verb("confirm-firewall"), stdin=text, check=False)
    assert late.status == REFUSED
    assert "was taken back" in late.stderr


def test_a_lock_out_by_a_change_brings_back_the_one_before(guarded_vps: Guarded) -> None:
    """And it is told: the next `up` would else keep none that is on trial no more."""
    before, vps = guards(guarded_vps.vps.machine), guarded_vps.vps
    guarded_vps.login(guarded_vps.verb("put-firewall", wait=ENOUGH), stdin=OTHER)
    assert guards(vps.machine) != before
    assert vps.wrong() == []
    eventually(lambda: guarded_vps.state() == "kept", LONG, "the trial went on")
    eventually(lambda: guards(vps.machine) == before, LONG, "the old one did not come back")
    assert vps.wrong() == ["taken-back"]
    guarded_vps.guard(OTHER)
    assert vps.wrong() == []
    assert guards(vps.machine) != before


def test_what_was_taken_back_and_is_wanted_no_more_is_told_no_more(guarded_vps: Guarded) -> None:
    vps = guarded_vps.vps
    guarded_vps.login(guarded_vps.verb("put-firewall"), stdin=OTHER)
    reboot(vps.machine)
    assert vps.wrong() == ["taken-back"]
    guarded_vps.login(guarded_vps.verb("put-firewall"), stdin=ALLOW)
    assert vps.wrong() == []
    vps.call("remove-firewall")
    assert vps.wrong() == []
    guarded_vps.guard(ALLOW)


@contextmanager
def another_sshd(machine: Machine, *ports: int, program: str = "sshd") -> Iterator[None]:
    """A second one beside that which there is, for a while."""
    pid = f"/run/sshd-{ports[0]}.pid"
    listening = " ".join(f"-o Port={port}" for port in ports)
    start = f"/usr/sbin/{program} -o UsePAM=no -o PidFile={pid} {listening}"
    # Whoever is the next here finds its ports free.
    end = f"kill $(cat {pid}); while test -e {pid}; do sleep 0.05; done"
    with harmed(machine, start, end):
        # It goes into the background first.
        listens = partial(machine.run, f"test -e {pid}", check=False)
        eventually(lambda: listens().status == 0, LONG, "the second one does not listen")
        yield


def test_ports_of_ssh_are_those_of_the_running_server_and_of_the_login(open_vps: Guarded) -> None:
    """Whatever the settings say, and although sudo forgets by which port one came."""
    vps = open_vps.vps.machine
    with another_sshd(vps, 2200, 2201):
        put = open_vps.verb("put-firewall", wait=60)
        open_vps.login(f"sudo -n env {put}", stdin=DENY, to=f"hex@{VPS}", port=2201)
        assert ports_of_ssh(vps) == {"22", "2200", "2201"}
        confirm = open_vps.verb("confirm-firewall")
        open_vps.login(f"sudo -n env {confirm}", stdin=DENY, to=f"hex@{VPS}", port=2201)
        assert open_vps.state() == "kept"


def ports_of_ssh(machine: Machine) -> set[str]:
    """Those that the firewall lets in."""
    return {
        line.split("--dport ")[1].split()[0] for line in guards(machine) if "-p tcp -m tcp" in line
    }


def test_a_port_that_ssh_has_left_is_closed_once_a_login_has_come_by_another(
    open_vps: Guarded,
) -> None:
    """Whatever comes to listen there would else be open to the world for ever."""
    vps, machine = open_vps.vps, open_vps.vps.machine
    with another_sshd(machine, 2200):
        open_vps.guard(DENY)
    # Nothing shows yet that one gets in elsewhere.
    for verb in ("put-firewall", "sync-firewall", "restore"):
        vps.call(verb, stdin=DENY)
    assert ports_of_ssh(machine) == {"22", "2200"}
    open_vps.login(open_vps.verb("put-firewall"), stdin=DENY)
    assert ports_of_ssh(machine) == {"22"}
    vps.call("restore")
    assert ports_of_ssh(machine) == {"22"}
    assert open_vps.state() == "kept"
    assert open_vps.lets_in()


def test_no_port_is_closed_by_a_login_through_the_tunnel(open_vps: Guarded) -> None:
    """It shows nothing: what peers may reach is another list."""
    allowed = f"{DENY}allow ssh tcp {LAPTOP} -> {INSIDE}:22\n"
    with another_sshd(open_vps.vps.machine, 2200):
        open_vps.guard(allowed)
    words = open_vps.verb("put-firewall")
    open_vps.login(words, stdin=allowed, to=f"root@{INSIDE}", by=open_vps.laptop)
    assert ports_of_ssh(open_vps.vps.machine) == {"22", "2200"}


def test_no_port_is_closed_by_a_login_at_one_that_ssh_does_not_have(open_vps: Guarded) -> None:
    """By another server for logins somebody may be mending sshd."""
    machine = open_vps.vps.machine
    with (
        harmed(machine, "cp /usr/sbin/sshd /usr/sbin/rescue", "rm /usr/sbin/rescue"),
        another_sshd(machine, 2022, program="rescue"),
    ):
        with another_sshd(machine, 2200):
            for verb in ("put-firewall", "confirm-firewall"):
                open_vps.login(open_vps.verb(verb), stdin=DENY, port=2022)
        open_vps.login(open_vps.verb("put-firewall"), stdin=DENY, port=2022)
        assert ports_of_ssh(machine) == {"22", "2022", "2200"}


def test_a_port_to_which_ssh_is_moved_later_gets_in(guarded_vps: Guarded) -> None:
    """Else who has moved it and logged out would not get in again, by the new nor by the old."""
    machine = guarded_vps.vps.machine
    with ExitStack() as watching:
        with another_sshd(machine, 2200):
            assert not guarded_vps.lets_in(port=2200)
            watching.enter_context(watched(guarded_vps.vps))
            eventually(lambda: guarded_vps.lets_in(port=2200), LONG, "nobody can log in any more")
        with another_sshd(machine, 2201):
            eventually(lambda: guarded_vps.lets_in(port=2201), LONG, "nor after the second time")
    assert call(guarded_vps.client, "tcp", VPS, 9000) == "-"


@pytest.mark.parametrize(
    ("name", "program", "owner"),
    [
        ("sshd-of-hex", [], "hex"),
        # ss tells names as they are, quotes included.
        ('"sshd",pid=1', [], "hex"),
        # A link to su, which asks for a password, and goes on listening meanwhile.
        ("sshd-of-root", ["/home/hex/sshd-of-root"], "root"),
    ],
)
def test_what_only_has_the_name_of_sshd_opens_no_port(
    guarded_vps: Guarded, name: str, program: list[str], owner: str
) -> None:
    """Anybody on the VPS may start a program of that name, and some of root's by that name."""
    machine = guarded_vps.vps.machine
    machine.run("ln -sf /usr/bin/su ~hex/sshd-of-root")
    with guarded_vps.imposter("31337", name, *program):
        runs = [owner, name]
        eventually(
            lambda: runs in map(str.split, machine.run("ps -eo euser,comm").stdout.splitlines()),
            LONG,
            "nobody has the name",
        )
        assert name in machine.run("ss -Hltnp sport = 31337").stdout
        guarded_vps.vps.call("restore")
        assert not [line for line in guards(machine) if "31337" in line]
        caller = Call(guarded_vps.client, "tcp", VPS, 31337)
        assert caller.state == "-"
        caller.end()
        assert guarded_vps.lets_in()


MORE_LINES = """
ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip link set vpn1 up
ip route add default dev vpn0 table 51820
ip rule add from 192.0.2.130 lookup 101
"""
NO_MORE_LINES = """
for name in ens7 ens8 vpn0; do ip link del $name; done
ip rule del from 192.0.2.130 lookup 101
"""


def test_a_second_line_by_rules_of_its_own_is_outside_too(guarded_vps: Guarded) -> None:
    """As clouds set up a second interface. Not a VPN's own, whose table leads to no router, and not
    one without an address of the internet."""
    world, machine = guarded_vps.world, guarded_vps.vps.machine
    with harmed(machine, MORE_LINES, NO_MORE_LINES):
        machine.join(world.internet, "ens7 192.0.2.130/25", "second 192.0.2.129/25")
        machine.join(world.internet, "ens8 10.0.1.5/24", "private 10.0.1.1/24")
        machine.run("ip route add default via 10.0.1.1 dev ens8 table 102")
        assert call(world.internet, "tcp", "192.0.2.130", 9000) == "192.0.2.129"
        machine.run("ip route add default via 192.0.2.129 dev ens7 table 101")
        guarded_vps.vps.call("restore")
        assert call(world.internet, "tcp", "192.0.2.130", 9000) == "-"
        assert call(world.internet, "tcp", "10.0.1.5", 9000) == "10.0.1.1"
        assert not [line for line in guards(machine) if "vpn0" in line]
        # Of an address with a peer `ip` tells no length.
        machine.run("ip route del default via 10.0.1.1 dev ens8 table 102; ip addr flush dev ens8")
        machine.run("ip addr add 10.0.1.5 peer 10.0.1.1 dev ens8")
        machine.run("ip route add default via 10.0.1.1 dev ens8 table 102")
        assert "error" not in guarded_vps.vps.call("restore").stderr
        assert not [line for line in guards(machine) if "ens8" in line]


def test_a_login_through_the_tunnel_must_be_allowed(open_vps: Guarded) -> None:
    """It would be refused its own next login: said before anything is done."""
    to = f"root@{INSIDE}"
    put, confirm = (open_vps.verb(verb) for verb in ("put-firewall", "confirm-firewall"))
    refused = open_vps.login(put, stdin=ALLOW, to=to, by=open_vps.laptop, check=False)
    assert refused.status == REFUSED
    assert f"from {LAPTOP}, which the firewall keeps out" in refused.stderr
    assert guards(open_vps.vps.machine) == []
    allowing = f"{DENY}allow ssh tcp {LAPTOP} -> {INSIDE}:22\n"
    for words in (put, confirm):
        open_vps.login(words, stdin=allowing, to=to, by=open_vps.laptop)
    assert open_vps.state() == "kept"


def test_only_a_login_that_came_later_can_keep_it(open_vps: Guarded) -> None:
    put, confirm = (open_vps.verb(verb) for verb in ("put-firewall", "confirm-firewall"))
    same = f"{put} <<<'{DENY.strip()}' && {confirm} <<<'{DENY.strip()}'"
    refused = open_vps.login(same, check=False)
    assert refused.status == REFUSED
    assert "this login is older than the firewall" in refused.stderr
    # Another connection, but from before: it passes as a known one, whatever the rules say.
    early = f"until grep -q since {TRIAL}; do :; done; {confirm}"
    open_vps.vps.call("remove-firewall")
    waiting = open_vps.client.start(
        f"{SSH} root@{VPS} 'echo ready; {early} 2>&1' <<<'{DENY.strip()}'"
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "ready\n"
    open_vps.login(put, stdin=DENY)
    assert "this login is older than the firewall" in waiting.communicate()[0]
    # Nobody's login at all.
    console = open_vps.vps.call("confirm-firewall", stdin=DENY, check=False)
    assert console.status == REFUSED
    assert "did not come by a login" in console.stderr
    assert open_vps.state() == "pending"
    open_vps.login(confirm, stdin=DENY)
    assert open_vps.state() == "kept"
    open_vps.login(confirm, stdin=DENY)


def test_another_text_than_the_one_on_trial_is_not_kept(open_vps: Guarded) -> None:
    put, confirm = (open_vps.verb(verb) for verb in ("put-firewall", "confirm-firewall"))
    open_vps.login(put, stdin=ALLOW)
    open_vps.login(put, stdin=OTHER)
    refused = open_vps.login(confirm, stdin=ALLOW, check=False)
    assert refused.status == REFUSED
    assert "another firewall than this is on trial" in refused.stderr
    open_vps.login(confirm, stdin=OTHER)
    assert open_vps.state() == "kept"
    # One timer at most is left over by all that.
    assert "revert-firewall" not in open_vps.vps.machine.run("ps ax").stdout


def test_none_is_tried_where_the_rules_that_are_there_cannot_be_read(open_vps: Guarded) -> None:
    vps = open_vps.vps.machine
    with in_the_place_of(vps, "iptables-save", "#!/bin/sh\nexit 1\n"):
        done = open_vps.login(open_vps.verb("put-firewall"), stdin=ALLOW, check=False)
    assert done.status == REFUSED
    assert "iptables-save failed" in done.stderr
    assert open_vps.state() == "none"


def test_the_first_trials_timer_does_not_end_the_second(open_vps: Guarded) -> None:
    """Killed, a run leaves its timer, which finds another trial when it fires."""
    put = open_vps.verb("put-firewall", wait=SHORT, crash_at="wrote-trial")
    assert open_vps.login(put, stdin=ALLOW, check=False).status != 0
    open_vps.vps.machine.run(f"rm -f {TRIAL}")
    open_vps.login(open_vps.verb("put-firewall", wait=60), stdin=ALLOW)
    open_vps.vps.machine.run(f"sleep {SHORT + 1}")
    assert open_vps.state() == "pending"
    assert guards(open_vps.vps.machine)


def test_a_kept_one_is_not_put_on_trial_again(guarded_vps: Guarded) -> None:
    before = guards(guarded_vps.vps.machine)
    guarded_vps.login(guarded_vps.verb("put-firewall"), stdin=ALLOW)
    assert guarded_vps.state() == "kept"
    assert guards(guarded_vps.vps.machine) == before
    # From a trial back to it, too.
    guarded_vps.login(guarded_vps.verb("put-firewall"), stdin=OTHER)
    guarded_vps.login(guarded_vps.verb("put-firewall"), stdin=ALLOW)
    assert guarded_vps.state() == "kept"
    assert guards(guarded_vps.vps.machine) == before


@pytest.mark.kills("put-firewall")
def test_a_trial_killed_at_any_step_is_taken_back(open_vps: Guarded, record_property: Tell) -> None:
    def put(step: int) -> int:
        words = open_vps.verb("put-firewall", wait=SHORT, crash_at=step)
        return open_vps.login(f"{words}; {TELL}", stdin=ALLOW, check=False).status

    tried = 0
    for tried in killed_at_each_step(put):
        healed(open_vps)
        # What is left over of it is in nobody's way.
        assert open_vps.lets_in(), f"killed at step {tried}"
    assert tried >= 6
    record_property("tried", tried)


# The trial's timer ends, which would take it back itself, and its time is over.
OVER = f"""
kill -- -$(sed -n 's/^timer process \\([0-9]*\\) .*/\\1/p' {TRIAL}) &&
  sed -i 's/^until .*/until 1/' {TRIAL}
"""


@pytest.mark.kills("revert-firewall")
@pytest.mark.parametrize("kept", [False, True], ids=["to none", "to another"])
def test_taking_it_back_killed_at_any_step_is_done_by_the_next(
    open_vps: Guarded, record_property: Tell, *, kept: bool
) -> None:
    vps = open_vps.vps
    if kept:
        open_vps.guard(OTHER)
    before = (open_vps.state(), guards(vps.machine))

    def revert(step: int) -> int:
        open_vps.login(open_vps.verb("put-firewall"), stdin=ALLOW)
        assert open_vps.state() == "pending"
        vps.machine.run(OVER)
        return vps.call("revert-firewall", crash_at=step, check=False).status

    tried = 0
    for tried in killed_at_each_step(revert):
        vps.call("revert-firewall")
        assert (open_vps.state(), guards(vps.machine)) == before, f"killed at step {tried}"
        assert vps.machine.run(f"test -e {TRIAL}", check=False).status == 1
    assert tried >= 4
    record_property("tried", tried)


@pytest.mark.kills("confirm-firewall")
@pytest.mark.parametrize("step", ["staged-firewall", "kept-firewall", "ended-trial"])
def test_keeping_it_killed_at_any_step_is_done_or_not(open_vps: Guarded, step: str) -> None:
    """By the next run; and without one it is either kept, by a file, or will be taken back."""
    vps = open_vps.vps.machine
    put, confirm = (open_vps.verb(verb) for verb in ("put-firewall", "confirm-firewall"))
    killing = f"{open_vps.verb('confirm-firewall', crash_at=step)}; {TELL}"
    open_vps.login(put, stdin=ALLOW)
    rules = guards(vps)
    assert open_vps.login(killing, stdin=ALLOW, check=False).status == KILLED
    open_vps.login(confirm, stdin=ALLOW)
    assert (open_vps.state(), guards(vps)) == ("kept", rules)
    open_vps.vps.call("remove-firewall")
    open_vps.login(put, stdin=ALLOW)
    assert open_vps.login(killing, stdin=ALLOW, check=False).status == KILLED
    reboot(vps)
    kept = step != "staged-firewall"
    assert (open_vps.state(), guards(vps)) == (("kept", rules) if kept else ("none", []))


@pytest.mark.kills("remove-firewall")
def test_a_removal_killed_at_any_step_is_done_by_the_next(
    open_vps: Guarded, record_property: Tell
) -> None:
    vps = open_vps.vps

    def remove(step: int) -> int:
        open_vps.guard(ALLOW)
        return vps.call("remove-firewall", crash_at=step, check=False).status

    tried = 0
    for tried in killed_at_each_step(remove):
        vps.call("remove-firewall")
        left = (open_vps.state(), guards(vps.machine))
        assert left == ("none", []), f"killed at step {tried}"
    assert tried >= 4
    record_property("tried", tried)


@pytest.mark.kills("sync-firewall")
def test_one_that_another_tunnel_has_put_right_may_be_killed_at_any_step(
    guarded_vps: Guarded, record_property: Tell
) -> None:
    """As that tunnel comes, goes, or changes its port."""
    vps = guarded_vps.vps
    before = guards(vps.machine)

    def sync(step: int) -> int:
        vps.machine.run("for tool in iptables ip6tables; do $tool -t mangle -F RT-wg0-in; done")
        return vps.call("sync-firewall", crash_at=step, check=False).status

    tried = 0
    for tried in killed_at_each_step(sync):
        vps.call("sync-firewall")
        assert guards(vps.machine) == before, f"killed at step {tried}"
    assert guards(vps.machine) == before
    assert tried >= 4
    record_property("tried", tried)


def test_it_is_taken_back_although_the_lock_is_held(open_vps: Guarded) -> None:
    """By a run that hangs: one must get in to end it."""
    vps = open_vps.vps.machine
    open_vps.login(open_vps.verb("put-firewall", wait=SHORT), stdin=ALLOW)
    holder = vps.start("exec flock --no-fork /usr/local/lib/reverse-tunnel sleep 60")
    hung = "grep -c . <(iptables-save -t mangle | grep -e '-j RT-wg0-in')"
    try:
        eventually(
            lambda: vps.run(hung, check=False).stdout == "0\n", LONG, "it was not taken back"
        )
    finally:
        holder.kill()
        holder.communicate()
    healed(open_vps)


def test_it_is_taken_back_although_what_does_it_is_killed(open_vps: Guarded) -> None:
    vps = open_vps.vps.machine
    with killed_at_first(vps, "*-firewall-*"):
        open_vps.login(open_vps.verb("put-firewall", wait=SHORT), stdin=ALLOW)
        eventually(lambda: not guards(vps), LONG, "the firewall was not taken back")
        assert killed(vps).startswith("reverse-tunnel-wg0-firewall-")


def test_it_is_taken_back_although_the_disk_is_full(open_vps: Guarded) -> None:
    vps = open_vps.vps.machine
    files = open_vps.vps.files
    full = f"cp -a {files} /root/copy; mount -t tmpfs -o size=64k full {files};"
    full += f" cp -a /root/copy/. {files}; rm -r /root/copy"
    with harmed(vps, full, f"umount {files}"):
        vps.run(f"dd if=/dev/zero of={files}/big bs=4k", check=False)
        open_vps.login(open_vps.verb("put-firewall", wait=ENOUGH), stdin=ALLOW)
        refused = open_vps.login(open_vps.verb("confirm-firewall"), stdin=ALLOW, check=False)
        assert refused.status != 0
        assert "the disk is full" in refused.stderr
        healed(open_vps)


@pytest.mark.parametrize("harm", ["echo colour red >>{0}", "rm {0}"], ids=["foreign", "lost"])
def test_it_is_taken_back_although_the_settings_are_not_understood(
    open_vps: Guarded, harm: str
) -> None:
    vps, settings = open_vps.vps, f"{open_vps.vps.files}/settings"
    open_vps.login(open_vps.verb("put-firewall"), stdin=ALLOW)
    assert jumps_to_guards(vps.machine) != []
    spoil = f"cp -a {settings} /root; {harm.format(settings)}; {OVER}"
    with harmed(vps.machine, spoil, f"mv /root/settings {settings}"):
        vps.call("revert-firewall")
        assert jumps_to_guards(vps.machine) == []
        assert vps.machine.run(f"test -e {TRIAL}", check=False).status == 1
        assert call(open_vps.client, "tcp", VPS, 9000) == CLIENT
    assert open_vps.state() == "none"


def jumps_to_guards(machine: Machine) -> list[str]:
    return [rule for rule in guards(machine) if " -j RT-wg0-" in rule]


def test_a_reboot_takes_back_what_is_on_trial_and_keeps_what_is_kept(open_vps: Guarded) -> None:
    vps = open_vps.vps.machine
    before = guards(vps)
    open_vps.login(open_vps.verb("put-firewall"), stdin=ALLOW)
    reboot(vps)
    assert (open_vps.state(), guards(vps)) == ("none", before)
    open_vps.guard(ALLOW)
    kept = guards(vps)
    open_vps.login(open_vps.verb("put-firewall"), stdin=OTHER)
    reboot(vps)
    assert (open_vps.state(), guards(vps)) == ("kept", kept)


def reboot(machine: Machine) -> None:
    """What of a reboot matters here: no rules, nothing in /run, no timer, and the tunnel starts."""
    machine.run("ip link del wg0")
    machine.run("kill $(pgrep -f revert-firewall)", check=False)
    machine.run("rm -rf /run/reverse-tunnel")
    for tool in ("iptables", "ip6tables"):
        for table in ("mangle", "filter", "nat"):
            machine.run(f"{tool} -t {table} -F; {tool} -t {table} -X")
    machine.run("wg-quick up wg0")


# ---- its life ----


def test_it_stays_when_the_tunnel_goes_down(guarded_vps: Guarded) -> None:
    """Else a restart of the tunnel, or one that fails, would open the VPS for a while."""
    vps = guarded_vps.vps.machine
    kept = guards(vps)
    with harmed(vps, *OFF):
        assert guards(vps) == kept
        assert call(guarded_vps.client, "tcp", VPS, 9000) == "-"
    assert guards(vps) == kept


# Takes no rules of the firewall's, but all others.
REFUSING = """#!/bin/bash
rules=$(cat)
[[ ! $rules =~ RT-wg0-[a-z] ]] || { echo "no room for them" >&2; exit 1; }
exec /usr/sbin/iptables-restore "$@" <<<"$rules"
"""


def test_without_its_firewall_a_vps_starts_no_tunnel_and_says_so(guarded_vps: Guarded) -> None:
    """It tries again by itself, and what there is of the firewall stays."""
    vps, machine = guarded_vps.vps, guarded_vps.vps.machine
    kept = guards(machine)
    without_jumps = "wg-quick down wg0; iptables -t mangle -D FORWARD -j RT-wg0-through"
    with harmed(machine, without_jumps, "wg-quick up wg0"):
        left = guards(machine)
        with in_the_place_of(machine, "iptables-restore", REFUSING):
            started = machine.run("wg-quick up wg0", check=False)
        assert started.status != 0
        assert "the firewall could not be put into force: no room for them" in started.stderr
        assert vps.told("interface") == ["down", "-"]
        assert "firewall" in vps.wrong()
        assert "RT-wg0-FWD" not in machine.run("iptables-save").stdout
        assert guards(machine) == left
        assert call(guarded_vps.client, "tcp", VPS, 9000) == "-"
    assert guards(machine) == kept
    assert vps.wrong() == []


def test_nothing_is_left_of_it(open_vps: Guarded) -> None:
    machine = open_vps.vps.machine
    before = sorted(snapshot(machine))
    open_vps.guard(ALLOW)
    assert sorted(snapshot(machine)) != before
    open_vps.vps.call("remove-firewall")
    assert sorted(snapshot(machine)) == before
    open_vps.login(open_vps.verb("put-firewall"), stdin=ALLOW)
    open_vps.vps.call("remove-firewall")
    open_vps.vps.call("remove-firewall")
    assert sorted(snapshot(machine)) == before
    assert "revert-firewall" not in machine.run("ps ax").stdout


def test_uninstall_takes_it_away(machine: Machine) -> None:
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    # Without an SSH server nobody could log in.
    refused = tunnel.call("put-firewall", stdin=DENY, check=False)
    assert refused.status == REFUSED
    assert "no SSH server is found" in refused.stderr
    machine.run("mkdir -p /run/sshd; ssh-keygen -qA; /usr/sbin/sshd -o UsePAM=no")
    tunnel.call("put-firewall", stdin=DENY)
    assert guards(machine)
    tunnel.call("uninstall reverse-tunnel/home")
    machine.run("rm -r /run/sshd /run/sshd.pid /etc/ssh/ssh_host_*")
    assert snapshot(machine) == before
    assert guards(machine) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its first line must be default-deny"),
        ("allow x any 172.16.0.4 -> 172.16.0.1\n", "its first line must be default-deny"),
        (f"{DENY}allow x any 172.16.0.4 -> 172.16.0.1:22\n", "protocol any has no ports"),
        (f"{DENY}allow x tcp 172.16.0.4 -> 172.16.0.1:70000\n", "ports are 1-65535"),
        (f"{DENY}allow x tcp 172.16.0.4 -> 172.16.0.1:9-8\n", "ports are 1-65535"),
        (f"{DENY}allow x tcp 172.16.0.400 -> 172.16.0.1\n", "is not an address"),
        (f"{DENY}allow x tcp 172.16.0.4 -> [fd5c::1]\n", "not of the others' family"),
        (f"{DENY}allow x tcp fd5c::4,172.16.0.4 -> [fd5c::1]:22\n", "not of the others' family"),
        (f"{DENY}allow x tcp fd5c:::4 -> [fd5c::1]:22\n", "is not an address"),
        (f"{DENY}allow x tcp 172.16.0.4 -> 172.16.0.1; id\n", "is not known to this helper"),
        (f"{DENY}deny x\n", "is not known to this helper"),
    ],
)
def test_a_text_that_is_not_understood_changes_nothing(
    standing_vps: Tunnel, text: str, words: str
) -> None:
    before = snapshot(standing_vps.machine)
    refused = standing_vps.call("put-firewall", stdin=text, check=False)
    assert refused.status == REFUSED
    assert words in refused.stderr
    assert snapshot(standing_vps.machine) == before


MOVED = "for word in save restore; do mv /usr/sbin/{0}-$word /usr/sbin/{1}-$word; done"
IPV6_ON = f"sysctl -qw net.ipv6.conf.all.disable_ipv6=0; ip addr add {VPS6}/64 dev ens6"


def test_a_host_without_ip6tables_is_guarded_if_it_has_no_ipv6(open_vps: Guarded) -> None:
    """With an address of IPv6 a firewall for IPv4 alone would only look like one."""
    vps = open_vps.vps.machine
    put = open_vps.verb("put-firewall")
    with harmed(vps, MOVED.format("ip6tables", "was"), MOVED.format("was", "ip6tables")):
        refused = open_vps.login(put, stdin=DENY, check=False)
        assert refused.status == REFUSED
        assert "does not take the firewall for IPv6" in refused.stderr
        assert open_vps.state() == "none"
        with harmed(vps, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1", IPV6_ON):
            open_vps.login(put, stdin=DENY)
            assert call(open_vps.client, "tcp", VPS, 9000) == "-"
            open_vps.vps.call("remove-firewall")
