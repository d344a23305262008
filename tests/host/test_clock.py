"""A host's clock that is set: what waits goes on waiting for as long as it should.

The helper gets a clock of its own by libfaketime. WireGuard keeps the machine's, which no test may
set: for the VPS it is set back by a handshake with a later time.
"""

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from components.client_config import Gateway, server_config
from components.client_config import Machine as WireGuardMachine
from lab.systems import faketime
from settings import Egress
from tests.host.initiation import initiation
from tests.host.machine import Machine
from tests.host.test_redial import answers, asked
from tests.host.test_rotation import FOREVER, LONG, WAITS, Keys, Rotation, call, nothing_waits
from tests.host.tunnel import Tunnel
from tests.host.watched import watched
from tests.host.world import CLIENT, SERVER, VPS, World, serve, world
from tests.host.world import call as visit
from tests.support import eventually

SET = pytest.mark.parametrize("by", ["-1d", "+1d"], ids=["back", "forward"])
NOBODY = "VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA="  # snake oil
BEHIND = 25  # seconds
LINE = "192.0.2.20"  # the server's own


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

    def words(self) -> str:
        """What stands before a command of a shell."""
        return " ".join(f"{name}={value}" for name, value in self.env.items())


@pytest.fixture
def ends() -> Iterator[World]:
    with world() as ends:
        yield ends


def test_the_clock_is_one_that_can_be_set(machine: Machine) -> None:
    """Else nothing here would say anything."""
    clock = Clock(machine)
    day = "bash -c 'echo $EPOCHSECONDS $SECONDS'"
    before = int(machine.run(day, env=clock.env).stdout.split()[0])
    clock.set("-1d")
    assert int(machine.run(day, env=clock.env).stdout.split()[0]) < before - 80000


@SET
def test_a_server_goes_on_asking_whether_its_vps_is_there(ends: World, by: str) -> None:
    """Else a line that dies would stay dead, as would a VPS that has moved."""
    clock, vps = Clock(ends.server.machine), ends.vps.machine
    with watched(ends.server, env=clock.words()):
        before = asked(vps)
        eventually(lambda: asked(vps) > before, LONG, "nobody asks")
        clock.set(by)
        for _ in range(3):
            before = asked(vps)
            eventually(lambda: asked(vps) > before, LONG, "nobody asks any more")  # noqa: B023


def test_a_wait_for_handshakes_ends_in_time(vps: Tunnel) -> None:
    clock = Clock(vps.machine)
    vps.call("put-peer homelab", stdin=f"public-key {NOBODY}\nallowed-ips {SERVER}/32\n")
    words = " ".join(f"{name}={value}" for name, value in WAITS.items())
    waiting = vps.machine.start(
        f"{clock.words()} {words} exec {vps.folder}/reverse-tunnel 1 wait-handshake 2>&1"
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


def naps(machine: Machine) -> bool:
    return (
        machine.run("pgrep -x sleep -P $(pgrep -f '1 wait-[h]andshake')", check=False).status == 0
    )


def test_a_former_key_goes_though_the_clock_was_set_back_meanwhile(ends: World) -> None:
    """It would else stay for as long as the clock was ahead: a key that was to be valid no more."""
    rotation = Rotation(ends)
    keys = Keys.new(ends.server.machine)
    rotation.tell_vps(keys, **FOREVER)
    assert rotation.change_server(keys).status == 0
    former = f"{ends.vps.files}/former.d/homelab"
    # Behind the key, since when the new one is in use
    eventually(lambda: len(ends.vps.machine.read(former).split()) == 3, LONG, "nobody follows")
    ends.vps.machine.run("pkill -f '1 hand-[o]ver'")
    clock = Clock(ends.vps.machine)
    clock.set("-1d")

    def given_up() -> bool:
        # One that is just ending keeps another one from starting.
        assert call(ends.vps, "hand-over", **clock.env).status == 0
        return nothing_waits(ends.vps)

    eventually(given_up, LONG, "it is kept")
    assert rotation.peers(ends.vps) == {keys.public}


def is_set_back(ends: World) -> None:
    """The server restarts, with a clock that is behind what the VPS has seen of it."""
    machine = ends.server.machine
    private = machine.read(f"{ends.server.files}/private.key").strip()
    public = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
    message = initiation(private, public, int(time.time()) + BEHIND)
    machine.run("wg-quick down wg0")
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto("
    machine.run(f'python3 -c \'{send}bytes.fromhex("{message.hex()}"), ("{VPS}", 51820))\'')
    machine.run("wg-quick up wg0")


def send_all_by_the_tunnel(ends: World) -> None:
    """What the VPS needs for it, and somebody at the ports 123 and 124 of the internet."""
    public = ends.server.machine.run("wg show wg0 public-key").stdout.strip()
    peer = f"public-key {public}\nallowed-ips {SERVER}/32\negress tunnel\n"
    ends.vps.call("put-peer homelab", stdin=peer)
    serve(ends.client, 123)
    serve(ends.client, 124)


def asks_for_the_time_alone_beside_the_tunnel(ends: World) -> None:
    server = ends.server.machine
    eventually(lambda: visit(server, "udp", CLIENT, 124) == VPS, LONG, "no way out")
    assert visit(server, "udp", CLIENT, 123) == LINE
    assert visit(server, "tcp", CLIENT, 123) == VPS


def test_a_server_whose_clock_was_behind_comes_back_once_it_is_right(ends: World) -> None:
    """And asks for the time by its own line, since by the tunnel it could not."""
    server = ends.server
    send_all_by_the_tunnel(ends)
    lines = server.machine.read(f"{server.files}/settings")
    server.call("interface", stdin=f"{lines}egress tunnel\n")
    asks_for_the_time_alone_beside_the_tunnel(ends)
    with watched(server):
        is_set_back(ends)
        assert not answers(server.machine)
        assert visit(server.machine, "udp", CLIENT, 124) == "-"
        assert visit(server.machine, "udp", CLIENT, 123) == LINE
        eventually(lambda: answers(server.machine), LONG + BEHIND, "the tunnel did not come back")
    asks_for_the_time_alone_beside_the_tunnel(ends)


def test_a_server_by_its_file_alone_asks_for_the_time_as_well(ends: World) -> None:
    """One that nobody logs in to; and nothing of it is left."""
    machine = ends.server.machine
    send_all_by_the_tunnel(ends)
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
