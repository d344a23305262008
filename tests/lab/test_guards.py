"""Guards: what is inside stays inside, whoever stands outside and knows the way.

Each test also shows that its probe would get through if the guard were not there.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import download, echo_service
from tests.lab.probes import (
    LASTING,
    SHORT,
    VPS,
    greeting,
    page,
    pings,
    tunnel_of_a_client,
    udp_greeting,
)
from tests.support import eventually

LONG = 30.0  # seconds, for what normally takes one or two

TUNNEL = "172.16.0.0/24"
HOME = "192.168.1.0/24"


@contextmanager
def route(host: Host, network: str, way: str) -> Iterator[None]:
    """A route that somebody with bad intentions sets."""
    host.run(f"ip route add {network} {way}")
    try:
        yield
    finally:
        host.run(f"ip route del {network} {way}")


@contextmanager
def rule(host: Host, table: str, text: str) -> Iterator[None]:
    """A rule before all others."""
    host.run(f"iptables -t {table} -I {text}")
    try:
        yield
    finally:
        host.run(f"iptables -t {table} -D {text}")


@contextmanager
def forwarding(host: Host) -> Iterator[None]:
    """A host that routes for everybody, as one with Docker does."""
    before = host.read("/proc/sys/net/ipv4/ip_forward").strip()
    host.run("echo 1 >/proc/sys/net/ipv4/ip_forward")
    try:
        yield
    finally:
        host.run(f"echo {before} >/proc/sys/net/ipv4/ip_forward")


@pytest.fixture
def house(lab: Lab, example: Deployment) -> Iterator[Deployment]:
    """The example, with services on the VPS and the servers that no forward leads to."""
    with (
        echo_service(lab.host("vps"), "7100"),
        echo_service(lab.host("homelab"), "7100"),
        echo_service(lab.host("attic"), "7100"),
    ):
        yield example


def reachable(visitor: Host, addresses: tuple[str, ...], patience: int = SHORT) -> list[str]:
    """Which of the addresses answer at all: a ping, a page, an echo by TCP or UDP, SSH."""
    questions: dict[str, Callable[[str], object]] = {
        "ping": lambda address: pings(visitor, address, patience),
        "page": lambda address: page(visitor, f"{address}:8080", patience),
        "tcp": lambda address: greeting(visitor, address, 7100, patience),
        "udp": lambda address: udp_greeting(visitor, address, 7100, patience),
        "ssh": lambda address: greeting(visitor, address, 22, patience),
    }
    # All at once: each waits some seconds before it takes silence for a no.
    with ThreadPoolExecutor(max_workers=len(questions) * len(addresses)) as pool:
        asked = {
            f"{address} {how}": pool.submit(question, address)
            for address in addresses
            for how, question in questions.items()
        }
        return [what for what, answer in asked.items() if answer.result()]


def test_a_neighbour_that_routes_the_tunnels_network_through_the_vps_reaches_nothing(
    lab: Lab, house: Deployment
) -> None:
    """Providers put many customers on one wire, where any of them can name the VPS as a router."""
    neighbour, vps = lab.host("neighbour"), lab.host("vps")
    inside = ("172.16.0.1", "172.16.0.4", "172.16.0.6")
    with tunnel_of_a_client(lab.host("laptop"), house.output("clientConfigs")["laptop"]):
        eventually(lambda: pings(lab.host("laptop"), inside[0]), LONG, "no tunnel of the laptop's")
        found = reachable(lab.host("laptop"), inside, LASTING)
        assert len(found) >= 4 * len(inside), "nothing to reach"
    with route(neighbour, TUNNEL, f"via {VPS}"):
        assert reachable(neighbour, inside) == []
        with route(neighbour, HOME, f"via {VPS}"):
            assert reachable(neighbour, ("192.168.1.20", "192.168.1.30")) == []
        with (
            rule(vps, "mangle", "PREROUTING -j ACCEPT"),
            rule(vps, "filter", "FORWARD -j ACCEPT"),
        ):
            # Without the guards the way is open: so it is they that keep the neighbour out.
            assert page(neighbour, "172.16.0.4:8080", LASTING)
    assert page(neighbour, f"{VPS}:80", LASTING), "a neighbour is a visitor like others"


def test_a_neighbour_cannot_speak_as_somebody_inside(lab: Lab, house: Deployment) -> None:
    """A false source address gets no answer, but one packet may do harm by itself."""
    assert house.output("publicAddress") == VPS
    neighbour, homelab = lab.host("neighbour"), lab.host("homelab")
    neighbour.run("ip address add 172.16.0.99/32 dev lo")
    try:
        with route(neighbour, "172.16.0.4/32", f"via {VPS} src 172.16.0.99"):
            with counted(homelab, "PREROUTING -s 172.16.0.99") as packets:
                pings(neighbour, "172.16.0.4")
                assert packets() == 0
            with counted(lab.host("vps"), "PREROUTING -s 172.16.0.99") as packets:
                pings(neighbour, "172.16.0.4")
                assert packets() > 0, "the probe does not even reach the VPS"
    finally:
        neighbour.run("ip address del 172.16.0.99/32 dev lo")


@contextmanager
def counted(host: Host, text: str, table: str = "raw") -> Iterator["Count"]:
    """Counts the packets that come along a chain, at its beginning; by default before any other."""
    with rule(host, table, text):
        yield Count(host, text, table)


class Count:
    """How many packets the first rule of a chain has seen."""

    def __init__(self, host: Host, text: str, table: str) -> None:
        self._host = host
        self._table = table
        self._chain = text.split(maxsplit=1)[0]

    def __call__(self) -> int:
        listed = self._host.run(f"iptables -t {self._table} -nvxL {self._chain} 1").stdout
        return int(listed.split()[0])


def test_tunnel_addresses_never_leave_the_public_interface_untranslated(
    lab: Lab, house: Deployment
) -> None:
    """Whatever a server or a client device sends into the tunnel, and whatever a connection does
    whose forward is removed: the provider takes such packets for an attack by this customer.
    """
    client, vps, homelab = lab.host("client"), lab.host("vps"), lab.host("homelab")
    laptop = lab.host("laptop")
    config = house.output("clientConfigs")["laptop"].replace(TUNNEL, f"{TUNNEL}, {client.address}")
    with (
        counted(lab.host("internet"), f"PREROUTING -s {TUNNEL}") as escaped,
        counted(vps, f"PREROUTING -i wg0 -s {TUNNEL} -d {client.address}") as tried,
    ):
        assert page(client, f"{VPS}:80", LASTING)
        with route(homelab, client.address, "dev wg0"):
            assert page(homelab, f"{client.address}:80") is None
            assert not pings(homelab, client.address)
        seen = tried()
        assert seen > 0, "the server's packets do not even reach the VPS"
        with tunnel_of_a_client(laptop, config):
            assert page(laptop, f"{client.address}:80") is None
        assert tried() > seen, "the client device's packets do not even reach the VPS"
        assert escaped() == 0
        with (
            route(homelab, client.address, "dev wg0"),
            rule(vps, "filter", "FORWARD -i wg0 -j ACCEPT"),
        ):
            pings(homelab, client.address)
            # Without the guard they leave as they are: so it is the guard that keeps them in.
            assert escaped() > 0


def test_what_a_server_still_sends_when_its_forward_is_gone_does_not_leave_the_vps(
    lab: Lab, house: Deployment
) -> None:
    """Its connection has been ended on the VPS, so nothing there would translate it any more."""
    client, vps, internet = lab.host("client"), lab.host("vps"), lab.host("internet")
    unknown = f"FORWARD -i wg0 -s {TUNNEL} -d {client.address} -m conntrack --ctstate NEW,INVALID"
    with (
        download(client, VPS, 443),
        counted(internet, f"PREROUTING -s {TUNNEL}") as escaped,
        counted(vps, unknown, "mangle") as left_over,
    ):
        house.forwards({"http": house.settings("forwards")["http"]})
        assert left_over() == 0
        house.up()
        eventually(lambda: left_over() > 0, LONG, "the server sends nothing more")
        assert escaped() == 0


def test_the_home_network_behind_a_server_is_not_reachable_from_the_vps(
    lab: Lab, house: Deployment
) -> None:
    """A VPS that was broken into must not be a way into the home, even if it tells its WireGuard
    to send everything to the server, and the server routes, as one with Docker does.
    """
    vps, homelab, nas = lab.host("vps"), lab.host("homelab"), lab.host("nas")
    key = house.output("publicKeys")["homelab"]
    assert page(homelab, f"{nas.address}:80", LASTING), "nothing to reach"
    with forwarding(homelab), route(vps, HOME, "dev wg0"):
        vps.run(f"wg set wg0 peer {key} allowed-ips 172.16.0.4/32,{HOME}")
        try:
            # The LAN host finds the way back: only the server stands between.
            with route(nas, TUNNEL, f"via {homelab.address}"):
                assert not pings(vps, nas.address)
                assert page(vps, f"{nas.address}:80") is None
                assert not pings(vps, "192.168.1.1")
                with rule(homelab, "filter", "FORWARD -j ACCEPT"):
                    assert page(vps, f"{nas.address}:80", LASTING), (
                        "it is not the guard that keeps it out"
                    )
        finally:
            vps.run(f"wg set wg0 peer {key} allowed-ips 172.16.0.4/32")
