"""A server that nobody logs in to: its WireGuard file alone makes it serve visitors."""

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import echo_service
from tests.lab.probes import LASTING, VPS, page, tunnel_of_a_client, udp_greeting
from tests.lab.snapshots import rules
from tests.support import eventually

CARRIER = "192.0.2.2"  # what the internet sees of everybody at home
PORT = 5354


@pytest.fixture
def cabin(lab: Lab) -> Host:
    """A host on the home network that is in no stack yet."""
    return lab.host("nas")


@pytest.fixture
def config(example: Deployment) -> str:
    """What the stack tells its owner to put there."""
    servers = {**example.settings("servers"), "cabin": {"address": "172.16.0.7"}}
    forwards = {
        "page": {"port": PORT, "to": "cabin:80"},
        "game": {"protocol": "udp", "port": PORT, "to": "cabin"},
    }
    example.configure(servers=servers, forwards=forwards)
    example.up()
    file: str = example.output("serverConfigs")["cabin"]
    return file


def test_its_file_makes_it_serve_visitors_who_keep_their_address(
    lab: Lab, cabin: Host, config: str
) -> None:
    client = lab.host("client")
    before = rules(cabin)
    assert page(client, f"{VPS}:{PORT}") is None
    with tunnel_of_a_client(cabin, config), echo_service(cabin, str(PORT)):
        seen = eventually(lambda: page(client, f"{VPS}:{PORT}"), 30, "no page from the cabin")
        assert seen == f"nas:80 sees you as {client.address}"
        # A service on all addresses, which by itself would answer by its own line.
        assert udp_greeting(client, VPS, PORT, LASTING) == client.address
        assert page(cabin, f"{client.address}:80", LASTING) == f"client:80 sees you as {CARRIER}"
    assert rules(cabin) == before
    assert page(client, f"{VPS}:{PORT}") is None
