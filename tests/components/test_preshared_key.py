"""Preshared keys: of the peers that ask for one, at both ends, in secret; and of no other."""

import base64
from typing import Any

import pulumi
import pytest

from components import ReverseTunnel
from components.key_pair import private_key
from components.preshared_key import preshared_key
from tests.components.recording import SEED, Recording, deploy
from tests.components.samples import example

SHARED = {name: preshared_key(f"{name}-preshared-seed:{SEED}") for name in ("homelab", "laptop")}


def made(**changes: object) -> Recording:
    settings = example(
        {f"{path.replace('__', '.')}.presharedKey": on for path, on in changes.items()}
    )

    def program() -> dict[str, pulumi.Output[Any]]:
        tunnel = ReverseTunnel("home", settings)
        return {"clients": tunnel.client_configs, "servers": tunnel.server_configs}

    return deploy(program)


@pytest.fixture(scope="module")
def home() -> Recording:
    return made(servers__homelab=True, clients__laptop=True)


def test_the_key_of_a_seed_never_changes() -> None:
    """Another one would cut off every device that was given a file."""
    assert preshared_key("a" * 64) == "8EOr5LYbxT+y3H54zyeqnYTjuk3qWhSzjk7x0hj3Z8M="
    assert len(base64.b64decode(preshared_key("a" * 64))) == 32
    assert preshared_key("a" * 64) != private_key("a" * 64)


def test_the_vps_is_told_by_a_command_of_its_own_after_the_peer(home: Recording) -> None:
    for name, key in SHARED.items():
        command = home.command(f"{name}@preshared-key", name)
        assert command.inputs["stdin"] == f"{key}\n"
        assert "stdin" in command.secrets
        assert f"1 put-preshared-key {name};" in command.inputs["create"]
        assert f"1 remove-preshared-key {name};" in command.inputs["delete"]
        assert any(urn.endswith(f"Command::{name}") for urn in command.depends_on)
        assert command.deleted_with.endswith("::vps-claim")


def test_a_managed_server_gets_it_with_its_private_key(home: Recording) -> None:
    command = home.command("homelab-key", "homelab")
    private = private_key(f"homelab-seed:{SEED}")
    assert command.inputs["stdin"] == f"{private}\npreshared-key {SHARED['homelab']}\n"
    assert "stdin" in command.secrets


def test_a_client_finds_it_in_its_file(home: Recording) -> None:
    files = home.outputs["clients"]
    assert f"\nPresharedKey = {SHARED['laptop']}\n" in files["laptop"]
    assert "PresharedKey" not in files["phone"]
    assert home.secret_outputs == {"clients", "servers"}


def test_handshakes_are_waited_for_after_both_ends_have_it(home: Recording) -> None:
    waiting = home.command("handshake", "home")
    assert any(urn.endswith("::homelab@preshared-key") for urn in waiting.depends_on)


def test_it_is_nowhere_else(home: Recording) -> None:
    key = SHARED["homelab"]
    holders = {each.name for each in home.registrations if key in repr(each)}
    assert holders == {"homelab@preshared-key", "homelab-key"}


def test_without_one_nothing_is_different() -> None:
    """A stack of before must not change by an upgrade."""
    plain = made(servers__homelab=False)
    assert plain.of_type("reverse-tunnel:index:PresharedKey") == {}
    assert not [each for each in plain.commands if "preshared" in repr(each.inputs["create"])]
    assert plain.command("homelab-key", "homelab").inputs["stdin"].count("\n") == 1


def test_switching_it_on_for_one_touches_that_one_alone(home: Recording) -> None:
    changed = {end.rpartition("::")[2] for end in home.changes_since(made(servers__homelab=True))}
    assert changed == {"laptop", "laptop-preshared-seed", "laptop@preshared-key"}
