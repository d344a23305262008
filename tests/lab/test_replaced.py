"""What a user has the engine replace, as people run a command again, is there afterwards.

A replacement is made first and the old one deleted then, which takes away the same thing, unless
that is turned round.
"""

import pytest

from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.probes import VPS, page
from tests.lab.snapshots import rules
from tests.support import eventually

COMMAND = "command:remote:Command"
HOSTS = ("vps", "homelab", "attic")
SOON = 60.0  # seconds


@pytest.fixture
def house(example: Deployment) -> Deployment:
    """A stack with one of each kind."""
    servers = example.settings("servers")
    servers["homelab"] |= {"networks": ["192.168.1.30/32"], "presharedKey": True}
    nas = {"port": 2222, "to": "192.168.1.30:80", "sourceAddress": "tunnel"}
    example.configure(
        servers=servers,
        vps={**example.settings("vps"), "firewall": "defaultDeny"},
        forwards={**example.settings("forwards"), "nas": nas},
    )
    example.up_if_changed()
    return example


def firewalls(lab: Lab) -> dict[str, list[str]]:
    """Of forwards the order says nothing."""
    return {name: sorted(rules(lab.host(name))) for name in HOSTS}


@pytest.mark.parametrize(
    "name",
    [
        "http",
        "homelab",
        "homelab@preshared-key",
        "nas@homelab",
        "homelab-key",
        "vps-interface",
        "vps-firewall",
    ],
)
def test_it_is_there_afterwards(lab: Lab, house: Deployment, name: str) -> None:
    client, homelab = lab.host("client"), lab.host("homelab")
    before = firewalls(lab)
    house.pulumi("up", "--yes", "--skip-preview", "--replace", house.urn(name, COMMAND))
    answers = {
        f"{VPS}:80": f"homelab:8080 sees you as {client.address}",
        f"{VPS}:2222": f"nas:80 sees you as {homelab.address}",
    }
    eventually(lambda: {at: page(client, at) for at in answers} == answers, SOON, "nobody gets in")
    eventually(lambda: firewalls(lab) == before, SOON, "the firewalls are others than before")
    assert house.preview_steps() == []
