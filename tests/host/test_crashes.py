"""kill -9 at every step of every verb: the next run ends where an undisturbed one would.

The steps are those that the helper names; the kernel and the files are looked at between any two.
What needs a login or the tunnel's other end is in test_firewall.py, test_redial.py and
test_rotation.py.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.conftest import fresh_machine
from tests.host.kills import Tell, killed_at_each_step, killed_verbs
from tests.host.machine import Machine, Result, helper_text
from tests.host.snapshot import snapshot
from tests.host.tunnel import KILLED, SERVER_SETTINGS, VPS_SETTINGS, Tunnel
from tests.settings.samples import public_key

HTTPS = "tcp 443 -> 172.16.0.4:8081"
HTTP = "tcp 80 -> 172.16.0.4:8080"
KEY = "AGnF3KVd62Mhm57l4EUIuyI75bObTfb0ksK/0gcdnGg="  # snake oil
FIRST_KEY = "IAn0Zl1CUPaDkP1Ouy/VYTcQdCnWvFkQOnEyOaYM5FM="
PEER = f"public-key {KEY}\nallowed-ips 172.16.0.4/32\n"
LAPTOP = "public-key VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA=\nallowed-ips 172.16.0.9/32\n"
LAPTOP_S_WAY = LAPTOP.strip() + ",192.168.1.0/24\negress tunnel\nmtu 1280\n"
EVERY_KIND = """\
tcp+udp 9000-9003 -> 172.16.0.4:8078-8081
from 198.51.100.0/24,203.0.113.7/32
limit-new 10
limit-concurrent 50
source-address tunnel"""
METRICS = "folder /var/lib\n"

VPS = VPS_SETTINGS.format(owner=Tunnel.owner, address="172.16.0.1/24", port=51820)
MOVED = VPS_SETTINGS.format(owner=Tunnel.owner, address="10.9.0.1/16", port=443)
DUAL = f"{VPS}ipv6 fd5c:91e2:7a3b::1/64\n"
SERVER = SERVER_SETTINGS.format(
    owner=Tunnel.owner,
    address="172.16.0.4/24",
    peer_key=public_key(1),
    peer_address="172.16.0.1",
    endpoint="203.0.113.1:51820",
)
SERVER_S_WAY = f"{SERVER}egress tunnel\nnetwork 203.0.113.0/24\n"
DUAL_SERVER = f"{SERVER_S_WAY}ipv6 fd5c:91e2:7a3b::4/64\n"
NAS = "tcp+udp 192.168.1.30:22-23\nsource-address tunnel\n"

# As by another program that has flushed the firewall and switched forwarding off.
FLUSH = """
for tool in iptables ip6tables; do
  for table in filter mangle nat; do $tool -t $table -F; done
done
sysctl -qw net.ipv4.conf.ens6.forwarding=0
"""


@dataclass(frozen=True)
class Operation:
    """A call of the helper: its words and lines; and what takes it back, or makes it needed."""

    words: str
    lines: str
    undo: Callable[[Tunnel], object]

    def do(self, tunnel: Tunnel, step: int = 0) -> Result:
        """Call it; killed at a step of that number."""
        check = not step
        return tunnel.call(self.words, stdin=self.lines, crash_at=step or "", check=check)


class Upgrade(Operation):
    """The installation of a newer helper where there is a tunnel; the words are the claimant's."""

    def do(self, tunnel: Tunnel, step: int = 0) -> Result:
        """It sees some rules otherwise than the one before."""
        newer = helper_text().replace("HELPER_VERSION=1", "HELPER_VERSION=2", 1)
        newer = newer.replace("-i $IFACE -o $IFACE -j ACCEPT", "-i $IFACE -o $IFACE -j DROP")
        crash_at, check = step or "", not step
        return tunnel.install(claimant=self.words, text=newer, crash_at=crash_at, check=check)


def operation(words: str, lines: str, undo: str, undo_lines: str = "") -> Operation:
    """One that another call takes back."""
    return Operation(words, lines, lambda tunnel: tunnel.call(undo, stdin=undo_lines))


def lose(tunnel: Tunnel, *lost: str) -> None:
    """Lines of bash that take something of the tunnel away."""
    tunnel.machine.run("\n".join(lost))


def forget_metrics(tunnel: Tunnel) -> None:
    """There shall be some, and there are none."""
    tunnel.call("put-metrics", stdin=METRICS)
    lose(tunnel, "rm /var/lib/reverse-tunnel-wg0.prom")


def install_older(tunnel: Tunnel) -> None:
    """A helper that knew neither a note of the keys nor the unit's drop-in."""
    tunnel.install(claimant="homelab:0123456789abcdef")
    lose(tunnel, f"rm {tunnel.files}/given", "rm -r /etc/systemd/system/wg-quick@wg0.service.d")


def lose_ways(tunnel: Tunnel) -> None:
    """A server whose rules, routes and firewall are gone."""
    lose(
        tunnel,
        FLUSH,
        f"table=$(cut -d' ' -f2 {tunnel.files}/mark)",
        "for family in -4 -6; do",
        "  while ip $family rule del table $table 2>/dev/null; do :; done",
        "  while ip $family rule del priority $((table + 100)) 2>/dev/null; do :; done",
        "  while ip $family rule del iif wg0 2>/dev/null; do :; done",
        "  ip $family route flush table $table",
        "done",
    )


OPERATIONS = {
    "a forward is added": operation("put-forward https", HTTPS, "remove-forward https"),
    "a forward is changed": operation("put-forward http", HTTPS, "put-forward http", HTTP),
    "a forward is removed": operation("remove-forward http", "", "put-forward http", HTTP),
    "a forward becomes one of every kind": operation(
        "put-forward http", EVERY_KIND, "put-forward http", HTTP
    ),
    "a peer gets a network, a way out and an MTU": operation(
        "put-peer laptop", LAPTOP_S_WAY, "put-peer laptop", LAPTOP
    ),
    "a peer is added": operation("put-peer a", PEER, "remove-peer a"),
    "a peer is removed": operation("remove-peer laptop", "", "put-peer laptop", LAPTOP),
    "a peer gets a preshared key": operation(
        "put-preshared-key laptop", KEY, "remove-preshared-key laptop"
    ),
    "a peer loses its preshared key": operation(
        "remove-preshared-key laptop", "", "put-preshared-key laptop", KEY
    ),
    "the network, the port and the MTU change": operation(
        "interface", MOVED.replace("1420", "1380"), "interface", VPS
    ),
    "the tunnel gets IPv6": operation("interface", DUAL, "interface", VPS),
    "the tunnel gives IPv6 up": operation("interface", VPS, "interface", DUAL),
    "the key changes": operation("key", KEY, "key", FIRST_KEY),
    "there are to be metrics": operation("put-metrics", METRICS, "remove-metrics"),
    "there are to be none": operation("remove-metrics", "", "put-metrics", METRICS),
    "metrics are renewed": Operation("write-metrics", "", forget_metrics),
    "rules that others have flushed come back": Operation(
        "restore", "", lambda tunnel: lose(tunnel, FLUSH)
    ),
    "the helper gets newer": Upgrade("attic:0123456789abcdef", "", install_older),
}

SERVER_OPERATIONS = {
    "a network behind it, and a way out": operation("interface", SERVER_S_WAY, "interface", SERVER),
    "the tunnel gets IPv6": operation("interface", DUAL_SERVER, "interface", SERVER_S_WAY),
    "an opening is added": operation("put-opening nas", NAS, "remove-opening nas"),
    "an opening is removed": operation("remove-opening nas", "", "put-opening nas", NAS),
    "ways and rules that others have taken away come back": Operation("restore", "", lose_ways),
}


def verbs_of(operations: dict[str, Operation]) -> set[str]:
    """Those that these call."""
    return {
        "install" if isinstance(each, Upgrade) else each.words.partition(" ")[0]
        for each in operations.values()
    }


def converges(tunnel: Tunnel, operation: Operation) -> int:
    """Check it for a kill at each step; how many there are."""

    def state() -> list[str]:
        return [*snapshot(tunnel.machine), *tunnel.wrong()]

    operation.undo(tunnel)
    before = state()
    operation.do(tunnel)
    after = state()
    assert after != before
    operation.undo(tunnel)
    assert state() == before
    tried = 0
    for tried in killed_at_each_step(lambda step: operation.do(tunnel, step).status):
        operation.do(tunnel)
        assert state() == after, f"killed at step {tried}"
        operation.undo(tunnel)
        assert state() == before, f"undone after a kill at step {tried}"
    assert state() == after
    return tried


@pytest.mark.kills(*verbs_of(OPERATIONS))
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_change_killed_at_any_step_is_finished_by_the_next_run(
    vps: Tunnel, name: str, record_property: Tell
) -> None:
    vps.call("key", stdin=FIRST_KEY)
    vps.put("http", HTTP)
    vps.call("put-peer laptop", stdin=LAPTOP)
    tried = converges(vps, OPERATIONS[name])
    assert tried >= 1
    record_property("tried", tried)


@pytest.fixture
def server(machine: Machine) -> Tunnel:
    """A server with a way out, IPv6 and an opening."""
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.call("key", stdin=FIRST_KEY)
    tunnel.call("interface", stdin=DUAL_SERVER)
    tunnel.call("put-opening keep", stdin="udp 192.168.1.31:53")
    return tunnel


@pytest.mark.kills(*verbs_of(SERVER_OPERATIONS))
@pytest.mark.parametrize("name", SERVER_OPERATIONS)
def test_a_servers_change_killed_at_any_step_is_finished_by_the_next_run(
    server: Tunnel, name: str, record_property: Tell
) -> None:
    tried = converges(server, SERVER_OPERATIONS[name])
    assert tried >= 2
    record_property("tried", tried)


@pytest.mark.kills("put-forward")
@pytest.mark.parametrize("name", ["a forward is added", "a forward is changed"])
def test_a_change_killed_at_any_step_leaves_a_tunnel_that_starts(
    vps: Tunnel, name: str, record_property: Tell
) -> None:
    """Nobody runs `up` again after a power cut: the files, old or new, are what comes up."""
    vps.put("http", HTTP)
    operation = OPERATIONS[name]
    tried = 0
    for tried in killed_at_each_step(lambda step: operation.do(vps, step).status):
        vps.machine.run("wg-quick down wg0; wg-quick up wg0")
        files = vps.machine.run(f"cd {vps.files}/forwards.d && grep -H '' *").stdout.split("\n")
        wanted = [tuple(line.split(":", 1)) for line in files if line]
        assert vps.forwards() == sorted(wanted), f"killed at step {tried}"
        assert vps.machine.run(f"find {vps.files} -name '.*'").stdout == ""
        operation.undo(vps)
    assert tried >= 2
    record_property("tried", tried)


# The calls of the first `up` on a VPS after that which installs the helper, with their lines.
FIRST_CALLS = {
    "key": KEY,
    "interface": DUAL,
    "put-peer laptop": PEER,
    "put-forward https": HTTPS,
    "put-metrics": METRICS,
}


def first_up(tunnel: Tunnel, crash_at: str = "", text: str | None = None) -> int:
    """What the first `up` does on a VPS, until a step of that name; the last status."""
    claimant = "vps:0123456789abcdef"
    status = tunnel.install(claimant=claimant, text=text, crash_at=crash_at, check=False).status
    for words, lines in FIRST_CALLS.items():
        if status == 0:
            status = tunnel.call(words, stdin=lines, crash_at=crash_at, check=False).status
    return status


def destroy(tunnel: Tunnel) -> None:
    """The claim's own delete: uninstall where a helper is, else the tunnel's folder goes."""
    helper = f"{tunnel.folder}/reverse-tunnel"
    tunnel.machine.run(
        f"if test -e {helper}; then {helper} 1 uninstall {tunnel.owner} vps:0123456789abcdef; else"
        f" rm -rf {tunnel.folder}; rmdir /usr/local/lib/reverse-tunnel 2>/dev/null || true; fi"
    )


@pytest.fixture(scope="module")
def bare() -> Iterator[Machine]:
    """A host without a tunnel, on which each test leaves nothing."""
    with fresh_machine() as host:
        yield host


STEPS_OF_A_FIRST_UP = [
    "checked-host", "readied-helper", "placed-helper", "staged-owner", "wrote-owner",
    "staged-claimant", "wrote-claimant", "staged-given", "staged-private.key", "wrote-key",
    "kept-preshared-key", "wrote-conf", "took-keys", "staged-settings", "wrote-settings",
    "staged-wg0.conf", "staged-reverse-tunnel.conf", "wrote-drop-in", "enabled-unit",
    "staged-socket-match", "computed-rules", "staged-wg0.iptables", "staged-wg0.ip6tables",
    "synced-rules", "staged-ens6.forwarding", "staged-wg0.up", "noted-forwarding",
    "staged-accounting", "staged-wg0.counts", "noted-accounting", "staged-wg0.up6",
    "staged-ens6.accept_ra", "noted-accept-ra", "staged-forwarding6", "noted-ipv6-forwarding",
    "staged-switching6", "switched-ipv6-forwarding",
    "opened", "started-unit", "staged-laptop.conf", "wrote-peer", "set-peer", "shared-key",
    "dropped-peer", "synced-routes", "staged-https", "kept-old-forward", "wrote-forward",
    "retired-flows", "told-joined", "staged-metrics", "wrote-metrics",
    "staged-reverse-tunnel-wg0-metrics.service", "staged-reverse-tunnel-wg0-metrics.timer",
    "started-timer",
]  # fmt: skip


def test_no_step_of_a_first_up_is_left_out(bare: Machine) -> None:
    tunnel = Tunnel(bare)
    count = "STEPS=$((STEPS + 1))\n"
    text = helper_text()
    assert text.count(count) == 1
    assert first_up(tunnel, text=text.replace(count, f'{count}  echo "$1" >>/tmp/steps\n')) == 0
    assert set(bare.read("/tmp/steps").split()) == set(STEPS_OF_A_FIRST_UP)
    destroy(tunnel)


@pytest.mark.kills("install", *(words.partition(" ")[0] for words in FIRST_CALLS))
@pytest.mark.parametrize("name", STEPS_OF_A_FIRST_UP)
def test_a_first_up_killed_at_any_step_is_finished_or_taken_back(bare: Machine, name: str) -> None:
    """By the next `up`, and by a destroy instead of it: then the host is as before."""
    tunnel = Tunnel(bare)
    before = snapshot(bare)
    assert first_up(tunnel, name) != 0, f"there is no step {name}"  # in the unit's start it gets 1
    destroy(tunnel)
    assert snapshot(bare) == before
    first_up(tunnel, name)
    assert first_up(tunnel) == 0
    assert tunnel.forwards() == [("https", HTTPS)]
    assert tunnel.wrong() == []
    assert not [line for line in tunnel.status() if "differs" in line]
    destroy(tunnel)
    assert snapshot(bare) == before


@pytest.mark.kills("uninstall")
def test_an_uninstall_killed_at_any_step_is_finished_by_the_next(
    bare: Machine, record_property: Tell
) -> None:
    before = snapshot(bare)
    tunnel = Tunnel(bare)

    def uninstall(step: int) -> int:
        assert first_up(tunnel) == 0
        return tunnel.call("uninstall", crash_at=step, check=False).status

    tried = 0
    for tried in killed_at_each_step(uninstall):
        destroy(tunnel)
        assert snapshot(bare) == before, f"killed at step {tried}"
    assert snapshot(bare) == before
    assert tried >= 3
    record_property("tried", tried)


@pytest.mark.kills("up", "down")
@pytest.mark.parametrize("verb", ["up", "down"])
@pytest.mark.parametrize("role", ["vps", "server"])
def test_a_start_or_stop_killed_at_any_step_is_mended_by_the_next_start(
    request: pytest.FixtureRequest, role: str, verb: str, record_property: Tell
) -> None:
    """wg-quick does not know of the kill: it takes the interface down, or leaves it."""
    tunnel: Tunnel = request.getfixturevalue(role)
    machine = tunnel.machine
    if role == "vps":
        tunnel.call("interface", stdin=DUAL)
        tunnel.put("https", HTTPS)

    def state() -> list[str]:
        """But for the interface's own line of `wg`: a server's port is another one each time."""
        return [line for line in snapshot(machine) if FIRST_KEY not in line]

    after = state()

    def start_or_stop(step: int) -> int:
        if verb == "up":
            machine.run("wg-quick down wg0")
        env = {"RT_CRASH_AT": str(step)}
        return machine.run(f"wg-quick {verb} wg0", env=env, check=False).status and KILLED

    tried = 0
    for tried in killed_at_each_step(start_or_stop):
        machine.run("ip link del wg0", check=False)
        machine.run("wg-quick up wg0")
        assert state() == after, f"killed at step {tried}"
    assert tried >= 2
    record_property("tried", tried)


# What asks alone, and leaves all as it is.
READ_ONLY = {"status"}


def test_no_verb_that_changes_anything_is_left_out() -> None:
    main = (Path(__file__).parents[2] / "host/main.sh").read_text()
    verbs = set(re.findall(r"^ +([a-z-]+)\) verb_", main, re.MULTILINE))
    assert killed_verbs() == verbs - READ_ONLY
