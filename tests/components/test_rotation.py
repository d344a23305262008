"""New keys: of those whose number changes, in an order that never locks anybody out."""

from collections.abc import Mapping

import pulumi
import pytest

from components import ReverseTunnel
from tests.components.recording import Recording, deploy
from tests.components.samples import example
from tests.settings.samples import ABSENT

SEED = "random:index/randomPassword:RandomPassword"
ALL = {
    "network.keyGeneration": 2,
    "servers.homelab.presharedKey": True,
    "clients.laptop.presharedKey": True,
}


def made(changes: Mapping[str, object]) -> Recording:
    settings = example(changes)

    def program() -> dict[str, pulumi.Output[str]]:
        ReverseTunnel("home", settings)
        return {}

    return deploy(program)


def keepers(recording: Recording) -> dict[str, str]:
    """The generation of each seed that has one."""
    return {
        name: seed.inputs["keepers"]["generation"]
        for name, seed in recording.of_type(SEED).items()
        if seed.inputs.get("keepers")
    }


def stdin(recording: Recording, name: str, parent: str) -> list[str]:
    lines: list[str] = recording.command(name, parent).inputs["stdin"].splitlines()
    return lines


def waits_for(recording: Recording, name: str, parent: str) -> set[str]:
    """The commands that come first, by their names."""
    urns = recording.command(name, parent).depends_on
    return {urn.rpartition("::")[2] for urn in urns if "remote:Command::" in urn}


@pytest.fixture(scope="module")
def everybody() -> Recording:
    return made(ALL)


def test_the_first_generation_is_that_of_stacks_that_know_of_none() -> None:
    plain = made({})
    places = ("network", "vps", "servers.homelab", "clients.laptop")
    assert not plain.changes_since(made({f"{place}.keyGeneration": 1 for place in places}))
    assert keepers(plain) == {}


@pytest.mark.parametrize("keepalive", [25, 0])
def test_the_way_back_to_the_first_generation_is_as_safe_as_the_way_from_it(
    keepalive: int,
) -> None:
    """Its seeds are others, too. So nothing but seeds tells one generation from another."""
    silent = {"network.keepalive": keepalive}
    first, second = made(silent), made({**silent, "network.keyGeneration": 2})
    assert first.changes_since(second) == {f"{SEED}::{name}" for name in first.of_type(SEED)}
    for one in (first, second):
        assert "hand-over" in stdin(one, "homelab", "homelab")
        assert stdin(one, "vps-key", "vps")[1:] == ["staged"]
        assert waits_for(one, "homelab-key", "homelab") == {"homelab-helper", "homelab"}
        assert waits_for(one, "handshake", "home") >= {"homelab-interface", "homelab"}


def test_a_number_gives_that_one_a_new_seed_and_nobody_else() -> None:
    one = made({"servers.homelab.keyGeneration": 2, "servers.homelab.presharedKey": True})
    assert keepers(one) == {"homelab-seed": "1.2", "homelab-preshared-seed": "1.2"}
    other = made({"servers.homelab.keyGeneration": 3, "servers.homelab.presharedKey": True})
    changed = {end.rpartition("::")[2] for end in other.changes_since(one)}
    assert changed == {"homelab-seed", "homelab-preshared-seed"}


def test_the_networks_number_gives_everybody_new_seeds(everybody: Recording) -> None:
    assert keepers(everybody) == dict.fromkeys(everybody.of_type(SEED), "2.1")
    assert len(keepers(everybody)) == 7
    twice = made({**ALL, "vps.keyGeneration": 2})
    assert keepers(twice)["vps-seed"] == "2.2"


def test_the_vps_hears_of_a_servers_new_key_before_the_server_has_it(everybody: Recording) -> None:
    assert waits_for(everybody, "homelab-key", "homelab") == {
        "homelab-helper",
        "homelab@preshared-key",
    }
    assert waits_for(everybody, "attic-key", "attic") == {"attic-helper", "attic"}


def test_the_vps_leaves_its_key_last_of_all(everybody: Recording) -> None:
    """Its own command only lays the new one ready; the one that waits for handshakes takes it."""
    assert stdin(everybody, "vps-key", "vps")[1:] == ["staged"]
    last = waits_for(everybody, "handshake", "home")
    assert last >= {"homelab-interface", "attic-interface", "homelab@preshared-key", "attic"}


def test_only_a_managed_servers_old_key_is_good_until_the_new_one_is_heard(
    everybody: Recording,
) -> None:
    """Who has stolen a client device, or its file, is out at once."""
    peers = [("homelab", True), ("attic", True), ("laptop", False)]
    assert [("hand-over" in stdin(everybody, name, name)) for name, _ in peers] == [
        lasts for _, lasts in peers
    ]


@pytest.mark.parametrize(("keepalive", "silent"), [(0, True), (25, False)])
def test_without_keepalive_handshakes_are_waited_for_only_if_the_vps_gets_a_new_key(
    keepalive: int, *, silent: bool
) -> None:
    one = made({"network.keepalive": keepalive})
    assert ("silent" in stdin(one, "handshake", "home")) == silent


def test_without_managed_servers_the_vps_takes_its_key_at_once() -> None:
    alone = made({"servers": ABSENT, "forwards": ABSENT, "vps.keyGeneration": 2})
    assert len(stdin(alone, "vps-key", "vps")) == 1
