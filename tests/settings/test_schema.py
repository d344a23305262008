"""The schema for editors is current, takes the example, and refuses what it can see is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from settings import load
from settings.schema import FILE, text
from tests.settings.samples import ABSENT, SSH_KEY, changed, host_key

EXAMPLE = Path(__file__).parents[2] / "stacks" / "Pulumi.example.yaml"
VALIDATOR = Draft202012Validator(json.loads(text()))


def file_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the stack file that has these values, its SSH key encrypted."""
    if values.get("sshPrivateKey") == SSH_KEY:
        values = {**values, "sshPrivateKey": {"secure": "v1:abc"}}
    return {"config": {f"reverse-tunnel:{key}": value for key, value in values.items()}}


def test_the_committed_schema_is_that_of_the_models() -> None:
    """`python -m settings.schema` renews it."""
    assert FILE.read_text(encoding="utf-8") == text()


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(text()))


def test_the_example_is_right_for_the_schema_and_for_us() -> None:
    content = EXAMPLE.read_text(encoding="utf-8")
    stack = yaml.safe_load(content)
    VALIDATOR.validate(stack)
    settings = load(
        {key.removeprefix("reverse-tunnel:"): value for key, value in stack["config"].items()},
        agent=True,
    )

    assert content.startswith("# yaml-language-server: $schema=schema.json\n")
    assert list(settings.forwards) == ["http", "https", "game"]
    assert list(settings.managed_servers) == ["homelab", "attic"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": ABSENT},
        {"network": None, "lookUp": None},
        {"servers": None, "clients": None, "forwards": None},
        {"lookUp": "false"},
        {"lookUp": False},
        {"sshPrivateKey": ABSENT},
        {"forwards.http.port": "80-81"},
        {"vps.ssh.hostKey": f"{host_key(1)} root@vps\n"},
        {"servers.homelab.ssh.host": {"through": "vps"}},
        {"servers.homelab.ssh.host": ["192.168.1.20", "homelab.lan", {"through": "vps"}]},
        {"servers.homelab.networks": ["192.168.1.0/24"], "forwards.http.to": "192.168.1.30:22"},
        {"forwards.game.to": "homelab:28000-28037", "forwards.game.protocol": "tcp+udp"},
        {"forwards.http.from": ["203.0.113.7"], "forwards.http.limit": {"concurrent": 5}},
        {"forwards.http.enabled": False, "forwards.http.comment": " über $x "},
        {"vps.firewall": "defaultDeny", "vps.allow": {"x": {"from": ["laptop"], "to": "vps"}}},
        {"network.keyGeneration": 2, "vps.keyGeneration": 1, "servers.attic.keyGeneration": 3},
        {"servers.attic.egress": "tunnel", "clients.phone.mtu": 1280},
        {
            "network.ipv6": "fd5c:91e2:7a3b::/64",
            "servers.attic.ipv6": "fd5c:91e2:7a3b::6:1",
            "forwards.http.from": ["2001:db8::/32", "2001:db8::1", "10.0.0.0/8"],
        },
    ],
)
def test_the_schema_takes_what_is_right(changes: dict[str, object]) -> None:
    VALIDATOR.validate({**file_of(changed(changes)), "encryptionsalt": "v1:abc"})


def test_what_an_editor_may_insert_is_right() -> None:
    network = json.loads(text())["properties"]["config"]["properties"]["reverse-tunnel:network"]
    VALIDATOR.validate(file_of(changed({"network": network["default"]})))


def test_the_schema_leaves_other_projects_keys_alone() -> None:
    stack = file_of(changed({}))
    stack["config"]["aws:region"] = "eu-central-1"
    VALIDATOR.validate(stack)


@pytest.mark.parametrize(
    "changes",
    [
        {"vps": ABSENT},
        {"sshPrivateKey": "in clear"},
        {"ports": {}},
        {"networks": {}},
        {"lookUp": "maybe"},
        {"network.listenport": 51820},
        {"network.mtu": 9000},
        {"network.keyGeneration": 0},
        {"clients.laptop.keyGeneration": "2"},
        {"network.ipv6": "fd5c:91e2:7a3b::"},
        {"network.interface": "default"},
        {"vps.ssh.hostKey": "SHA256:abc"},
        {"vps.packages": "apt"},
        {"servers.attic.ssh.host": []},
        {"servers.attic.ssh.host": ["a", "a"]},
        {"servers.attic.ssh.host": {"through": "homelab"}},
        {"servers.attic.ssh.host": [{"host": "attic"}]},
        {"servers.vps": {"address": "172.16.0.9"}},
        {"servers.Attic": {"address": "172.16.0.9"}},
        {"servers.attic.address": ABSENT},
        {"clients.phone.publicKey": "abc"},
        {"forwards.http.port": 70000},
        {"forwards.http.port": "80:90"},
        {"forwards.http.protocol": "icmp"},
        {"forwards.http.to": "homelab;"},
        {"forwards.http": None},
        {"forwards.http.limit": None},
        {"servers.attic.ssh": None},
        {"vps": None},
        {"forwards.http.enabled": "no"},
        {"forwards.http.from": []},
        {"forwards.http.from": "203.0.113.7"},
        {"forwards.http.from": ["everybody"]},
        {"forwards.http.limit": {"newPerSecond": 0}},
        {"forwards.http.limit": {"perSecond": 5}},
        {"forwards.http.comment": "a" * 121},
        {"forwards.http.sourceAddress": "server"},
        {"servers.attic.networks": [5]},
        {"servers.attic.egress": "vps"},
        {"clients.laptop.networks": ["192.168.1.0/24"]},
        {"vps.firewall": True},
        {"vps.allow": {"x": {"to": "vps"}}},
        {"vps.allow": {"X": {"from": ["laptop"], "to": "vps"}}},
    ],
)
def test_the_schema_refuses_what_it_can_see(changes: dict[str, object]) -> None:
    assert not VALIDATOR.is_valid(file_of(changed(changes)))
