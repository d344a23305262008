"""The VPS's firewall on the real stack: set by `up`, kept by its second login, and no lock-out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment, Step
from tests.lab.flows import echo_service
from tests.lab.probes import LASTING, VPS, greeting, page, pings, tunnel_of_a_client, udp_greeting
from tests.lab.snapshots import differences, snapshot
from tests.support import SSH_PROXY, eventually
from tests.symptoms import symptom

COMMAND = "command:remote:Command"
PROXY_PORT = 2222
LONG = 120.0  # seconds, for what takes the minute that a firewall is on trial

ALLOW = {"share": {"from": ["laptop"], "to": "homelab", "protocol": "tcp", "port": 8080}}


@contextmanager
def proxy(vps: Host) -> Iterator[None]:
    """SSH at another port of the VPS, by a program of somebody else's."""
    process = vps.popen(["python3", "-c", SSH_PROXY, str(PROXY_PORT)])
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def vps_with(deployment: Deployment, **settings: Any) -> dict[str, Any]:  # noqa: ANN401  # YAML
    """The VPS of the stack file with some settings more."""
    return {**deployment.settings("vps"), **settings}


def ours(vps: Host) -> list[str]:
    """The rules of the firewall, of both families, and what of its timer is there."""
    seen = "iptables-save; ip6tables-save; systemctl list-units --all --plain 'reverse-tunnel-*'"
    words = ("-in", "-through", "reverse-tunnel-wg0-firewall")
    return [line for line in vps.run(seen).stdout.splitlines() if any(w in line for w in words)]


@pytest.fixture
def plain(example: Deployment) -> Iterator[Deployment]:
    """The example without a firewall, before and after."""
    yield example
    example.configure_as_example()
    example.up_if_changed()


@symptom("With `firewall: defaultDeny` something is not reached")
def test_only_what_is_wanted_gets_in(lab: Lab, plain: Deployment) -> None:
    """From outside, from a client and from one server to the other; also after a reboot."""
    client, laptop, vps = lab.host("client"), lab.host("laptop"), lab.host("vps")
    attic = lab.host("attic")
    config = plain.output("clientConfigs")["laptop"]

    def guarded() -> bool:
        return greeting(client, VPS, 9000) is None

    def check_guarded() -> None:
        assert guarded()
        assert udp_greeting(client, VPS, 9000) is None
        assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"
        assert pings(client, VPS, LASTING)
        assert page(attic, "172.16.0.4:8080") is None

    with echo_service(vps, "9000"):
        assert greeting(client, VPS, 9000, LASTING) == client.address
        assert udp_greeting(client, VPS, 9000, LASTING) == client.address
        assert page(attic, "172.16.0.4:8080", LASTING) is not None
        plain.configure(vps=vps_with(plain, firewall="defaultDeny", allow=ALLOW))
        created = [Step("create", COMMAND, name) for name in ("vps-firewall", "vps-firewall-kept")]
        assert [step for step in plain.preview_steps() if "firewall" in step.name] == created
        plain.up()
        assert plain.preview_steps() == []
        check_guarded()
        with tunnel_of_a_client(laptop, config):
            assert (
                page(laptop, "172.16.0.4:8080", LASTING) == "homelab:8080 sees you as 172.16.0.10"
            )
            assert page(laptop, "172.16.0.4:8081") is None
            assert page(laptop, "172.16.0.6:8080") is None
            assert greeting(laptop, "172.16.0.1", 9000) is None
            # At the public address a client is a visitor like any other.
            assert page(laptop, f"{VPS}:80", LASTING) is not None
    vps.reboot()
    with echo_service(vps, "9000"):
        eventually(lambda: page(client, f"{VPS}:80"), LONG, "the forward did not come back")
        check_guarded()
        plain.configure(vps=vps_with(plain, firewall="none", allow={}))
        plain.up()
        assert greeting(client, VPS, 9000, LASTING) == client.address
    assert ours(vps) == []


@symptom("`up` says that the firewall was taken back")
def test_a_lock_out_heals_without_a_visit(lab: Lab, plain: Deployment) -> None:
    """The firewall cannot know of the port that the operator comes by. It takes itself back."""
    vps, client = lab.host("vps"), lab.host("client")
    with proxy(vps), echo_service(vps, "9000"):
        ssh = {**plain.settings("vps")["ssh"], "port": PROXY_PORT}
        plain.configure(vps=vps_with(plain, ssh=ssh))
        plain.up()
        plain.configure(vps=vps_with(plain, firewall="defaultDeny"))
        failed = plain.up(check=False)
        assert failed.returncode != 0
        assert "vps-firewall-kept" in failed.stdout + failed.stderr
        eventually(
            lambda: greeting(client, VPS, 9000) and greeting(client, VPS, PROXY_PORT),
            LONG,
            "the lock-out did not heal",
        )
        assert ours(vps) == []
        # By a port that the VPS knows it is kept.
        plain.configure(vps=vps_with(plain, ssh={**ssh, "port": 22}))
        assert "vps: its firewall: taken back" in plain.up().stdout
        assert greeting(client, VPS, 9000) is None
        assert ours(vps) != []
        assert plain.preview_steps() == []


def test_destroy_leaves_nothing_of_it(lab: Lab, fresh: Deployment) -> None:
    vps = lab.host("vps")
    before = snapshot(vps)
    fresh.configure(vps=vps_with(fresh, firewall="defaultDeny", allow=ALLOW))
    fresh.up()
    assert ours(vps) != []
    fresh.destroy()
    assert ours(vps) == []
    assert differences(before, snapshot(vps)) == []
