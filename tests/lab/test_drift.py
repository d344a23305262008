"""Drift: what somebody did to a host is found, put right by an `up`, and found again."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from lab.host import Host
from tests.lab.deployment import Deployment, Step
from tests.lab.probes import VPS, page
from tests.lab.snapshots import rules

COMMAND = "command:remote:Command"
DRIFTED = 3  # the exit status of `reverse-tunnel drift`


class Harm(NamedTuple):
    """What somebody does, and as what it is found."""

    host: str
    command: str
    resource: str
    words: str


HARMS = [
    Harm(
        "vps",
        "iptables-save -t nat | sed -n 's/^-A \\(.*rt:wg0:http\".*\\)/-D \\1/p' |"
        " (echo '*nat'; cat; echo COMMIT) | iptables-restore --noflush",
        "http",
        "vps: its forward http: rules missing",
    ),
    Harm(
        "vps",
        "wg set wg0 peer $(sed -n 's/^public-key //p'"
        " /etc/reverse-tunnel/wg0/peers.d/laptop.conf) remove",
        "laptop",
        "vps: its peer laptop: unknown to WireGuard or with other addresses",
    ),
    Harm(
        "homelab",
        "systemctl disable wg-quick@wg0",
        "homelab-interface",
        "homelab: its tunnel: does not start at boot",
    ),
    Harm(
        "attic",
        "echo '# by hand' >>/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel",
        "attic-helper",
        "attic: its helper: another version",
    ),
]


@pytest.fixture
def harmed(example: Deployment) -> Iterator[Deployment]:
    """The example, after all of that."""
    harm(example)
    yield example
    example.up()


def harm(deployment: Deployment) -> None:
    for each in HARMS:
        deployment.lab.host(each.host).run(each.command)


def told(deployment: Deployment) -> tuple[int, list[str]]:
    """What the command line says of drift."""
    done = deployment.lab.operator.run(["reverse-tunnel", "drift"], check=False)
    return done.returncode, done.stdout.splitlines()


def logins(host: Host) -> int:
    return host.run(["journalctl", "-o", "cat"]).stdout.count("Accepted publickey")


def test_a_healthy_stack_shows_nothing(example: Deployment) -> None:
    assert told(example) == (0, [])
    assert example.preview_steps() == []


def test_drift_is_named_mended_alone_and_found_again(harmed: Deployment) -> None:
    client, words = harmed.lab.host("client"), {each.words for each in HARMS}
    assert page(client, f"{VPS}:80") is None
    for _ in range(2):  # the same drift twice is found twice
        status, lines = told(harmed)
        assert (status, set(lines)) == (DRIFTED, words)
        assert harmed.preview_steps() == sorted(
            Step("update", COMMAND, each.resource) for each in HARMS
        )
        said = harmed.pulumi("preview").stdout
        assert [each for each in words if each not in said] == []
        assert "rules missing" in harmed.pulumi("preview", "--diff").stdout

        others = [line for line in rules(harmed.lab.host("vps")) if "rt:wg0:http" not in line]
        harmed.up()
        assert page(client, f"{VPS}:80")
        now = rules(harmed.lab.host("vps"))
        assert [line for line in now if "rt:wg0:http" not in line] == others
        assert told(harmed) == (0, [])
        assert harmed.preview_steps() == []
        harm(harmed)


def test_a_host_that_is_off_is_no_drift(harmed: Deployment) -> None:
    """Nobody can know; the others are told of."""
    homelab = harmed.lab.host("homelab")
    homelab.stop()
    try:
        steps = {step.name for step in harmed.preview_steps()}
    finally:
        homelab.start()
    assert steps == {each.resource for each in HARMS if each.host != "homelab"}
