"""Heals by itself: what the lines, carriers, providers and name servers do to a tunnel that is up.

Nobody does anything on a host, and none is told. That it takes less than a minute is the
requirement itself; how long it took is logged, too (`--log-cli-level=info`), and the table in
docs/operations.md has what it was.
"""

import logging
import time
from collections.abc import Iterator
from itertools import count

import pytest

from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.probes import LASTING, VPS, page
from tests.support import eventually

_LOG = logging.getLogger(__name__)

NAME = "vps.example.org"
MOVED = "203.0.113.11"
# Each time other ones, and none that a program gets by itself: those the carrier would keep.
OTHER_PORTS = (f"{first}-{first + 999}" for first in count(20000, 1000))
HEALED_WITHIN = (
    90.0  # seconds; a third of that is what it takes, and WireGuard alone takes twice as long
)
SERVERS = ("172.16.0.4/32", "172.16.0.6/32")
LONG = 150.0  # seconds: later is waited for, too, so that a failure says how long it took


@pytest.fixture(scope="module", autouse=True)
def stack(deployment: Deployment) -> Iterator[Deployment]:
    """The example, with servers that dial the VPS by its name; up."""
    deployment.configure_as_example()
    deployment.configure(vps={**deployment.settings("vps"), "endpoint": NAME})
    deployment.up_if_changed()
    yield deployment
    deployment.start_over()


@pytest.fixture
def elsewhere(lab: Lab) -> Iterator[None]:
    """The carrier gives the next ways in other ports, and has forgotten those of before."""
    carrier = lab.host("carrier")
    rule = f"POSTROUTING -p udp --dport 51820 -j MASQUERADE --to-ports {next(OTHER_PORTS)}"
    carrier.run(f"iptables -t nat -I {rule}")
    carrier.run(f"conntrack -D -p udp --orig-dst {VPS}", check=False)
    yield
    carrier.run(f"iptables -t nat -D {rule}")


def visit(lab: Lab, after: str, vps: str = VPS) -> None:
    """A visitor gets through to homelab, and the VPS to attic, within a minute."""
    began = time.monotonic()
    client = lab.host("client")
    eventually(lambda: page(client, f"{vps}:80"), LONG, f"no visitor gets through after {after}")
    visitors = time.monotonic() - began
    eventually(lambda: page(lab.host("vps"), "172.16.0.6:8080"), LONG, f"no attic after {after}")
    everybody = time.monotonic() - began
    _LOG.info("%s: %.0f s, all %.0f s", after, visitors, everybody)
    assert everybody < HEALED_WITHIN, f"all well only {everybody:.0f} s after {after}"


def ports_of_servers(lab: Lab) -> set[int]:
    """From where the VPS has last heard its servers; a client of earlier tests is none."""
    peers = lab.host("vps").run("wg show wg0 dump").stdout.splitlines()[1:]
    ends = {ips: endpoint for _, _, endpoint, ips, *_ in (peer.split("\t") for peer in peers)}
    return {int(ends[ips].rpartition(":")[2]) for ips in SERVERS if ends[ips] != "(none)"}


def test_the_carriers_mapping_moves(lab: Lab, request: pytest.FixtureRequest) -> None:
    before = ports_of_servers(lab)
    request.getfixturevalue("elsewhere")
    visit(lab, "another mapping")
    assert not ports_of_servers(lab) & before


def test_the_home_line_drops_and_comes_back_with_another_mapping(
    lab: Lab, request: pytest.FixtureRequest
) -> None:
    before = ports_of_servers(lab)
    lab.cut("router")
    try:
        client = lab.host("client")
        eventually(lambda: page(client, f"{VPS}:80") is None, LONG, "the line is not cut")
        request.getfixturevalue("elsewhere")
    finally:
        lab.heal("router")
    visit(lab, "a line that was down")
    assert not ports_of_servers(lab) & before


def test_the_vps_loses_its_power_and_then_knows_no_way_in(
    lab: Lab, request: pytest.FixtureRequest
) -> None:
    """The mappings that it noted are gone, so it can't speak first: the servers must notice."""
    vps, before = lab.host("vps"), ports_of_servers(lab)
    vps.stop(orderly=False)
    request.getfixturevalue("elsewhere")
    vps.start()
    visit(lab, "a power cut of the VPS")
    assert not ports_of_servers(lab) & before


def test_a_start_that_was_killed_leaves_an_interface(lab: Lab) -> None:
    """Which wg-quick would refuse to make, each time the unit tries again."""
    vps = lab.host("vps")
    vps.run("systemctl stop wg-quick@wg0; ip link add wg0 type veth peer name wg0-else")
    vps.run("systemctl start wg-quick@wg0")
    assert vps.run("systemctl is-active wg-quick@wg0").stdout == "active\n"
    visit(lab, "a start beside an interface of its name")


def test_the_vps_gets_another_address(lab: Lab, stack: Deployment) -> None:
    """Its provider moves it, and its name leads there. It stays the same machine."""
    vps = lab.host("vps")
    vps.run(f"ip address del {VPS}/24 dev ens6; ip address add {MOVED}/24 dev ens6")
    vps.run("ip route replace default via 203.0.113.1")
    client = lab.host("client")
    assert page(client, f"{MOVED}:80") is None
    for name in ("homelab", "attic"):
        lab.host(name).run(f"sed -i 's/^{VPS}\\s/{MOVED} /' /etc/hosts")
    visit(lab, "another address of the VPS", MOVED)
    assert page(client, f"{VPS}:80") is None
    ssh = {**stack.settings("vps")["ssh"], "host": MOVED}
    stack.configure(vps={"endpoint": NAME, "ssh": ssh})
    assert {step.op for step in stack.preview_steps()} == {"update"}
    stack.up()
    assert page(client, f"{MOVED}:80", LASTING)
    assert stack.preview_steps() == []
