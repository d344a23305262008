"""What a host tells of its tunnel: counters, connections, targets; telling changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.preflight.lookup import script
from reach.shell import helper_digest
from tests.host.machine import Machine
from tests.host.test_kind_traffic import way_out
from tests.host.tunnel import Tunnel, rules_of
from tests.host.userspace import has_wireguard, take_debians, version_of
from tests.host.world import CLIENT, SERVER, VPS, Call, World, serve, world
from tests.support import eventually, harmed
from tests.symptoms import symptom

# Notes every listing.
LISTING = """\
#!/bin/sh
case " $* " in *" -L "*) echo "$*" >>/run/listings ;; esac
exec /usr/sbin/conntrack "$@"
"""
ACCOUNTING = "/proc/sys/net/netfilter/nf_conntrack_acct"


@pytest.fixture(scope="module")
def ends() -> Iterator[World]:
    with world() as built:
        built.serve(8081)
        serve(built.client, 7000)
        yield built


@contextmanager
def forwards(ends: World, **lines: str) -> Iterator[None]:
    """Forwards by their names, until the block ends."""
    for name, line in lines.items():
        ends.vps.put(name, line)
    yield
    for name in lines:
        ends.vps.remove(name)


def counted(ends: World, name: str) -> tuple[int, ...]:
    """Connections, packets and bytes to the target, packets and bytes from it."""
    _, *numbers = ends.vps.told(f"forward {name}")
    return tuple(map(int, numbers))


@contextmanager
def open_call(ends: World, protocol: str, port: int) -> Iterator[None]:
    """A visitor whose question was answered, and who stays."""
    visitor = Call(ends.client, protocol, VPS, port)
    assert visitor.ask() == CLIENT
    yield
    visitor.end()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_a_forwards_connections_carry_is_counted_in_both_directions(
    ends: World, protocol: str
) -> None:
    """Two of them lead to the same port of the same server."""
    line = f"{{}} {{}} -> {SERVER}:8081"
    with forwards(ends, web=line.format(protocol, 80), other=line.format(protocol, 81)):
        assert counted(ends, "web") == counted(ends, "other") == (0, 0, 0, 0, 0)
        with open_call(ends, protocol, 80):
            _, *before = counted(ends, "web")
            to, to_bytes, back, back_bytes = before
            assert 0 < to < to_bytes
            assert 0 < back < back_bytes
            assert counted(ends, "other") == (0, 0, 0, 0, 0)
            with open_call(ends, protocol, 81):
                assert counted(ends, "other")[0] == 1
                connections, *after = counted(ends, "web")
                assert connections == 1
                # TCP may still have acknowledged something; another call would have doubled them.
                assert all(now < 2 * was for now, was in zip(after, before, strict=True))


def test_what_a_range_and_both_protocols_carry_is_added_up(ends: World) -> None:
    with (
        forwards(ends, web=f"tcp+udp 9000-9001 -> {SERVER}:8080-8081"),
        open_call(ends, "udp", 9001),
    ):
        connections, to, _, back, _ = counted(ends, "web")
        assert connections == 1
        assert 1 <= back <= to <= 2  # where the answer is late, it is asked once more
        with open_call(ends, "tcp", 9001):
            connections, packets, *_ = counted(ends, "web")
            assert (connections, packets > to + 1) == (2, True)


def test_where_the_host_does_not_count_that_is_told(ends: World) -> None:
    with forwards(ends, web=f"udp 80 -> {SERVER}:8081"), open_call(ends, "udp", 80):
        ends.vps.machine.run(f"echo 0 >{ACCOUNTING}")
        assert ends.vps.told("forward web") == ["ok", "1", "-", "-", "-", "-"]
        ends.vps.call("up")
        assert counted(ends, "web")[0] == 1


@pytest.mark.parametrize("before", ["0", "1"])
def test_counting_is_put_back_by_the_last_tunnel_to_leave(machine: Machine, before: str) -> None:
    machine.run(f"echo {before} >{ACCOUNTING}")
    first, second = Tunnel(machine), Tunnel(machine, "wg1", "reverse-tunnel/other")
    first.set_up_vps()
    second.set_up_vps("172.16.1.1/24", 51821)
    for tunnel, after in ((first, "1"), (second, before)):
        assert machine.read(ACCOUNTING) == "1\n"
        tunnel.call(f"uninstall {tunnel.owner}")
        assert machine.read(ACCOUNTING) == f"{after}\n"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_connections_are_those_that_are_open_now(ends: World, protocol: str) -> None:
    line = f"{protocol} {{}} -> {SERVER}:8081"
    with forwards(ends, web=line.format(80), other=line.format(81)):
        calls = [Call(ends.client, protocol, VPS, 80) for _ in range(3)]
        assert [one.ask() for one in calls] == [CLIENT] * 3
        assert counted(ends, "web")[0] == 3
        assert counted(ends, "other")[0] == 0
        for one in calls:
            one.end()
        if protocol == "tcp":
            eventually(lambda: counted(ends, "web")[0] == 0, 30, "they are still counted")


def test_a_target_answers_refuses_or_is_silent(ends: World) -> None:
    ends.server.machine.run("iptables -I INPUT -p tcp --dport 8083 -j DROP")
    lines = {
        "open": f"tcp 80 -> {SERVER}:8081",
        "closed": f"tcp 81 -> {SERVER}:8082",
        "shut": f"tcp 82 -> {SERVER}:8083",
        "udp": f"udp 83 -> {SERVER}:8084",
        "paused": f"tcp 84 -> {SERVER}:8085\npaused",
    }

    def told() -> bool:
        targets = [line for line in ends.vps.status("connect") if line.startswith("target")]
        assert sorted(targets) == [
            f"target {SERVER} 8081 answers",
            f"target {SERVER} 8082 refuses",
            f"target {SERVER} 8083 silent",
        ]
        return True

    with forwards(ends, **lines):
        eventually(told, 30, "they are told otherwise")
    ends.server.machine.run("iptables -D INPUT -p tcp --dport 8083 -j DROP")


def test_very_many_that_are_silent_are_not_asked_to_the_end(ends: World) -> None:
    """Nothing at all would be told in time, when a server is off. Each is named all the same."""
    ends.server.machine.run("iptables -I INPUT -p tcp --dport 8100:8130 -j DROP")

    def answers(seconds: int) -> list[str]:
        told = ends.vps.call("status connect", env={"RT_ASK_FOR": str(seconds)}).stdout
        return [line.split()[-1] for line in told.splitlines() if line.startswith("target")]

    with forwards(ends, **{f"f{n}": f"tcp {n} -> {SERVER}:{n}" for n in range(8100, 8130)}):
        few = answers(3)  # no more than the patience with each
        assert len(few) == 30
        assert 0 < few.count("silent") <= 20  # who are asked at once
        assert few.count("untested") == 30 - few.count("silent")
        assert answers(120) == ["silent"] * 30
    ends.server.machine.run("iptables -D INPUT -p tcp --dport 8100:8130 -j DROP")


def test_nobody_is_asked_unless_that_is_wanted(ends: World) -> None:
    with forwards(ends, web=f"tcp 80 -> {SERVER}:8081"):
        assert not [line for line in ends.vps.status() if line.startswith("target")]


def test_the_look_before_up_has_no_connections_listed(ends: World) -> None:
    """A busy VPS has a hundred thousand of them, and each preview would wait for it to count."""
    vps = ends.vps.machine
    vps.write("/usr/local/sbin/conntrack", LISTING)
    vps.run("chmod 755 /usr/local/sbin/conntrack")
    with forwards(ends, web=f"udp 80 -> {SERVER}:8081"), open_call(ends, "udp", 80):
        vps.run(": >/run/listings")
        look = vps.run("sh -s", stdin=script("wg0")).stdout
        assert "forward web ok - - - - -" in look.splitlines()
        assert vps.read("/run/listings") == ""
        assert counted(ends, "web")[0] == 1
        assert vps.read("/run/listings") != ""
    vps.run("rm /usr/local/sbin/conntrack")


def test_both_ends_tell_of_the_tunnel(ends: World) -> None:
    carrier = ["kernel"]
    if not has_wireguard(ends.vps.machine):
        carrier = ["userspace", version_of(ends.vps.machine)]
    for tunnel, peer, role in ((ends.vps, "homelab", "vps"), (ends.server, "vps", "server")):
        assert tunnel.told("role") == [role]
        assert tunnel.told("owner") == [tunnel.owner]
        assert tunnel.told("unit") == ["enabled"]
        assert tunnel.told("interface") == ["up", *carrier]
        endpoint, handshake, received, sent = tunnel.told(f"peer {peer}")
        assert endpoint == ("192.0.2.20:" if role == "vps" else VPS + ":") + endpoint.split(":")[1]
        assert 0 <= int(tunnel.told("end")[0]) - int(handshake) < 180
        assert int(received) > 0
        assert int(sent) > 0


@symptom("It works, but slowly")
def test_the_version_is_that_of_the_program_that_runs(machine: Machine) -> None:
    """Unknown if its file was replaced, by an upgrade, since it was started."""
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    if has_wireguard(machine):
        assert tunnel.told("interface") == ["up", "kernel"]
        return
    running = version_of(machine)
    assert tunnel.told("interface") == ["up", "userspace", running]
    take_debians(machine)
    assert version_of(machine) != running
    assert tunnel.told("interface") == ["up", "userspace", "-"]
    machine.run("wg-quick down wg0; wg-quick up wg0")
    assert tunnel.told("interface") == ["up", "userspace", version_of(machine)]


def test_a_process_that_only_has_the_name_is_not_asked(machine: Machine) -> None:
    """Its file would be run, as root; anybody may call a process so, also in a container."""
    # By the least of numbers, so that it is found first; who else starts meanwhile may get it, and
    # a part of the tunnel, if that were there.
    foreign = machine.start(
        "cp /usr/bin/tail /tmp/foreign; cd /tmp; : >wg0;"
        " until echo 99 >/proc/sys/kernel/ns_last_pid;"
        " (exec -a wireguard-go ./foreign -f wg0) & [ $! = 100 ]; do kill $!; done; wait"
    )
    named = "tr '\\0' ' ' </proc/100/cmdline | grep -q 'wireguard-go -f wg0'"
    eventually(lambda: machine.run(named, check=False).status == 0, 30, "no such process")
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    kernel = has_wireguard(machine)
    carrier = ["kernel"] if kernel else ["userspace", version_of(machine)]
    assert tunnel.told("interface") == ["up", *carrier]
    machine.run(f"{named} && kill 100")
    foreign.communicate()


def test_a_rule_that_is_gone_is_told(ends: World) -> None:
    with forwards(ends, web=f"tcp+udp 80 -> {SERVER}:8081"):
        assert ends.vps.told("forward web")[0] == "ok"
        for protocol, told in (("tcp", "differs"), ("udp", "missing")):
            rule = ends.vps.rule("web", f"{protocol} 80 -> {SERVER}:8081").removeprefix("-A ")
            ends.vps.machine.run(f"iptables -t nat -D {rule}")
            assert ends.vps.told("forward web")[0] == told
        assert ends.vps.told("chain RT-wg0-FWD") == ["ok"]
        ends.vps.machine.run("iptables -F RT-wg0-FWD")
        assert ends.vps.told("chain RT-wg0-FWD") == ["differs"]
        ends.vps.call("up")
        assert ends.vps.told("forward web")[0] == "ok"
        assert ends.vps.told("chain RT-wg0-FWD") == ["ok"]


UNIT, WATCHER = "wg-quick@wg0", "reverse-tunnel-wg0-watch"
STATE = "/run/standin"  # what the stand-in for systemctl knows of units

WRONGS = [
    ("ip link set wg0 down", "link"),
    ("ip link set wg0 mtu 1400", "mtu"),
    ("ip address add 172.16.0.99/24 dev wg0", "addresses"),
    ("ip address flush dev wg0 scope global", "addresses"),
    ("echo 0 >/proc/sys/net/ipv4/conf/ens6/forwarding", "forwarding"),
    ("chmod 644 /etc/reverse-tunnel/wg0/private.key", "modes"),
    ("chmod 755 /usr/local/lib/reverse-tunnel/wg0/reverse-tunnel", "modes"),
    ("chown nobody /etc/wireguard/wg0.conf", "modes"),
    ("wg set wg0 peer {peer} remove", "peer homelab"),
    ("wg set wg0 peer {peer} allowed-ips 172.16.0.9/32", "peer homelab"),
]


@pytest.mark.parametrize(("harm", "word"), WRONGS)
def test_what_somebody_has_changed_is_told_and_mended_by_its_own_verb(
    ends: World, harm: str, word: str
) -> None:
    vps = ends.vps
    settings = vps.machine.read(f"{vps.files}/settings")
    peer = vps.machine.read(f"{vps.files}/peers.d/homelab.conf")
    key = peer.partition("public-key ")[2].splitlines()[0]
    assert vps.wrong() == []
    vps.machine.run(harm.format(peer=key))
    assert vps.wrong() == [word]
    if word.startswith("peer"):
        vps.call("put-peer homelab", stdin=peer)
    else:
        vps.call("interface", stdin=settings)
    assert vps.wrong() == []


@pytest.mark.parametrize("role", ["vps", "server"])
def test_a_tunnel_that_nobody_watches_over_is_told_and_mended(ends: World, role: str) -> None:
    """All is well until somebody flushes the rules, or the VPS answers no more."""
    tunnel = ends.vps if role == "vps" else ends.server
    settings = tunnel.machine.read(f"{tunnel.files}/settings")
    assert tunnel.wrong() == []
    for harm in (f"systemctl stop {WATCHER}", f"echo failed >{STATE}/{WATCHER}"):
        tunnel.machine.run(harm)
        assert tunnel.wrong() == ["watcher"]
        tunnel.call("interface", stdin=settings)
        assert tunnel.wrong() == []


@pytest.mark.parametrize(
    "words",
    [
        # It ended a moment ago, and will be there again in another.
        {WATCHER: "activating"},
        # It is started with the tunnel, and stopped before it.
        {UNIT: "activating", WATCHER: "inactive"},
        {UNIT: "deactivating", WATCHER: "inactive"},
    ],
)
def test_that_nobody_watches_for_a_moment_is_not_told(ends: World, words: dict[str, str]) -> None:
    states = [f"{STATE}/{name}" for name in (UNIT, WATCHER)]
    wrong = "; ".join(f"echo {word} >{STATE}/{name}" for name, word in words.items())
    with harmed(ends.vps.machine, wrong, f"for state in {' '.join(states)}; do : >$state; done"):
        assert ends.vps.wrong() == []


def test_where_nobody_could_be_started_to_watch_that_is_not_told_for_ever(ends: World) -> None:
    gone = "mv /usr/bin/systemd-run /usr/bin/was"
    with harmed(ends.vps.machine, gone, "mv /usr/bin/was /usr/bin/systemd-run"):
        ends.vps.machine.run(f"systemctl stop {WATCHER}")
        assert ends.vps.wrong() == []
    assert ends.vps.wrong() == ["watcher"]
    ends.vps.call("restore")
    assert ends.vps.wrong() == []


def test_a_tunnel_that_is_down_is_watched_by_nobody(ends: World) -> None:
    down, up = (f"systemctl {word} wg-quick@wg0" for word in ("stop", "start"))
    with harmed(ends.server.machine, down, up):
        assert ends.server.machine.run(f"systemctl is-active {WATCHER}", check=False).status
        assert ends.server.wrong() == []
    assert ends.server.wrong() == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("ip link set wg0 down", ["link", "routes"]),
        ("ip rule del priority $(cut -d' ' -f2 /etc/reverse-tunnel/wg0/mark)", ["routes"]),
        ("ip route flush table $(cut -d' ' -f2 /etc/reverse-tunnel/wg0/mark)", ["routes"]),
        # Visitors' packets would be dropped: their addresses lead elsewhere.
        ("echo 1 >/proc/sys/net/ipv4/conf/wg0/rp_filter", ["routes"]),
    ],
)
def test_a_servers_way_back_to_visitors_that_is_gone_is_told_and_mended(
    ends: World, harm: str, words: list[str]
) -> None:
    """No rule of the firewall tells of it, and the VPS gets answers as before."""
    server = ends.server
    settings = server.machine.read(f"{server.files}/settings")
    assert server.wrong() == []
    server.machine.run(harm)
    assert server.wrong() == words
    server.call("interface", stdin=settings)
    assert server.wrong() == []


def test_a_servers_way_out_that_is_gone_is_told_and_mended(ends: World) -> None:
    """Whole, or one of its rules: without that for the time, a clock that is behind stays so."""
    server = ends.server
    mark = f"mark={server.files}/mark"
    out = f'{mark}; priority=$(($(cut -d" " -f2 $mark) + 100)); ip rule'
    assert server.wrong() == []
    with way_out(ends):
        assert server.wrong() == []
        for harm in (
            "dport 123 ipproto udp sport 1024-65534 iif lo lookup main",
            "lookup main",
            "",
        ):
            server.machine.run(f"{out} del {harm} priority $priority")
            assert server.wrong() == ["routes"]
            server.call("interface", stdin=server.machine.read(f"{server.files}/settings"))
            assert server.wrong() == []
    server.machine.run(f"{out} add lookup main priority $priority")
    assert server.wrong() == ["routes"], "without a way out a rule of it is one too many"
    server.call("interface", stdin=server.machine.read(f"{server.files}/settings"))
    assert server.wrong() == []


def test_the_helper_is_known_by_its_digest(ends: World) -> None:
    helper = f"{ends.vps.folder}/reverse-tunnel"
    (digest,) = ends.vps.told("digest")
    assert digest == helper_digest()
    ends.vps.machine.run(f"echo >>{helper}")
    assert ends.vps.told("digest") != [digest]
    ends.vps.install()
    assert ends.vps.told("digest") == [digest]


def test_who_has_claimed_it_is_told(machine: Machine) -> None:
    """By it the look-up knows a machine that is another one than before."""
    tunnel = Tunnel(machine)
    tunnel.install()
    assert tunnel.told("claimant") == ["-"]
    tunnel.install(claimant="vps:0123456789abcdef")
    assert tunnel.told("claimant") == ["vps:0123456789abcdef"]


def test_telling_changes_nothing(ends: World) -> None:
    def state() -> tuple[list[str], str, str]:
        machine = ends.vps.machine
        return (
            rules_of(machine.run("iptables-save").stdout),
            machine.run(
                "find /etc/reverse-tunnel /run/reverse-tunnel -newermt @0 -printf '%p %C@\n'"
            ).stdout,
            # Where a peer was last heard from changes without us.
            machine.run("wg showconf wg0 | grep -v ^Endpoint").stdout,
        )

    with forwards(ends, web=f"tcp 80 -> {SERVER}:8081"):
        before = state()
        ends.vps.status("connect")
        assert state() == before


def test_it_waits_for_no_other_run(ends: World) -> None:
    """An up may hold the lock for minutes."""
    holder = ends.vps.machine.start("exec flock /usr/local/lib/reverse-tunnel sh -c 'echo; read x'")
    assert holder.stdout is not None
    holder.stdout.readline()
    done = ends.vps.machine.run(f"timeout 20 {ends.vps.folder}/reverse-tunnel 1 status")
    assert done.stdout.splitlines()[-1].startswith("end ")
    holder.communicate("\n")


LAPTOP = "VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA="
KEY = "AGnF3KVd62Mhm57l4EUIuyI75bObTfb0ksK/0gcdnGg="  # snake oil


@pytest.fixture
def shared(vps: Tunnel) -> Tunnel:
    """A VPS that shares a key with a peer."""
    vps.call("put-peer laptop", stdin=f"public-key {LAPTOP}\nallowed-ips 172.16.0.9/32\n")
    vps.call("put-preshared-key laptop", stdin=KEY)
    return vps


# What bash reads before the helper: a file goes at the last moment before it is read.
GOES = """
set -T
trap 'case $BASH_COMMAND in {reads}) rm -f {file} ;; esac' DEBUG
"""
PEERS_FILE, PRESHARED = "peers.d/laptop.conf", "preshared.d/laptop"


@pytest.mark.parametrize(
    ("verb", "file", "reads"),
    [
        ("status", PEERS_FILE, "read_lines*file*"),
        ("write-metrics", PEERS_FILE, "read_lines*file*"),
        ("status", PRESHARED, '"read -r wanted "*'),
    ],
)
def test_files_that_another_run_removes_meanwhile_cut_nothing_short(
    shared: Tunnel, verb: str, file: str, reads: str
) -> None:
    machine = shared.machine
    shared.call("put-metrics", stdin="folder /var/lib\n")
    machine.write("/run/goes", GOES.format(reads=reads, file=f"{shared.files}/{file}"))
    done = shared.call(verb, env={"BASH_ENV": "/run/goes"})
    assert machine.run(f"test -e {shared.files}/{file}", check=False).status == 1
    assert done.stderr == ""
    if verb == "status":
        assert done.stdout.splitlines()[-1].startswith("end ")
        assert "wrong" not in done.stdout
    # Without the run that would have gone on to end that, too.
    assert shared.wrong() == (["preshared-key laptop"] if file == PRESHARED else [])


def test_a_peer_that_another_run_removes_while_targets_are_asked_is_not_wrong(
    shared: Tunnel,
) -> None:
    shared.put("web", "tcp 80 -> 172.16.0.4:80")
    meanwhile = f'#!/bin/sh\n{shared.line("remove-peer laptop")}\nexec /usr/bin/timeout "$@"\n'
    shared.machine.write("/usr/local/sbin/timeout", meanwhile)
    shared.machine.run("chmod 755 /usr/local/sbin/timeout")
    told = shared.status("connect")
    assert shared.machine.run(f"ls {shared.files}/peers.d").stdout == ""
    assert not [line for line in told if line.startswith("wrong")]


def test_what_is_down_or_not_set_up_yet_is_told(machine: Machine) -> None:
    tunnel = Tunnel(machine)
    tunnel.install()
    kinds = ["helper", "digest", "owner", "claimant", "end"]
    assert [line.split()[0] for line in tunnel.status()] == kinds
    tunnel.set_up_vps()
    machine.run("systemctl disable --now wg-quick@wg0")
    assert tunnel.told("interface") == ["down", "-"]
    assert tunnel.told("unit") == ["disabled"]


FLOW = (
    "tcp      6 431999 ESTABLISHED src=198.51.100.9 dst=203.0.113.10 sport={} dport={} packets=9"
    " bytes={} src=172.16.0.4 dst=198.51.100.9 sport=8081 dport=5 packets=4 bytes=7 [ASSURED]"
    " mark=0 use=1"
)


def added_up(machine: Machine, lines: list[str]) -> list[str]:
    """What the helper makes of forwards and of what conntrack says of connections."""
    part = (Path(__file__).parents[2] / "host/lib/forwards/traffic.sh").read_text()
    machine.write("/tmp/traffic.sh", f"{part}\nadd_up\n")
    return sorted(machine.run("bash /tmp/traffic.sh", stdin="\n".join(lines)).stdout.splitlines())


def test_numbers_beyond_32_bits_are_added_up_in_full(ends: World) -> None:
    """Some awks write large numbers as 4.29497e+09."""
    large = 5_000_000_000_000
    lines = ["forward web tcp 443 443 172.16.0.4", *(FLOW.format(n, 443, large) for n in (1, 2))]
    assert added_up(ends.vps.machine, lines) == [f"web 2 18 {2 * large} 8 14"]


def test_a_thousand_forwards_and_as_many_connections_are_added_up_by_port(ends: World) -> None:
    lines = [f"forward f{n} tcp {n} {n} 172.16.0.4" for n in range(1, 1001)]
    lines += ["forward range tcp 2000 2999 172.16.0.4", "forward other tcp 2000 2999 172.16.0.6"]
    lines += [FLOW.format(n, n % 3000 + 1, 1) for n in range(6000)]
    told: dict[str, int] = {}
    for line in added_up(ends.vps.machine, lines):
        name, connections, *_ = line.split()
        told[name] = told.get(name, 0) + int(connections)
    assert told == {**{f"f{n}": 2 for n in range(1, 1001)}, "range": 2000}
