"""A server under another name, and two that change places: the new is made before the old goes."""

from collections.abc import Iterator

import pytest

from lab.hosts.host import Host
from tests.lab.deployment import Deployment
from tests.lab.probes import VPS, page
from tests.support import eventually

LONG = 120.0  # seconds; a former key of the VPS, which an earlier test had changed, goes after 60


@pytest.fixture
def settled(example: Deployment) -> Iterator[Deployment]:
    """The example, and again afterwards."""
    yield example
    example.configure_as_example()
    example.up()


def serves(deployment: Deployment, host: Host) -> bool:
    """Whether the tunnel is there to stay, and visitors reach the host by it."""
    assert host.run("systemctl is-enabled wg-quick@wg0; wg show wg0 peers | wc -l").stdout == (
        "enabled\n1\n"
    )
    reached = page(deployment.lab.host("client"), f"{VPS}:80")
    return reached is not None and host.name in reached


def test_a_renamed_server_keeps_its_tunnel(settled: Deployment) -> None:
    """Its old claim's delete runs last, on the machine that has its new name by then."""
    servers = settled.settings("servers")
    settled.configure(servers={"home": servers.pop("homelab"), **servers})
    settled.forwards({"http": {"port": 80, "to": "home:8080"}})
    settled.up()
    homelab = settled.lab.host("homelab")
    eventually(lambda: serves(settled, homelab), LONG, "the renamed server is not reached")
    assert settled.preview_steps() == []


def test_a_renamed_client_is_named_before_it_is_cut_off(settled: Deployment) -> None:
    """Its file is of the former name's keys, which go with that."""
    clients = settled.settings("clients")
    settled.configure(clients={"tablet": clients.pop("laptop"), **clients})
    said = settled.pulumi("preview").stdout
    assert "  tablet (new keys; it was laptop): `reverse-tunnel client tablet`" in said


def test_two_servers_change_places(settled: Deployment) -> None:
    """What was deleted of one is on the machine that the other has by now."""
    servers = settled.settings("servers")
    one, other = servers["homelab"]["ssh"], servers["attic"]["ssh"]
    servers["homelab"]["ssh"], servers["attic"]["ssh"] = other, one
    settled.configure(servers=servers)
    settled.up()
    attic = settled.lab.host("attic")
    eventually(lambda: serves(settled, attic), LONG, "the machine in its place is not reached")
    assert settled.preview_steps() == []
