"""CGNAT: the way in stays open however long nobody uses it."""

import threading

import pytest

from lab.hosts import topology
from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import download
from tests.lab.probes import LASTING, VPS, page
from tests.support import eventually
from tests.symptoms import symptom

SILENCE = 90.0  # seconds; three lives of a mapping, and less than a session of WireGuard lives
LONG = 120.0  # seconds, for what takes 40 at the most: a mapping's life after the last packet


def mappings(carrier: Host) -> int:
    """How many ways into the home through its tunnels the carrier remembers."""
    listed = carrier.run("conntrack -L -p udp --orig-dst 203.0.113.10 2>/dev/null").stdout
    return sum("dport=51820" in line for line in listed.splitlines())


@pytest.mark.timeout(900)
def test_after_long_silence_the_first_connection_from_outside_succeeds(
    lab: Lab, example: Deployment
) -> None:
    """Silence itself is what is tested, so here a test does wait for a time."""
    assert topology.DEFAULT_MAPPING_LIFE == 30
    client, carrier = lab.host("client"), lab.host("carrier")
    servers = len(example.settings("servers"))
    assert page(client, f"{VPS}:80", LASTING)
    threading.Event().wait(SILENCE)
    assert mappings(carrier) == servers
    assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"


@symptom("It worked until I was silent for a minute")
def test_without_keepalive_the_way_in_is_lost_and_keepalive_opens_it_again(
    lab: Lab, example: Deployment
) -> None:
    client, carrier = lab.host("client"), lab.host("carrier")
    example.configure(network={"keepalive": 0})
    with download(client, VPS, 80) as flow:
        example.up()
        assert flow.end().alive, "it is silence that closes the way, not the setting"
    eventually(lambda: mappings(carrier) == 0, LONG, "the carrier still remembers")
    assert page(client, f"{VPS}:80") is None
    example.configure_as_example()
    example.up()
    eventually(lambda: page(client, f"{VPS}:80"), LONG, "the way in stays closed")
