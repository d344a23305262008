"""A host's clock that is set: what waits goes on waiting for as long as it should.

The helper gets a clock of its own by libfaketime. WireGuard keeps the machine's, which no test may
set: for the VPS it is set back by a handshake with a later time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from components.unmanaged_server import server_config
from components.wireguard_file import Gateway
from components.wireguard_file import Machine as WireGuardMachine
from lab.images.systems import faketime
from settings import Egress
from tests.host.initiation import initiation
from tests.host.machine import Machine
from tests.host.test_kind_traffic import peer_of, way_out
from tests.host.test_redial import answers, asked
from tests.host.test_rotation import (
    FOREVER,
    LONG,
    WAITS,
    Keys,
    Rotation,
    call,
    nothing_waits,
    thief,
)
from tests.host.tunnel import Tunnel
from tests.host.watched import watched
from tests.host.world import CLIENT, SERVER, VPS, World, serve, world
from tests.host.world import call as visit
from tests.support import eventually

SET = pytest.mark.parametrize("by", ["-1d", "+1d"], ids=["back", "forward"])
NOBODY = "VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA="  # snake oil
BEHIND = 40  # seconds, of which a busy machine may need some to look at it
FUTURE = 4000000000  # seconds since 1970, in 2096
LINE = "192.0.2.20"  # the server's own
RENEWED = 120  # seconds after which WireGuard shakes hands again


class Clock:
    """A machine's second clock, for programs that are started with `env`."""

    def __init__(self, machine: Machine) -> None:
        root = Path(f"/proc/{machine.pid}/root")
        (root / "opt/libfaketime.so.1").write_bytes(faketime().read_bytes())
        self._machine = machine
        self.env = {
            "LD_PRELOAD": "/opt/libfaketime.so.1",
            "FAKETIME_TIMESTAMP_FILE": "/run/clock",
            "FAKETIME_NO_CACHE": "1",
        }
        self.set("+0")

    def set(self, by: str) -> None:
        """Set it to so much before or after the machine's."""
        self._machine.run(f"echo {by} >/run/clock.new; mv /run/clock.new /run/clock")


@pytest.fixture
def ends() -> Iterator[World]:
    with world() as ends:
        yield ends


def test_the_clock_is_one_that_can_be_set(machine: Machine) -> None:
    """Else nothing here would say anything."""
    clock = Clock(machine)
    loop = "while read -r; do echo $EPOCHSECONDS $SECONDS; done"
    program = machine.start(f"exec bash -c '{loop}'", clock.env)

    def ask() -> list[int]:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("\n")
        program.stdin.flush()
        return [int(word) for word in program.stdout.readline().split()]

    before = ask()
    clock.set("-1d")
    after = ask()
    program.communicate()
    assert all(now < then - 80000 for now, then in zip(after, before, strict=True))


@SET
def test_a_server_goes_on_asking_whether_its_vps_is_there(ends: World, by: str) -> None:
    """Else a line that dies would stay dead, as would a VPS that has moved."""
    clock, vps = Clock(ends.server.machine), ends.vps.machine
    with watched(ends.server, env=clock.env):
        before = asked(vps)
        eventually(lambda: asked(vps) > before, LONG, "nobody asks")
        clock.set(by)
        for _ in range(3):
            before = asked(vps)
            eventually(lambda: asked(vps) > before, LONG, "nobody asks any more")  # noqa: B023


def test_a_wait_for_handshakes_ends_in_time(vps: Tunnel) -> None:
    clock = Clock(vps.machine)
    vps.call("put-peer homelab", stdin=f"public-key {NOBODY}\nallowed-ips {SERVER}/32\n")
    waiting = vps.machine.start(
        f"exec {vps.folder}/reverse-tunnel 1 wait-handshake 2>&1", clock.env | WAITS
    )
    assert waiting.stdin is not None
    waiting.stdin.write(f"peer homelab {NOBODY}\n")
    waiting.stdin.close()
    waiting.stdin = None
    eventually(lambda: naps(vps.machine), LONG, "it does not wait")
    clock.set("-1d")
    said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "no handshake from homelab" in said


def naps(machine: Machine, verb: str = "wait-handshake") -> bool:
    """Whether such a call has looked, and waits until it looks again."""
    pattern = f"1 [{verb[0]}]{verb[1:]}"
    return machine.run(f"pgrep -x sleep -P $(pgrep -f '{pattern}')", check=False).status == 0


def wait_for_handshake(ends: World, env: dict[str, str] | None = None) -> int:
    """The status of a wait of a second for the server, which is connected."""
    key = ends.server.machine.run("wg show wg0 public-key").stdout.strip()
    waits = {**(env or {}), "RT_HANDSHAKE_WAIT": "1"}
    return call(ends.vps, "wait-handshake", f"peer homelab {key}\n", **waits).status


def test_a_change_that_was_noted_by_a_clock_ahead_is_no_reason_to_wait(ends: World) -> None:
    """Every handshake would be older than that until the year in question."""
    ends.vps.machine.write(f"{ends.vps.files}/changed", f"{FUTURE}\n")
    assert wait_for_handshake(ends) == 0


def test_a_handshake_of_a_time_to_come_says_nothing(ends: World) -> None:
    """A server may have died since, before the clock was set back."""
    clock = Clock(ends.vps.machine)
    assert wait_for_handshake(ends, clock.env) == 0
    clock.set("-1d")
    assert wait_for_handshake(ends, clock.env) == 1


@dataclass(frozen=True)
class HandedOver:
    """A VPS that has followed a server to its new key; nobody sees to the former one.

    Attributes:
        keys: the server's new ones.
        private: its former private key.
    """

    rotation: Rotation
    keys: Keys
    private: str

    @property
    def former(self) -> list[str]:
        """The former key, when the new one was heard first, and when it came into use."""
        vps = self.rotation.vps
        return vps.machine.read(f"{vps.files}/former.d/homelab").split()


@pytest.fixture
def handed_over(ends: World) -> HandedOver:
    rotation = Rotation(ends)
    keys = Keys.new(ends.server.machine)
    private = ends.server.machine.read(f"{ends.server.files}/private.key")
    rotation.tell_vps(keys, **FOREVER)
    assert rotation.change_server(keys).status == 0
    handed_over = HandedOver(rotation, keys, private)
    eventually(lambda: len(handed_over.former) == 3, LONG, "nobody follows")
    # One that is just ending keeps another one from starting.
    gone = f"pkill -f '1 hand-[o]ver'; flock --nonblock {ends.vps.files}/former.d true"
    eventually(lambda: ends.vps.machine.run(gone, check=False).status == 0, LONG, "it lives on")
    return handed_over


@contextmanager
def looking_on(vps: Tunnel, env: dict[str, str]) -> Iterator[None]:
    """Somebody hands over, and has looked once by now."""
    process = vps.machine.start(f"exec {vps.folder}/reverse-tunnel 1 hand-over", env)
    try:
        eventually(lambda: naps(vps.machine, "hand-over"), LONG, "nobody looks")
        yield
    finally:
        process.kill()
        process.communicate()


@SET
def test_a_former_key_stays_as_long_as_it_should(
    ends: World, handed_over: HandedOver, by: str
) -> None:
    """The VPS may still go back to it, or a server to its own."""
    clock = Clock(ends.vps.machine)
    clock.set(by)
    with looking_on(ends.vps, clock.env | FOREVER):
        assert handed_over.former
        assert len(handed_over.rotation.peers(ends.vps)) == 2


def test_when_a_new_key_was_heard_first_is_not_believed_to_a_clock_that_was_ahead(
    ends: World, handed_over: HandedOver
) -> None:
    """Else who has the former key could keep it alive until then."""
    key, *_ = handed_over.former
    path = f"{ends.vps.files}/former.d/homelab"
    ends.vps.machine.write(path, f"{key} {FUTURE} {FUTURE}\n")
    with looking_on(ends.vps, FOREVER):
        assert handed_over.former[0] == key
        assert all(int(second) <= time.time() for second in handed_over.former[1:])


def test_a_former_key_goes_though_the_clock_was_set_back_meanwhile(
    ends: World, handed_over: HandedOver
) -> None:
    """It would else stay for as long as the clock was ahead: a key that was to be valid no more."""
    clock = Clock(ends.vps.machine)
    clock.set("-1d")
    assert call(ends.vps, "hand-over", **clock.env).status == 0
    assert nothing_waits(ends.vps)
    assert handed_over.rotation.peers(ends.vps) == {handed_over.keys.public}


class Uptime:
    """How long a machine has been up: as long as is said, from now on."""

    _BEGIN = 1000000  # each is as many digits long, so that nobody reads half of one

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.set(0)
        machine.run("mount --bind /run/uptime /proc/uptime")

    def set(self, seconds: int) -> None:
        """So many since the test has begun."""
        text = f"{self._BEGIN + seconds}.00 0.00\n"
        self._machine.run("dd status=none conv=notrunc of=/run/uptime", stdin=text)


def test_a_former_key_goes_a_minute_after_the_new_one_has_come_into_use(
    ends: World, handed_over: HandedOver
) -> None:
    """Not before: so long its host may still be tried for the new one, and go back."""
    machine, uptime = ends.vps.machine, Uptime(ends.vps.machine)
    with looking_on(ends.vps, {}):
        uptime.set(59)
        for _ in range(2):  # the first of these naps may be from before
            before = nap(machine)
            eventually(lambda: nap(machine) not in {"", before}, LONG, "nobody looks")  # noqa: B023
        assert len(handed_over.rotation.peers(ends.vps)) == 2
        uptime.set(60)
        eventually(lambda: former_is_gone(handed_over), LONG, "the former key stays")


def nap(machine: Machine) -> str:
    """The process by which the one who hands over waits for its next look."""
    found = "pgrep -x sleep -P $(pgrep -f '1 [h]and-over')"
    return machine.run(found, check=False).stdout.strip()


def former_is_gone(handed_over: HandedOver) -> bool:
    return handed_over.rotation.peers(handed_over.rotation.vps) == {handed_over.keys.public}


def test_a_servers_former_key_goes_within_three_minutes_whoever_has_it(
    ends: World, handed_over: HandedOver
) -> None:
    """Its server shakes hands again after two, which is enough; not so a handshake soon after."""
    rotation, vps = handed_over.rotation, ends.vps
    with thief(ends, rotation.vps_key, handed_over.private):
        with looking_on(vps, {}):
            his = {rotation.server_key: f"{SERVER}/32"}
            eventually(lambda: rotation.networks(vps) == his, LONG, "he is not heard")
        first_was_heard(handed_over, RENEWED // 4)
        with looking_on(vps, {}):
            assert rotation.server_key in rotation.peers(vps)
        first_was_heard(handed_over, RENEWED)
        ends_it = vps.machine.start(f"exec {vps.folder}/reverse-tunnel 1 hand-over")
        try:
            eventually(lambda: nothing_waits(vps), LONG, "the former key stays")
            assert former_is_gone(handed_over)
        finally:
            ends_it.kill()
            ends_it.communicate()


def first_was_heard(handed_over: HandedOver, ago: int) -> None:
    """The new key was heard first so many seconds before its handshake of now."""
    rotation = handed_over.rotation
    machine = rotation.vps.machine
    key, *_ = handed_over.former
    before = heard(machine, handed_over.keys.public)
    rotation.server.machine.run("systemctl restart wg-quick@wg0")
    eventually(
        lambda: heard(machine, handed_over.keys.public) > before, LONG, "the server is not heard"
    )
    first = heard(machine, handed_over.keys.public) - ago
    machine.write(f"{rotation.vps.files}/former.d/homelab", f"{key} {first}\n")


def heard(machine: Machine, key: str) -> int:
    """The second of the latest handshake by a key."""
    lines = machine.run("wg show wg0 latest-handshakes").stdout.splitlines()
    return {each: int(time) for each, time in map(str.split, lines)}[key]


def is_set_back(ends: World) -> None:
    """The server restarts, with a clock that is behind what the VPS has seen of it."""
    machine = ends.server.machine
    private = machine.read(f"{ends.server.files}/private.key").strip()
    public = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
    machine.run("wg-quick down wg0")
    message = initiation(private, public, int(time.time()) + BEHIND)
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto("
    machine.run(f'python3 -c \'{send}bytes.fromhex("{message.hex()}"), ("{VPS}", 51820))\'')
    machine.run("wg-quick up wg0")


def asks_for_the_time_alone_beside_the_tunnel(ends: World) -> None:
    """What the server asks at two ports of the internet, at each of which somebody answers."""
    server = ends.server.machine
    eventually(lambda: visit(server, "udp", CLIENT, 124) == VPS, LONG, "no way out")
    assert visit(server, "udp", CLIENT, 123) == LINE
    assert visit(server, "tcp", CLIENT, 123) == VPS


def test_a_server_whose_clock_was_behind_comes_back_once_it_is_right(ends: World) -> None:
    """And asks for the time by its own line, since by the tunnel it could not."""
    server = ends.server
    serve(ends.client, 123)
    serve(ends.client, 124)
    with way_out(ends):
        asks_for_the_time_alone_beside_the_tunnel(ends)
        # Whoever changes these rules ends the flows of UDP.
        changes = server.machine.start("ip monitor rule")
        server.call("restore")
        changes.kill()
        assert changes.communicate()[0] == ""
        is_set_back(ends)
        # Not before: it would start the tunnel that is down, beside the test.
        with watched(server):
            assert not answers(server.machine)
            assert visit(server.machine, "udp", CLIENT, 124) == "-"
            assert visit(server.machine, "udp", CLIENT, 123) == LINE
            back = LONG + BEHIND
            eventually(lambda: answers(server.machine), back, "the tunnel did not come back")
        asks_for_the_time_alone_beside_the_tunnel(ends)


def test_a_server_by_its_file_alone_asks_for_the_time_as_well(ends: World) -> None:
    """One that nobody logs in to; and nothing of it is left."""
    machine = ends.server.machine
    serve(ends.client, 123)
    serve(ends.client, 124)
    ends.vps.call("put-peer homelab", stdin=peer_of(ends, "egress tunnel\n"))
    private = machine.read(f"{ends.server.files}/private.key").strip()
    key = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
    file = server_config(
        WireGuardMachine("homelab", IPv4Address(SERVER), private, 1420, egress=Egress.TUNNEL),
        Gateway(key, f"{VPS}:51820", IPv4Address("172.16.0.1"), IPv4Network("172.16.0.0/24"), 0),
    )
    ends.server.call("uninstall reverse-tunnel/home")
    before = machine.run("ip rule").stdout
    machine.write("/etc/wireguard/wg0.conf", file)
    machine.run("wg-quick up wg0 >/dev/null 2>&1")
    asks_for_the_time_alone_beside_the_tunnel(ends)
    machine.run("wg-quick down wg0 >/dev/null 2>&1")
    assert machine.run("ip rule").stdout == before


def test_a_time_server_that_is_forwarded_to_answers_by_the_tunnel(ends: World) -> None:
    """Many who ask do so from port 123, to which its answers go."""
    ends.serve(123)
    ends.vps.put("time", f"udp 123 -> {SERVER}:123")
    ask = f"""
import socket
asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asks.bind(("{CLIENT}", 123))
asks.settimeout(3)
asks.connect(("{VPS}", 123))
for _ in range(5):
    asks.send(b"?")
    try:
        print(asks.recv(100).decode())
        break
    except TimeoutError:
        pass
"""
    ends.client.write("/run/ask.py", ask)
    with way_out(ends):
        assert ends.client.run("python3 /run/ask.py").stdout.strip() == CLIENT
