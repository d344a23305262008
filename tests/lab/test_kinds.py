"""Every kind of forward at once, as one stack says them: who gets through, whom each target sees.

With the firewall, IPv6 and a peer's own MTU, and all of it again after each host has started anew.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment, Values
from tests.lab.flows import connection, echo_service
from tests.lab.probes import (
    LASTING,
    SHORT,
    VPS,
    advertised_address,
    greeting,
    page,
    tunnel_of_a_client,
    udp_greeting,
)
from tests.lab.snapshots import differences, snapshot
from tests.support import eventually
from tests.symptoms import symptom

CLIENT = "198.51.100.10"
CLIENT6 = "2001:db8:1::10"
LAPTOP = "198.51.100.20"
NEIGHBOUR = "203.0.113.20"  # out there, but not where the laptop's own line ends
CARRIER = "192.0.2.2"  # what the internet sees of everybody at home
NAS = "192.168.1.30:80"
HOMELAB, ATTIC = "172.16.0.4", "172.16.0.6"
SMALL = 1280  # bytes, attic's own MTU, which is not the network's
RUSH = 40  # connections at once
LONG = 60.0  # seconds
WORKERS = 8  # questions at once, most of which wait for a no
NEW_CONNECTIONS = """
import select, socket, sys, time
waiting = [socket.socket() for _ in range(int(sys.argv[3]))]
count, end = len(waiting), time.monotonic() + float(sys.argv[4])
for one in waiting:
    one.setblocking(False)
    one.connect_ex((sys.argv[1], int(sys.argv[2])))
while waiting and (made := select.select([], waiting, [], max(0, end - time.monotonic()))[1]):
    waiting = [one for one in waiting if one not in made]
print(count - len(waiting))
"""

FORWARDS: dict[str, Values] = {
    "http": {"port": 80, "to": "homelab:8080"},
    "mail": {"port": 25, "to": "attic:8080"},
    "both": {"protocol": "tcp+udp", "port": 5000, "to": "homelab"},
    "game": {"protocol": "udp", "port": "27000-27003", "to": "homelab"},
    # 8080 and 8081 are there, so the third and the fourth port answer.
    "rooms": {"port": "9000-9003", "to": "homelab:8078-8081"},
    "listed": {"port": 8443, "to": "homelab:8080", "from": [CLIENT]},
    "limited": {"port": 8444, "to": "homelab:5000", "limit": {"concurrent": 2, "newPerSecond": 50}},
    "slow": {"port": 8447, "to": "homelab:8080", "limit": {"newPerSecond": 1}},
    "home": {"port": 8448, "to": "homelab:8080", "from": [CARRIER]},
    "masked": {"port": 8445, "to": "homelab:8080", "sourceAddress": "tunnel"},
    "paused": {"port": 8446, "to": "homelab:8080", "enabled": False},
    "nas": {"port": 2222, "to": NAS, "sourceAddress": "tunnel"},
    # It answers by its own router, so this cannot work.
    "unheard": {"port": 2223, "to": "192.168.1.30:5001", "sourceAddress": "client"},
}


@pytest.fixture(scope="module")
def kinds(lab: Lab, deployment: Deployment) -> Iterator[Deployment]:
    """The stack with all of them, up; afterwards the hosts are as the image has them."""
    deployment.start_over()
    before = {name: snapshot(lab.host(name)) for name in ("vps", "homelab", "attic")}
    servers = deployment.settings("servers")
    servers["homelab"]["networks"] = ["192.168.1.30/32"]
    servers["attic"] |= {"egress": "tunnel", "mtu": SMALL}
    deployment.configure(
        network={"ipv6": "fd5c:91e2:7a3b::/64"},
        vps={**deployment.settings("vps"), "firewall": "defaultDeny"},
        servers=servers,
        clients={"laptop": {"address": "172.16.0.10", "egress": "tunnel"}},
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


def sees(lab: Lab, visitor: str, port: int, patience: int = SHORT) -> str | None:
    """The page at a public port and whom it sees, asked by a host of the lab; None without one."""
    said = page(lab.host(visitor), f"{VPS}:{port}", patience)
    return said and said.replace(" sees you as", "")


def let_in(visitor: Host, port: int, patience: float = 2) -> int:
    """How many of a visitor's connections, all begun at once, a public port lets in."""
    words = ["python3", "-c", NEW_CONNECTIONS, VPS, str(port), str(RUSH), str(patience)]
    return int(visitor.run(words).stdout)


def fits(vps: Host, address: str, size: int, patience: int) -> bool:
    """Whether the VPS sends a packet of so many bytes to a peer in one piece."""
    words = f"ping -c1 -w{patience} -Mdo -s{size - 28} {address}"
    return vps.run(words, check=False).returncode == 0


def everything(lab: Lab) -> dict[str, object]:
    """What comes of each forward for who may use it, and for who may not."""
    client, laptop, nas, vps = (lab.host(name) for name in ("client", "laptop", "nas", "vps"))
    vps6 = advertised_address(vps)
    questions: dict[str, Callable[[int], object]] = {
        "plain": lambda wait: sees(lab, "client", 80, wait),
        "by IPv6": lambda wait: page(client, f"[{vps6}]:80", wait),
        "another server": lambda wait: sees(lab, "client", 25, wait),
        "both, tcp": lambda wait: greeting(client, VPS, 5000, wait),
        "both, udp": lambda wait: udp_greeting(client, VPS, 5000, wait),
        "both, udp by IPv6": lambda wait: udp_greeting(client, vps6, 5000, wait),
        "range, first": lambda wait: udp_greeting(client, VPS, 27000, wait),
        "range, last": lambda wait: udp_greeting(client, VPS, 27003, wait),
        "range, outside": lambda wait: udp_greeting(client, VPS, 27004, wait),
        "range, by tcp": lambda wait: greeting(client, VPS, 27000, wait),
        "remapped, third": lambda wait: sees(lab, "client", 9002, wait),
        "remapped, fourth": lambda wait: sees(lab, "client", 9003, wait),
        "remapped, first": lambda wait: sees(lab, "client", 9000, wait),
        "listed": lambda wait: sees(lab, "client", 8443, wait),
        "not listed": lambda wait: sees(lab, "laptop", 8443, wait),
        "not listed, from the LAN": lambda wait: sees(lab, "nas", 8443, wait),
        "no IPv6 is listed": lambda wait: page(client, f"[{vps6}]:8443", wait),
        "as the tunnel": lambda wait: sees(lab, "client", 8445, wait),
        "paused": lambda wait: sees(lab, "client", 8446, wait),
        "paused, from the LAN": lambda wait: sees(lab, "nas", 8446, wait),
        "home is listed": lambda wait: sees(lab, "nas", 8448, wait),
        "home alone": lambda wait: sees(lab, "client", 8448, wait),
        "nas": lambda wait: sees(lab, "client", 2222, wait),
        "nas, unheard": lambda wait: greeting(client, VPS, 2223, wait),
        "nas, unheard, by its LAN": lambda wait: greeting(
            lab.host("router"), "192.168.1.30", 5001, wait
        ),
        "from the server itself": lambda wait: sees(lab, "homelab", 80, wait),
        "from its LAN": lambda wait: sees(lab, "nas", 80, wait),
        "from a server whose way out is the tunnel": lambda wait: sees(lab, "attic", 80, wait),
        "and back to itself": lambda wait: sees(lab, "attic", 25, wait),
        "the way out": lambda wait: page(lab.host("attic"), f"{CLIENT}:80", wait),
        "its own line": lambda wait: page(lab.host("homelab"), f"{CLIENT}:80", wait),
        "a service of the VPS": lambda wait: greeting(client, VPS, 7100, wait),
        "the same, at the VPS": lambda wait: greeting(vps, "127.0.0.1", 7100, wait),
        "a service of another peer": lambda wait: page(lab.host("attic"), f"{HOMELAB}:8080", wait),
        "the largest packet": lambda wait: fits(vps, ATTIC, SMALL, wait),
        "a larger one": lambda wait: fits(vps, ATTIC, SMALL + 16, wait),
        "a larger one to the other server": lambda wait: fits(vps, HOMELAB, SMALL + 16, wait),
    }
    with echo_service(vps, "7100"), ThreadPoolExecutor(WORKERS) as pool:
        asked = {
            what: pool.submit(question, LASTING if EVERYTHING[what] else SHORT)
            for what, question in questions.items()
        }
        seen = {what: answer.result() for what, answer in asked.items()}
    with ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(connection(client, VPS, 8444))
        seen["one too many"] = greeting(client, VPS, 8444)
        seen["another visitor"] = greeting(laptop, VPS, 8444, LASTING)
    seen["in a hurry"] = 0 < let_in(client, 8447) < RUSH
    seen["in a hurry, from the LAN"] = 0 < let_in(nas, 8447) < RUSH
    seen["another visitor meanwhile"] = sees(lab, "laptop", 8447, LASTING)
    seen["in a hurry without a limit"] = let_in(client, 80, LONG)
    return seen


EVERYTHING: dict[str, object] = {
    "plain": f"homelab:8080 {CLIENT}",
    "by IPv6": f"homelab:8080 sees you as {CLIENT6}",
    "another server": f"attic:8080 {CLIENT}",
    "both, tcp": CLIENT,
    "both, udp": CLIENT,
    "both, udp by IPv6": CLIENT6,
    "range, first": CLIENT,
    "range, last": CLIENT,
    "range, outside": None,
    "range, by tcp": None,
    "remapped, third": f"homelab:8080 {CLIENT}",
    "remapped, fourth": f"homelab:8081 {CLIENT}",
    "remapped, first": None,
    "listed": f"homelab:8080 {CLIENT}",
    "not listed": None,
    "not listed, from the LAN": None,
    "no IPv6 is listed": None,
    "as the tunnel": "homelab:8080 172.16.0.1",
    "paused": None,
    "paused, from the LAN": None,
    "home is listed": f"homelab:8080 {CARRIER}",
    "home alone": None,
    "nas": "nas:80 192.168.1.20",
    "nas, unheard": None,
    "nas, unheard, by its LAN": "192.168.1.1",
    "from the server itself": f"homelab:8080 {CARRIER}",
    "from its LAN": f"homelab:8080 {CARRIER}",
    "from a server whose way out is the tunnel": "homelab:8080 172.16.0.6",
    "and back to itself": "attic:8080 172.16.0.1",
    "the way out": f"client:80 sees you as {VPS}",
    "its own line": f"client:80 sees you as {CARRIER}",
    "a service of the VPS": None,
    "the same, at the VPS": "127.0.0.1",
    "a service of another peer": None,
    "the largest packet": True,
    "a larger one": False,
    "a larger one to the other server": True,
    "one too many": None,
    "another visitor": LAPTOP,
    "in a hurry": True,
    "in a hurry, from the LAN": True,
    "another visitor meanwhile": f"homelab:8080 {LAPTOP}",
    "in a hurry without a limit": RUSH,
}


@pytest.mark.usefixtures("kinds")
@symptom("A forward to a host behind a server hangs")
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
        assert greeting(laptop, NEIGHBOUR, 5002, LASTING) == VPS
        assert udp_greeting(laptop, NEIGHBOUR, 5002, LASTING) == VPS
        assert sees(lab, "laptop", 80, LASTING) == "homelab:8080 172.16.0.10"
        assert sees(lab, "laptop", 2222, LASTING) == "nas:80 192.168.1.20"
        # Not on the list, paused and too many at once, this way either.
        assert sees(lab, "laptop", 8443) is None
        assert sees(lab, "laptop", 8446) is None
        assert 0 < let_in(laptop, 8447) < RUSH
        assert sees(lab, "client", 8447, LASTING) == f"homelab:8080 {CLIENT}"
    with echo_service(neighbour, "5002"):
        assert greeting(laptop, NEIGHBOUR, 5002, LASTING) == LAPTOP


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
        assert paused.is_dead()
        assert unlisted.is_dead()
        assert listed.is_alive()
    kinds.forwards(FORWARDS)
    kinds.up()
    assert greeting(client, VPS, 5000, LASTING) == CLIENT


@pytest.mark.usefixtures("kinds")
def test_a_host_whose_way_out_is_the_server_sees_visitors_themselves(lab: Lab) -> None:
    """Its answers come by the server, which knows whose they are; by its own router they do not."""
    client, nas = lab.host("client"), lab.host("nas")
    assert greeting(client, VPS, 2223) is None
    nas.run("ip route replace default via 192.168.1.20")
    try:
        eventually(lambda: greeting(client, VPS, 2223), LONG, "its answers do not come")
        assert greeting(client, VPS, 2223, LASTING) == CLIENT
    finally:
        nas.run("ip route replace default via 192.168.1.1")
    assert greeting(client, VPS, 2223) is None


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
