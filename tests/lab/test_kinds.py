"""Every kind of forward at once, as one stack says them: who gets through, whom each target sees.

All of them again after each host has started anew.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.lab import Lab
from tests.lab.deployment import Deployment, Settings
from tests.lab.flows import connection, echo_service
from tests.lab.probes import VPS, greeting, page, tunnel_of_a_client, udp_greeting
from tests.lab.snapshots import differences, snapshot
from tests.support import eventually

CLIENT = "198.51.100.10"
LAPTOP = "198.51.100.20"
NEIGHBOUR = "203.0.113.20"  # out there, but not where the laptop's own line ends
CARRIER = "192.0.2.2"  # what the internet sees of everybody at home
NAS = "192.168.1.30:80"
LONG = 60.0  # seconds

FORWARDS: dict[str, Settings] = {
    "http": {"port": 80, "to": "homelab:8080"},
    "mail": {"port": 25, "to": "attic:8080"},
    "both": {"protocol": "tcp+udp", "port": 5000, "to": "homelab"},
    "game": {"protocol": "udp", "port": "27000-27003", "to": "homelab"},
    # 8080 and 8081 are there, so the third and the fourth port answer.
    "rooms": {"port": "9000-9003", "to": "homelab:8078-8081"},
    "listed": {"port": 8443, "to": "homelab:8080", "from": [CLIENT]},
    "limited": {"port": 8444, "to": "homelab:5000", "limit": {"concurrent": 2, "newPerSecond": 50}},
    "masked": {"port": 8445, "to": "homelab:8080", "sourceAddress": "tunnel"},
    "paused": {"port": 8446, "to": "homelab:8080", "enabled": False},
    "nas": {"port": 2222, "to": NAS, "sourceAddress": "tunnel"},
    # It answers by its own router, so this cannot work.
    "unheard": {"port": 2223, "to": "192.168.1.30:5001", "sourceAddress": "client"},
}


@pytest.fixture(scope="module")
def kinds(lab: Lab, deployment: Deployment) -> Iterator[Deployment]:
    """The stack with all of them, up; afterwards the hosts are as the image has them."""
    deployment.forget()
    lab.reset("vps", "homelab", "attic")
    before = {name: snapshot(lab.host(name)) for name in ("vps", "homelab", "attic")}
    servers = deployment.settings("servers")
    servers["homelab"]["networks"] = ["192.168.1.30/32"]
    servers["attic"]["egress"] = "tunnel"
    deployment.configure(
        servers=servers, clients={"laptop": {"address": "172.16.0.10", "egress": "tunnel"}}
    )
    deployment.forwards(FORWARDS)
    deployment.up()
    with (
        echo_service(lab.host("homelab"), "5000"),
        echo_service(lab.host("homelab"), "27000-27003"),
        echo_service(lab.host("nas"), "5001"),
    ):
        yield deployment
    deployment.destroy()
    for name, was in before.items():
        left = differences(was, snapshot(lab.host(name)))
        # They have been started anew since.
        assert [line for line in left if " files: /run/" not in line] == []


def sees(lab: Lab, visitor: str, port: int) -> str | None:
    """The page at a public port and whom it sees, asked by a host of the lab; None without one."""
    said = page(lab.host(visitor), f"{VPS}:{port}")
    return said and said.replace(" sees you as", "")


def everything(lab: Lab) -> dict[str, object]:
    """What comes of each forward for who may use it, and for who may not."""
    client, laptop = lab.host("client"), lab.host("laptop")
    seen: dict[str, object] = {
        "plain": sees(lab, "client", 80),
        "another server": sees(lab, "client", 25),
        "both, tcp": greeting(client, VPS, 5000),
        "both, udp": udp_greeting(client, VPS, 5000),
        "range, first": udp_greeting(client, VPS, 27000),
        "range, last": udp_greeting(client, VPS, 27003),
        "range, outside": udp_greeting(client, VPS, 27004),
        "range, by tcp": greeting(client, VPS, 27000),
        "remapped, third": sees(lab, "client", 9002),
        "remapped, fourth": sees(lab, "client", 9003),
        "remapped, first": sees(lab, "client", 9000),
        "listed": sees(lab, "client", 8443),
        "not listed": sees(lab, "laptop", 8443),
        "as the tunnel": sees(lab, "client", 8445),
        "paused": sees(lab, "client", 8446),
        "nas": sees(lab, "client", 2222),
        "nas, unheard": greeting(client, VPS, 2223),
        "nas, unheard, by its LAN": greeting(lab.host("router"), "192.168.1.30", 5001),
        "from the server itself": sees(lab, "homelab", 80),
        "from its LAN": sees(lab, "nas", 80),
        "from a server whose way out is the tunnel": sees(lab, "attic", 80),
        "and back to itself": sees(lab, "attic", 25),
        "the way out": page(lab.host("attic"), f"{CLIENT}:80"),
        "its own line": page(lab.host("homelab"), f"{CLIENT}:80"),
    }
    with ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(connection(client, VPS, 8444))
        seen["one too many"] = greeting(client, VPS, 8444)
        seen["another visitor"] = greeting(laptop, VPS, 8444)
    return seen


EVERYTHING: dict[str, object] = {
    "plain": f"homelab:8080 {CLIENT}",
    "another server": f"attic:8080 {CLIENT}",
    "both, tcp": CLIENT,
    "both, udp": CLIENT,
    "range, first": CLIENT,
    "range, last": CLIENT,
    "range, outside": None,
    "range, by tcp": None,
    "remapped, third": f"homelab:8080 {CLIENT}",
    "remapped, fourth": f"homelab:8081 {CLIENT}",
    "remapped, first": None,
    "listed": f"homelab:8080 {CLIENT}",
    "not listed": None,
    "as the tunnel": "homelab:8080 172.16.0.1",
    "paused": None,
    "nas": "nas:80 192.168.1.20",
    "nas, unheard": None,
    "nas, unheard, by its LAN": "192.168.1.1",
    "from the server itself": f"homelab:8080 {CARRIER}",
    "from its LAN": f"homelab:8080 {CARRIER}",
    "from a server whose way out is the tunnel": "homelab:8080 172.16.0.6",
    "and back to itself": "attic:8080 172.16.0.1",
    "the way out": f"client:80 sees you as {VPS}",
    "its own line": f"client:80 sees you as {CARRIER}",
    "one too many": None,
    "another visitor": LAPTOP,
}


@pytest.mark.usefixtures("kinds")
def test_each_kind_lets_in_whom_it_should_and_nobody_else(lab: Lab) -> None:
    assert everything(lab) == EVERYTHING


def test_a_client_with_a_full_tunnel_leaves_by_the_vps_and_reaches_forwards(
    lab: Lab, kinds: Deployment
) -> None:
    laptop, neighbour = lab.host("laptop"), lab.host("neighbour")
    with (
        echo_service(neighbour, "5002"),
        tunnel_of_a_client(laptop, kinds.output("clientConfigs")["laptop"]),
    ):
        eventually(lambda: greeting(laptop, NEIGHBOUR, 5002), LONG, "no way out by the tunnel")
        assert greeting(laptop, NEIGHBOUR, 5002) == VPS
        assert udp_greeting(laptop, NEIGHBOUR, 5002) == VPS
        assert sees(lab, "laptop", 80) == "homelab:8080 172.16.0.10"
        assert sees(lab, "laptop", 2222) == "nas:80 192.168.1.20"
        assert sees(lab, "laptop", 8443) is None  # not on the list, this way either
    with echo_service(neighbour, "5002"):
        assert greeting(laptop, NEIGHBOUR, 5002) == LAPTOP


def test_a_pause_and_a_shorter_list_are_one_resource_each_and_end_what_they_forbid(
    lab: Lab, kinds: Deployment
) -> None:
    client, laptop = lab.host("client"), lab.host("laptop")
    changed = {
        **FORWARDS,
        "both": {**FORWARDS["both"], "enabled": False},
        "limited": {**FORWARDS["limited"], "from": [CLIENT]},
    }
    with (
        connection(client, VPS, 5000) as paused,
        connection(client, VPS, 8444) as listed,
        connection(laptop, VPS, 8444) as unlisted,
    ):
        kinds.forwards(changed)
        steps = kinds.preview_steps()
        assert [(step.op, step.name) for step in steps] == [
            ("update", "both"),
            ("update", "limited"),
        ]
        kinds.up()
        assert not paused.is_alive()
        assert not unlisted.is_alive()
        assert listed.is_alive()
    kinds.forwards(FORWARDS)
    kinds.up()
    assert greeting(client, VPS, 5000) == CLIENT


@pytest.mark.parametrize("name", ["vps", "homelab"])
def test_after_a_reboot_all_of_them_are_there_again(lab: Lab, kinds: Deployment, name: str) -> None:
    lab.host(name).reboot()
    with ExitStack() as services:
        if name == "homelab":
            for ports in ("5000", "27000-27003"):
                services.enter_context(echo_service(lab.host(name), ports))
        # The first visitor waits for the handshake.
        eventually(lambda: sees(lab, "client", 80), LONG, "nobody gets through")
        eventually(lambda: sees(lab, "client", 25), LONG, "nobody gets through to attic")
        assert everything(lab) == EVERYTHING
    assert kinds.preview_steps() == []
