"""IPv6: visitors who have it reach a home that has not, by a VPS whose own was advertised to it."""

from collections.abc import Iterator

import pytest

from lab.hosts.host import Host
from lab.hosts.topology import ADVERTISED_LIFETIME
from lab.lab import Lab
from tests.lab.deployment import Deployment, Values
from tests.lab.flows import echo_service
from tests.lab.mtu import (
    DOWNLOAD,
    TLS_PORT,
    clamp,
    downloaded,
    icmp_blocked,
    swallowed,
    tls_greets,
    tls_service,
)
from tests.lab.probes import (
    LASTING,
    VPS,
    advertised_address,
    greeting,
    page,
    tunnel_of_a_client,
    udp_greeting,
)
from tests.lab.snapshots import differences, snapshot
from tests.support import eventually, harmed
from tests.symptoms import symptom

CLIENT = "198.51.100.10"
CLIENT6 = "2001:db8:1::10"
LAPTOP6 = "2001:db8:1::20"
NETWORK6 = "fd5c:91e2:7a3b::/64"
HOMELAB6 = "fd5c:91e2:7a3b::4"
MTU = 1280  # bytes, the least of IPv6
LONG = 60.0  # seconds

FORWARDS: dict[str, Values] = {
    "http": {"port": 80, "to": "homelab:8080"},
    "both": {"protocol": "tcp+udp", "port": 5000, "to": "homelab"},
    "listed": {"port": 8444, "to": "homelab:8080", "from": [CLIENT6, CLIENT]},
    "ipv4": {"port": 8445, "to": "homelab:8080", "from": [CLIENT]},
    "tls": {"port": TLS_PORT, "to": "homelab"},
}


@pytest.fixture(scope="module")
def dual(lab: Lab, deployment: Deployment) -> Iterator[Deployment]:
    """The stack with IPv6, up; afterwards the hosts are as they were."""
    deployment.start_over()
    before = {name: snapshot(lab.host(name)) for name in ("vps", "homelab", "attic")}
    deployment.configure(
        network={"ipv6": NETWORK6, "mtu": MTU},
        clients={"laptop": {"address": "172.16.0.10", "egress": "tunnel"}},
    )
    deployment.forwards(FORWARDS)
    deployment.up()
    with echo_service(lab.host("homelab"), "5000"):
        yield deployment
    deployment.destroy()
    for name, was in before.items():
        left = differences(was, snapshot(lab.host(name)))
        # They have been started anew since.
        assert [line for line in left if " files: /run/" not in line] == []


@pytest.fixture
def vps6(lab: Lab) -> str:
    """The VPS's own address."""
    return advertised_address(lab.host("vps"))


def advertisements(vps: Host) -> int:
    """How many routers' words the VPS has heard since it started."""
    return int(vps.run("awk '/^Icmp6InRouterAdv/ {print $2}' /proc/net/snmp6").stdout)


def everything(lab: Lab, vps6: str) -> dict[str, object]:
    """What comes of each forward by either family, and of what nothing forwards."""
    client, neighbour = lab.host("client"), lab.host("neighbour")
    return {
        "page": page(client, f"[{vps6}]:80", LASTING),
        "page, by IPv4": page(client, f"{VPS}:80", LASTING),
        "tcp": greeting(client, vps6, 5000, LASTING),
        "udp": udp_greeting(client, vps6, 5000, LASTING),
        "udp, by IPv4": udp_greeting(client, VPS, 5000, LASTING),
        "listed": page(client, f"[{vps6}]:8444", LASTING),
        "not listed": page(neighbour, f"[{vps6}]:8444"),
        "no one of the family is listed": page(client, f"[{vps6}]:8445"),
        "the same, by IPv4": page(client, f"{VPS}:8445", LASTING),
        "not forwarded": page(client, f"[{vps6}]:8080"),
        "udp, not forwarded": udp_greeting(client, vps6, 8080),
    }


EVERYTHING: dict[str, object] = {
    "page": f"homelab:8080 sees you as {CLIENT6}",
    "page, by IPv4": f"homelab:8080 sees you as {CLIENT}",
    "tcp": CLIENT6,
    "udp": CLIENT6,
    "udp, by IPv4": CLIENT,
    "listed": f"homelab:8080 sees you as {CLIENT6}",
    "not listed": None,
    "no one of the family is listed": None,
    "the same, by IPv4": f"homelab:8080 sees you as {CLIENT}",
    "not forwarded": None,
    "udp, not forwarded": None,
}


@pytest.mark.usefixtures("dual")
def test_visitors_of_both_families_get_in_with_their_own_address(lab: Lab, vps6: str) -> None:
    assert lab.host("homelab").run("ip -6 route show default").stdout == ""
    assert everything(lab, vps6) == EVERYTHING


@pytest.mark.usefixtures("dual")
@symptom("It works by IPv4, but not by IPv6")
def test_the_vps_keeps_the_route_that_was_advertised_to_it(lab: Lab, vps6: str) -> None:
    """Longer than one advertisement lasts, so later ones are heard, too."""
    vps = lab.host("vps")
    enough = advertisements(vps) + ADVERTISED_LIFETIME + 2
    eventually(lambda: advertisements(vps) >= enough, LONG, "nothing is advertised")
    assert page(lab.host("client"), f"[{vps6}]:80", LASTING)
    vps.run("sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.ens6.accept_ra=1")
    enough = advertisements(vps) + ADVERTISED_LIFETIME + 2
    eventually(lambda: advertisements(vps) >= enough, LONG, "nothing is advertised")
    assert page(lab.host("client"), f"[{vps6}]:80") is None
    vps.run("sysctl -qw net.ipv6.conf.all.forwarding=0; systemctl restart wg-quick@wg0")
    eventually(lambda: page(lab.host("client"), f"[{vps6}]:80"), LONG, "the route does not return")


@pytest.mark.usefixtures("dual")
def test_a_neighbour_that_routes_the_tunnel_through_the_vps_reaches_nothing(
    lab: Lab, vps6: str
) -> None:
    neighbour, vps = lab.host("neighbour"), lab.host("vps")
    route = f"{NETWORK6} via {vps6}"
    with harmed(neighbour, f"ip -6 route add {route}", f"ip -6 route del {route}"):
        assert greeting(neighbour, HOMELAB6, 5000) is None
        assert udp_greeting(neighbour, HOMELAB6, 5000) is None
        vps.run("ip6tables -F RT-wg0-FWD; ip6tables -t mangle -F RT-wg0-PRE")
        try:
            assert greeting(neighbour, HOMELAB6, 5000, LASTING), "it would, without these rules"
        finally:
            clamp(vps)
        assert greeting(neighbour, HOMELAB6, 5000) is None


@pytest.mark.usefixtures("dual")
def test_a_large_client_hello_and_a_long_download_pass_where_icmp_is_blocked(
    lab: Lab, vps6: str
) -> None:
    """The tunnel carries less than a visitor's line, of which only the clamped MSS tells.

    By IPv6 a server whose line has none tells it by itself: its only route is the tunnel.
    """
    client, ends = lab.host("client"), (lab.host("vps"), lab.host("homelab"))
    with icmp_blocked(lab), tls_service(lab.host("homelab")):
        for address in (VPS, vps6):
            assert tls_greets(client, address)
        assert downloaded(client, f"[{vps6}]") == DOWNLOAD
        eventually(lambda: swallowed(client, VPS, *ends), LONG, "it passes without, too")
        clamp(*ends)
        assert tls_greets(client, VPS)


def test_a_client_with_a_full_tunnel_leaves_by_the_vps_and_by_nothing_else(
    lab: Lab, dual: Deployment, vps6: str
) -> None:
    laptop, neighbour = lab.host("laptop"), lab.host("neighbour")
    there = advertised_address(neighbour)
    with (
        echo_service(neighbour, "5002"),
        tunnel_of_a_client(laptop, dual.output("clientConfigs")["laptop"]),
    ):
        eventually(lambda: greeting(laptop, there, 5002), LONG, "no way out by the tunnel")
        assert greeting(laptop, there, 5002, LASTING) == vps6
        assert udp_greeting(laptop, there, 5002, LASTING) == vps6
        assert (
            page(laptop, f"[{HOMELAB6}]:8080", LASTING)
            == "homelab:8080 sees you as fd5c:91e2:7a3b::a"
        )
        assert page(laptop, f"[{vps6}]:80", LASTING) == "homelab:8080 sees you as fd5c:91e2:7a3b::a"
    with echo_service(neighbour, "5002"):
        assert greeting(laptop, there, 5002, LASTING) == LAPTOP6


def test_a_forward_that_is_removed_is_removed_from_both(
    lab: Lab, dual: Deployment, vps6: str
) -> None:
    client = lab.host("client")
    dual.forwards({name: entry for name, entry in FORWARDS.items() if name != "http"})
    assert [(step.op, step.name) for step in dual.preview_steps()] == [
        ("delete", "http"),
        ("delete", "http"),
    ]
    dual.up()
    assert page(client, f"[{vps6}]:80") is None
    assert greeting(client, vps6, 5000, LASTING) == CLIENT6
    dual.forwards(FORWARDS)
    dual.up()
    assert page(client, f"[{vps6}]:80", LASTING)


@pytest.mark.parametrize("name", ["vps", "homelab"])
def test_after_a_reboot_all_of_it_is_there_again(lab: Lab, dual: Deployment, name: str) -> None:
    lab.host(name).reboot()
    client, vps6 = lab.host("client"), advertised_address(lab.host("vps"))
    eventually(lambda: page(client, f"[{vps6}]:80"), LONG, "nobody gets through")
    if name == "homelab":
        with echo_service(lab.host(name), "5000"):
            assert everything(lab, vps6) == EVERYTHING
    else:
        assert everything(lab, vps6) == EVERYTHING
    assert dual.preview_steps() == []
