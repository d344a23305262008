"""What others do to the whole firewall while the tunnel is up is followed at once.

Here by plain iptables and nft; firewalld and Docker themselves do it in the lab.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.host.dual import CLIENT6, SERVER6, dual
from tests.host.machine import Machine
from tests.host.tunnel import Tunnel, rules_of
from tests.host.world import SERVER, Call, World, call, world
from tests.support import eventually

HTTPS = "tcp 443 -> 172.16.0.4:8081"
LONG = 30.0  # seconds
# Netfilter's sockets that wait for events
LISTENERS = r"""awk '$2 == 12 && $4 != "00000000"' /proc/net/netlink"""
DOCKER = "PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"


@contextmanager
def watched(tunnel: Tunnel) -> Iterator[None]:
    """The tunnel with its watcher, which systemd would start."""
    process = tunnel.machine.start(f"exec {tunnel.folder}/reverse-tunnel 1 watch")
    try:
        eventually(lambda: tunnel.machine.run(LISTENERS).stdout, LONG, "nobody listens")
        yield
    finally:
        process.kill()
        process.communicate()


def rules(machine: Machine) -> list[str]:
    """All rules of IPv4 and IPv6, without tables of which only the name is left."""
    saved = machine.run("iptables-save; ip6tables-save").stdout
    return sorted(line for line in rules_of(saved) if not line.startswith("*"))


@pytest.mark.parametrize(
    "flush",
    [
        pytest.param("nft flush ruleset", id="nft"),
        # firewalld's way
        pytest.param(
            "for tool in iptables ip6tables; do for table in mangle nat filter; do"
            " $tool -t $table -F; $tool -t $table -X; done; done",
            id="iptables",
        ),
        pytest.param("iptables -D FORWARD -j RT-wg0-FWD", id="one jump"),
    ],
)
def test_a_flush_of_the_whole_firewall_is_made_up_for(vps: Tunnel, flush: str) -> None:
    vps.put("https", HTTPS)
    before = rules(vps.machine)
    vps.machine.run(flush)
    assert rules(vps.machine) != before  # nobody watches yet
    vps.call("restore")
    with watched(vps):
        vps.machine.run(flush)
        eventually(lambda: rules(vps.machine) == before, LONG, "our rules did not come back")


def test_a_tunnel_that_is_down_is_not_brought_up(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    vps.machine.run("wg-quick down wg0")
    vps.call("restore")
    assert rules(vps.machine) == []


def test_docker_that_starts_again_still_gets_its_containers_visitors() -> None:
    """On a server its rule is put after ours, which would take its UDP ports away from it."""
    with world() as ends, watched(ends.server):
        server = ends.server.machine
        server.run(f"iptables -t nat -N DOCKER; iptables -t nat -A {DOCKER}")
        eventually(lambda: last_of(ends) == "RT-wg0-UDP", LONG, "ours did not become the last")
        server.run(f"iptables -t nat -D {DOCKER}; iptables -t nat -A {DOCKER}")
        eventually(lambda: last_of(ends) == "RT-wg0-UDP", LONG, "ours did not become the last")


def test_visitors_udp_follows_another_address_of_the_servers_line() -> None:
    """A provider's new network of IPv6, say: an open flow goes on, and the next ones too."""
    with dual() as ends:
        ends.world.serve(8081, "::")
        router = ends.internet.run("ip -6 -o address show dev home scope link").stdout.split()[3]
        server = ends.server
        server.run("ip -6 address add 2001:db8:3::20/64 dev eth0 nodad")
        server.run(f"ip -6 route add default via {router.partition('/')[0]} dev eth0")
        ends.world.server.call("up")
        ends.vps.put("game", f"udp 80 -> {SERVER}:8081\nipv6 {SERVER6}")
        flow = Call(ends.client, "udp", ends.vps6, 80)
        assert flow.ask() == CLIENT6
        another = "ip -6 address add 2001:db8:%d::20/64 dev eth0 nodad"
        gone = "ip -6 address del 2001:db8:%d::20/64 dev eth0"
        server.run(f"{another % 4}; {gone % 3}")
        assert flow.ask() == "-"  # nobody watches yet
        ends.world.server.call("restore")
        with watched(ends.world.server):
            server.run(f"{another % 5}; {gone % 4}")
            eventually(lambda: flow.ask() == CLIENT6, LONG, "the flow did not follow")
            assert call(ends.client, "udp", ends.vps6, 80) == CLIENT6
        flow.end()


def last_of(ends: World) -> str:
    """Where the last rule of a server's nat PREROUTING leads to."""
    chain = ends.server.machine.run("iptables -t nat -S PREROUTING").stdout
    return chain.split()[-1]
