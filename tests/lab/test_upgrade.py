"""Upgrades: stacks that older versions made go on under this one, whatever it does differently."""

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab import recorded_stack
from tests.lab.deployment import Deployment
from tests.lab.flows import download
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import (
    assert_no_handshake_lost,
    forward_rules,
    rules,
    wireguard_peers,
)
from tests.support import eventually


@pytest.fixture(params=recorded_stack.names())
def old(fresh: Deployment, request: pytest.FixtureRequest) -> Deployment:
    """A stack as an older version left it, with traffic."""
    recorded_stack.put_back(fresh, request.param)
    assert traces(fresh.lab.host("vps"))
    client = fresh.lab.host("client")
    eventually(lambda: page(client, f"{VPS}:80"), 30, "the old version's forward carries nothing")
    return fresh


def traces(host: Host) -> list[str]:
    """What of a tunnel is on a host."""
    folders = "/etc/reverse-tunnel /usr/local/lib/reverse-tunnel /run/reverse-tunnel"
    found = host.run(f"ls -d {folders} /etc/wireguard/wg0.conf /sys/class/net/wg0", check=False)
    return [*found.stdout.split(), *(rule for rule in rules(host) if "RT-" in rule)]


def changed(deployment: Deployment) -> set[tuple[str, str]]:
    return {(step.op, step.name) for step in deployment.preview_steps()}


def test_an_up_by_this_version_disturbs_no_forward_and_no_peer(old: Deployment, vps: Host) -> None:
    """Commands may run again, rules be written in another way: none is missing, no flow ends."""
    client = old.lab.host("client")
    forwards, peers = forward_rules(vps), wireguard_peers(vps)
    steps = changed(old)
    new = {(op, name) for op, name in steps if op != "update"}
    assert new == {("create", f"{name}-tenancy") for name in recorded_stack.MANAGED}
    assert new != steps
    with download(client, VPS, 80) as one, download(client, VPS, 443) as other:
        old.up()
        assert one.end().alive
        assert other.end().alive
    assert len(forwards) == 2
    assert forward_rules(vps) == forwards
    assert len(peers) >= 2
    assert_no_handshake_lost(peers, wireguard_peers(vps))
    assert page(client, f"{VPS}:443", LASTING)
    assert changed(old) == set()


@pytest.mark.parametrize("upgraded", [True, False], ids=["after an up", "before any up"])
def test_the_deletes_that_an_older_version_recorded_work(
    old: Deployment, vps: Host, *, upgraded: bool
) -> None:
    """They run from the state, as text of then, by the helper of now or of then."""
    if upgraded:
        old.up()
    old.forwards({"https": old.settings("forwards")["https"]})
    old.pulumi("up", "--yes", "--skip-preview")
    assert [rule.name for rule in forward_rules(vps)] == ["https"]
    assert page(old.lab.host("client"), f"{VPS}:80") is None
    assert page(old.lab.host("client"), f"{VPS}:443", LASTING)
    old.destroy()
    for name in recorded_stack.MANAGED:
        assert traces(old.lab.host(name)) == []


@pytest.fixture
def vps(lab: Lab) -> Host:
    """The host whose rules are looked at."""
    return lab.host("vps")
