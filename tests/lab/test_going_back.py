"""An `up` that went wrong, and that its user takes back: what was in use before is in use again.

Deletes come last, so those of before the change may be still to come, and find what has come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import download
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import differences, snapshot
from tests.support import eventually

LONG = 120.0  # seconds; a former key of the VPS, which an earlier test had changed, goes after 60
ONE_FORWARD = {"http": {"port": 80, "to": "homelab:8080"}}

pytestmark = pytest.mark.usefixtures("fresh_afterwards")


@contextmanager
def unheard(vps: Host) -> Iterator[None]:
    """No new handshake reaches the VPS, as with a provider that blocks its port: an `up` fails."""
    rule = "PREROUTING -p udp --dport 51820 -j DROP"
    vps.run(f"iptables -t raw -I {rule}")
    try:
        yield
    finally:
        vps.run(f"iptables -t raw -D {rule}")


@contextmanager
def in_the_way(host: Host, path: str) -> Iterator[None]:
    """A program that does nothing well has this place, which nobody sees before."""
    host.write(path, "#!/bin/false\n", 0o755)
    try:
        yield
    finally:
        host.run(["rm", path])


def fails(deployment: Deployment) -> None:
    assert deployment.up(check=False).returncode != 0


def serves(deployment: Deployment, answer: str) -> None:
    """Visitors get this answer, and go on to do so: nothing is to be done."""
    client = deployment.lab.host("client")
    eventually(lambda: page(client, f"{VPS}:80") == answer, LONG, f"nobody hears: {answer}")
    assert deployment.preview_steps() == []
    assert page(client, f"{VPS}:80", LASTING) == answer


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/usr/local/lib/reverse-tunnel", id="before the helper is there"),
        pytest.param("/usr/local/sbin/iptables-restore", id="when all else is there"),
    ],
)
def test_a_move_to_another_machine_is_taken_back(lab: Lab, fresh: Deployment, path: str) -> None:
    homelab, attic = lab.host("homelab"), lab.host("attic")
    ours = f"homelab:8080 sees you as {lab.host('client').address}"
    empty = snapshot(attic)
    servers = fresh.settings("servers")
    ssh_of_attic = servers.pop("attic")["ssh"]
    fresh.configure(servers=servers, forwards=ONE_FORWARD)
    fresh.up()
    fresh.configure(servers={"homelab": {**servers["homelab"], "ssh": ssh_of_attic}})
    with in_the_way(attic, path):
        fails(fresh)
    fresh.configure(servers=servers)
    fresh.up()
    assert homelab.run("systemctl is-enabled wg-quick@wg0").stdout == "enabled\n"
    serves(fresh, ours)
    assert differences(empty, snapshot(attic)) == []
    # What is at rest again can go.
    fresh.destroy()
    assert homelab.run("ls -d /etc/reverse-tunnel", check=False).returncode != 0


def test_a_vps_that_was_to_move_serves_all_the_time(lab: Lab, fresh: Deployment) -> None:
    """Its claim is elsewhere, and all else of it is not: nothing of that is touched."""
    attic, client = lab.host("attic"), lab.host("client")
    servers, vps = fresh.settings("servers"), fresh.settings("vps")
    ssh_of_attic = servers.pop("attic")["ssh"]
    stays = {"endpoint": "vps.example.org", "firewall": "defaultDeny"}
    fresh.configure(servers=servers, vps={**vps, **stays}, forwards=ONE_FORWARD)
    fresh.up()
    with download(client, VPS, 80) as visit:
        fresh.configure(vps={**stays, "ssh": ssh_of_attic})
        with in_the_way(attic, "/usr/local/lib/reverse-tunnel"):
            fails(fresh)
        fresh.configure(vps={**vps, **stays})
        fresh.up()
        assert visit.end().alive
    serves(fresh, f"homelab:8080 sees you as {client.address}")


def test_another_name_of_a_server_is_taken_back(lab: Lab, fresh: Deployment) -> None:
    homelab = lab.host("homelab")
    ours = f"homelab:8080 sees you as {lab.host('client').address}"
    fresh.forwards(ONE_FORWARD)
    fresh.up()
    servers = fresh.settings("servers")
    renamed = {"home": servers["homelab"], "attic": servers["attic"]}
    fresh.configure(servers=renamed, forwards={"http": {"port": 80, "to": "home:8080"}})
    with unheard(lab.host("vps")):
        fails(fresh)
    assert homelab.run("cat /etc/reverse-tunnel/wg0/claimant").stdout.startswith("home:")
    fresh.configure(servers=servers, forwards=ONE_FORWARD)
    assert "homelab: its helper: claimed by another name" in fresh.pulumi("preview").stdout
    fresh.up()
    assert homelab.run("systemctl is-enabled wg-quick@wg0").stdout == "enabled\n"
    serves(fresh, ours)
