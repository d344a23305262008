"""Drift: what somebody did to a host is found, put right by an `up`, and found again."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.lab.crashes import planned_crashes
from tests.lab.deployment import Deployment, Step
from tests.lab.flows import download
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import rules

COMMAND = "command:remote:Command"
DRIFTED = 3  # the exit status of `reverse-tunnel drift`
HELPER = "/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1"
FILES = "/etc/reverse-tunnel/wg0"
OTHER_HELPER = "attic: its helper: another version"


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
        "systemctl stop reverse-tunnel-wg0-watch",
        "attic-interface",
        "attic: its tunnel: nobody watches over it",
    ),
    Harm(
        "attic",
        "echo '# by hand' >>/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel",
        "attic-helper",
        OTHER_HELPER,
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
        assert [each for each in words - {OTHER_HELPER} if each not in said] == []
        assert "`pulumi up` brings it: attic." in said
        assert OTHER_HELPER not in said
        assert "rules missing" in harmed.pulumi("preview", "--diff").stdout

        others = [line for line in rules(harmed.lab.host("vps")) if "rt:wg0:http" not in line]
        harmed.up()
        assert page(client, f"{VPS}:80", LASTING)
        now = rules(harmed.lab.host("vps"))
        assert [line for line in now if "rt:wg0:http" not in line] == others
        assert told(harmed) == (0, [])
        assert harmed.preview_steps() == []
        harm(harmed)


LOSSES = {
    f"{HELPER} uninstall $(cat {FILES}/owner) $(cat {FILES}/claimant)": "its helper: missing",
    "systemctl disable --now wg-quick@wg0; rm -r /etc/reverse-tunnel /etc/wireguard/wg0.conf": (
        "its tunnel: missing"
    ),
}


@pytest.mark.parametrize("loss", LOSSES, ids=["all", "all but the helper"])
@pytest.mark.parametrize("name", ["vps", "homelab"])
def test_a_host_that_has_lost_the_whole_tunnel_gets_it_again(
    example: Deployment, name: str, loss: str
) -> None:
    """The same machine: its provider has put it back to an older image, or somebody cleaned it."""
    host, client = example.lab.host(name), example.lab.host("client")
    keys = example.output("publicKeys")
    host.run(loss)
    assert told(example) == (DRIFTED, [f"{name}: {LOSSES[loss]}"])
    steps = example.preview_steps()
    assert {step.op for step in steps} == {"update"}
    names = {step.name for step in steps}
    assert names >= {f"{name}-helper", f"{name}-key", f"{name}-interface"}
    assert ({*example.settings("forwards")} <= names) == (name == "vps")
    example.up()
    assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"
    assert example.output("publicKeys") == keys
    assert told(example) == (0, [])
    assert example.preview_steps() == []


def test_a_file_of_a_host_that_is_gone_is_written_again_alone(example: Deployment) -> None:
    """As of before a backup; no rule of it is left when the tunnel has been started anew."""
    vps, client = example.lab.host("vps"), example.lab.host("client")
    vps.run(f"rm {FILES}/forwards.d/http; systemctl restart wg-quick@wg0")
    assert example.preview_steps() == [Step("update", COMMAND, "http")]
    assert "its forward http: missing" in example.pulumi("preview").stdout
    example.up()
    assert page(client, f"{VPS}:80", LASTING)
    assert example.preview_steps() == []


def break_off(deployment: Deployment, forwards: dict[str, Any]) -> None:
    """An `up` to these forwards breaks off when the VPS has http; the stack file is put back."""
    before = deployment.settings("forwards")
    deployment.configure(lookUp=False, forwards=forwards)  # else the helper that dies is put right
    with planned_crashes(deployment.lab.host("vps"), {"put-forward http": "retired-flows"}):
        assert deployment.up(check=False).returncode != 0
    deployment.configure(lookUp=None, forwards=before)


def test_what_an_up_that_broke_off_has_changed_is_put_back_alone_with_the_stack_file(
    example: Deployment,
) -> None:
    """The engine has the words of before, and sees no change in them."""
    vps, client = example.lab.host("vps"), example.lab.host("client")
    forwards = example.settings("forwards")
    break_off(example, {**forwards, "http": {**forwards["http"], "port": 8088}})
    homelab = f"homelab:8080 sees you as {client.address}"
    assert page(client, f"{VPS}:8088", LASTING) == homelab
    # A peer and a tunnel's end as they would be after the same.
    peer, settings = f"{FILES}/peers.d/laptop.conf", f"{FILES}/settings"
    vps.run(f"sed 's/172.16.0.10/172.16.0.99/' {peer} | {HELPER} put-peer laptop")
    example.lab.host("attic").run(
        f"sed 's/keepalive 25/keepalive 20/' {settings} | {HELPER} interface"
    )
    found = {
        "vps: its forward http": "http",
        "vps: its peer laptop": "laptop",
        "attic: its tunnel": "attic-interface",
    }
    status, lines = told(example)
    assert (status, set(lines)) == (
        DRIFTED,
        {f"{each}: the stack file says otherwise" for each in found},
    )
    said = example.pulumi("preview").stdout
    assert [each for each in found if f"  {each}: says otherwise\n" not in said] == []
    assert example.preview_steps() == sorted(
        Step("update", COMMAND, name) for name in found.values()
    )
    example.up()
    assert page(client, f"{VPS}:8088") is None
    assert page(client, f"{VPS}:80", LASTING) == homelab
    assert "172.16.0.10/32" in vps.run("wg show wg0 allowed-ips").stdout
    assert told(example) == (0, [])
    assert example.preview_steps() == []


def test_a_change_that_an_up_is_about_to_make_is_no_drift(example: Deployment) -> None:
    """Also where one that broke off has made it on the host already."""
    forwards = example.settings("forwards")
    changed = {**forwards, "http": {**forwards["http"], "port": 8088}}
    for _ in range(2):
        example.forwards(changed)
        assert example.preview_steps() == [Step("update", COMMAND, "http")]
        assert "otherwise" not in example.pulumi("preview").stdout
        example.forwards(forwards)
        break_off(example, changed)
    example.up()
    assert example.preview_steps() == []


def leave_behind(deployment: Deployment) -> None:
    """An `up` that was broken off has made a forward and a client, an opening, too."""
    vps, homelab = deployment.lab.host("vps"), deployment.lab.host("homelab")
    forwards, clients = deployment.settings("forwards"), deployment.settings("clients")
    deployment.configure(
        lookUp=False,  # else the helper that dies is seen, and put right
        forwards={**forwards, "orphan": {"port": 7000, "to": "homelab:8080"}},
        clients={**clients, "ghost": {"address": "172.16.0.99"}},
    )
    plans = {"put-forward orphan": "retired-flows", "put-peer ghost": "synced-rules"}
    with planned_crashes(vps, plans):
        words = ["up", "--yes", "--skip-preview", "--continue-on-error"]
        assert "failed" in deployment.pulumi(*words, check=False).stdout
    deployment.configure(lookUp=None, forwards=forwards, clients=clients)
    homelab.run(f"echo 'tcp 192.168.1.30:80' | {HELPER} put-opening nas")


def test_what_is_left_of_an_up_that_was_broken_off_is_removed_alone_and_found_again(
    example: Deployment,
) -> None:
    vps, homelab = example.lab.host("vps"), example.lab.host("homelab")
    left = {
        "vps: its forward orphan",
        "vps: its peer ghost",
        "homelab: its opening for forward nas",
    }
    updates = [Step("update", COMMAND, f"{name}-interface") for name in ("homelab", "vps")]
    for _ in range(2):
        before = rules(vps), rules(homelab), vps.run("wg show wg0 allowed-ips | sort").stdout
        leave_behind(example)
        assert page(example.lab.host("client"), f"{VPS}:7000", LASTING)
        status, lines = told(example)
        assert (status, set(lines)) == (
            DRIFTED,
            {f"{each}: the stack file has no such thing" for each in left},
        )
        said = example.pulumi("preview").stdout
        assert [each for each in left if f"{each}: no stack has it" not in said] == []
        steps = example.preview_steps()
        assert [step for step in steps if step.op != "delete"] == updates
        with download(example.lab.host("client"), VPS, 80) as other:
            example.up()
            assert other.end().alive
        now = rules(vps), rules(homelab), vps.run("wg show wg0 allowed-ips | sort").stdout
        assert now == before
        assert page(example.lab.host("client"), f"{VPS}:7000") is None
        assert told(example) == (0, [])
        assert example.preview_steps() == []


def test_a_forward_that_is_taken_out_is_its_own_delete(example: Deployment) -> None:
    forwards = example.settings("forwards")
    forwards.pop("https")
    example.forwards(forwards)
    assert {(step.op, step.name) for step in example.preview_steps()} == {("delete", "https")}
    assert "no stack has it" not in example.pulumi("preview").stdout


def test_a_host_that_is_off_is_no_drift(harmed: Deployment) -> None:
    """Nobody can know; the others are told of."""
    homelab = harmed.lab.host("homelab")
    homelab.stop()
    try:
        steps = {step.name for step in harmed.preview_steps()}
    finally:
        homelab.start()
    assert steps == {each.resource for each in HARMS if each.host != "homelab"}
