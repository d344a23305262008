"""The small internet with IPv6: the VPS has it by router advertisement, the server not at all.

client 2001:db8:1::10 ---- internet ---- vps (ens6: 2001:db8:2::/64)
                              |              .. tunnel fd5c:91e2:7a3b::/64
                              +--------- server
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.host.machine import Machine
from tests.host.tunnel import Tunnel
from tests.host.world import SERVER, World, world
from tests.support import eventually

NETWORK6 = "fd5c:91e2:7a3b::/64"
INSIDE6 = "fd5c:91e2:7a3b::1"
SERVER6 = "fd5c:91e2:7a3b::4"
CLIENT6 = "2001:db8:1::10"
ANOTHER6 = "2001:db8:2::1"  # the internet, as the VPS sees it
LIFETIME = 30  # seconds of an advertised route, with which a busy machine may be late
SHORT_LIFETIME = 6  # where a test waits for more than it

_ADVERTISE = (Path(__file__).parents[2] / "lab/hosts/services/advertise.py").read_text()
_LONG = 30  # seconds; only a broken run needs them


@dataclass(frozen=True)
class Dual:
    """The machines, and the VPS's public address of IPv6."""

    world: World
    vps6: str

    @property
    def vps(self) -> Tunnel:
        """The tunnel's end with the forwards."""
        return self.world.vps

    @property
    def server(self) -> Machine:
        """The machine at home."""
        return self.world.server.machine

    @property
    def client(self) -> Machine:
        """A visitor."""
        return self.world.client

    @property
    def internet(self) -> Machine:
        """The router, a neighbour of the VPS."""
        return self.world.internet


def advertise(router: Machine, interface: str, lifetime: int) -> None:
    """Advertise the router at an interface, as long as it runs."""
    router.write("/tmp/advertise.py", _ADVERTISE)
    router.start(f"exec python3 /tmp/advertise.py {interface} 2001:db8:2::/64 {lifetime}")


def advertised_route(host: Machine) -> str:
    """The default route that an advertisement has made; empty without."""
    return host.run("ip -6 route show default proto ra").stdout


def address_of(host: Machine, interface: str) -> str:
    """Its address of IPv6, as soon as it has one that no other host has."""
    words = f"ip -6 -o address show dev {interface} scope global -tentative"
    said = eventually(
        lambda: advertised_route(host) and host.run(words).stdout, _LONG, "no advertisement came"
    )
    return said.split()[3].partition("/")[0]


def renewed_route(host: Machine) -> str:
    """The way out after more advertisements than it outlives without them; empty if there is none.

    Of SHORT_LIFETIME alone. One that has expired is still shown for a while, but not taken.
    """
    count = "awk '$1 == \"Icmp6InRouterAdvertisements\" {print $2}' /proc/net/snmp6"
    enough = int(host.run(count).stdout) + SHORT_LIFETIME + 2
    eventually(lambda: int(host.run(count).stdout) >= enough, _LONG, "advertisements stopped")
    return host.run(f"ip -6 route get {CLIENT6} 2>/dev/null", check=False).stdout


def peer_lines(ends: World, more: str = "") -> str:
    """What the stack sends of the server."""
    key = ends.vps.machine.run("wg show wg0 peers").stdout.split()[0]
    return f"public-key {key}\nallowed-ips {SERVER}/32,{SERVER6}/128\n{more}"


def give_ipv6(ends: World) -> None:
    """The tunnel gets the second family, as by an `up` that changes network.ipv6."""
    ends.vps.call("interface", stdin=ends.vps.vps_settings() + f"ipv6 {INSIDE6}/64\n")
    ends.vps.call("put-peer homelab", stdin=peer_lines(ends))
    settings = ends.server.machine.read(f"{ends.server.files}/settings")
    ends.server.call("interface", stdin=settings + f"ipv6 {SERVER6}/64\n")


@contextmanager
def dual(lifetime: int = LIFETIME) -> Iterator[Dual]:
    """All of it, with the tunnel up and no forward yet."""
    with world() as ends:
        ends.internet.run("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        ends.internet.run("ip -6 address add 2001:db8:1::1/64 dev client nodad")
        ends.internet.run(f"ip -6 address add {ANOTHER6}/64 dev vps nodad")
        ends.client.run(f"ip -6 address add {CLIENT6}/64 dev eth0 nodad")
        ends.client.run("ip -6 route add default via 2001:db8:1::1")
        advertise(ends.internet, "vps", lifetime)
        vps6 = address_of(ends.vps.machine, "ens6")
        give_ipv6(ends)
        yield Dual(ends, vps6)
