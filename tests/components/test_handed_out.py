"""Who has a file is told of, before an `up` makes it out of date."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.runtime.rpc import UNKNOWN
from pulumi_random import RandomPassword

from components import ReverseTunnel
from reach.entries.recorded import TUNNEL
from tests.components.inspected import (
    LAPTOP,
    NOTHING_YET,
    drifting,
    heard,
    run,
    stack,
    state_of,
)
from tests.components.recording import deploy
from tests.components.sshd import Sshd
from tests.components.test_library import ARGS
from tests.settings.samples import host_key, public_key

LAPTOP_FILE = "laptop ({}): `reverse-tunnel client laptop`"
CABIN_FILE = (
    "cabin ({}): `reverse-tunnel server cabin`, by another way than the tunnel, which may lead"
    " there no more by then"
)
NEW_KEYS = "new keys"


def told(
    values: Mapping[str, object],
    *,
    preview: bool = True,
    was_up: bool = True,
    state: Mapping[str, Any] = NOTHING_YET,
) -> list[str]:
    """The lines about files, one for each machine."""
    return lines(heard(run(values, preview=preview, was_up=was_up, state=state), "WARNING"))


def lines(warnings: list[str]) -> list[str]:
    found = [text for text in warnings if text.startswith("WARNING: Files that ")]
    return [line.strip() for text in found for line in text.splitlines()[1:]]


def changed(values: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """The same with another value at that path."""
    key, _, below = path.partition(".")
    return {**values, key: changed(values.get(key, {}), below, value) if below else value}


@pytest.mark.parametrize(
    ("path", "is_told"),
    [
        ("clients.laptop.keyGeneration", [LAPTOP_FILE]),
        ("servers.cabin.keyGeneration", [CABIN_FILE]),
        ("vps.keyGeneration", [LAPTOP_FILE, CABIN_FILE]),
        ("network.keyGeneration", [LAPTOP_FILE, CABIN_FILE]),
    ],
)
def test_a_preview_names_those_who_get_new_keys(sshd: Sshd, path: str, is_told: list[str]) -> None:
    values = drifting(sshd)
    expected = [line.format(NEW_KEYS) for line in is_told]
    assert told(changed(values, path, 2), state=state_of(values)) == expected


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("vps.endpoint", "203.0.113.10", "Endpoint"),
        ("network.mtu", 1300, "MTU"),
        ("network.keepalive", 20, "PersistentKeepalive"),
        ("clients.laptop.address", "172.16.0.11", "Address"),
        ("clients.laptop.egress", "tunnel", "Address, AllowedIPs"),
        ("clients.laptop.presharedKey", False, "PresharedKey"),
    ],
)
def test_a_preview_says_what_else_is_new_in_a_file(
    sshd: Sshd, path: str, value: object, what: str
) -> None:
    values = drifting(sshd)
    assert LAPTOP_FILE.format(what) in told(changed(values, path, value), state=state_of(values))


def test_what_a_server_does_when_its_tunnel_starts_is_in_its_file_too(sshd: Sshd) -> None:
    values = drifting(sshd)
    (_, line) = told(changed(values, "vps.endpoint", "203.0.113.10"), state=state_of(values))
    assert line == CABIN_FILE.format("PostUp, Endpoint")


def test_it_says_nothing_where_files_stay(sshd: Sshd) -> None:
    values = drifting(sshd)
    assert not told(changed(values, "forwards.web.port", 8080), state=state_of(values))


def test_a_secret_of_a_file_is_not_told(sshd: Sshd) -> None:
    values = drifting(sshd)
    state = state_of(values)
    made = run(changed(values, "vps.endpoint", "203.0.113.10"), state=state)
    (files,) = [text for text in heard(made, "WARNING") if "Files that" in text]
    (tunnel,) = [each["outputs"] for each in state.values() if each["type"] == TUNNEL]
    for line in str(tunnel["clientConfigs"]).split("\\n"):
        _, is_setting, value = line.partition(" = ")
        assert not is_setting or value not in files


def test_who_is_new_has_had_no_file(sshd: Sshd) -> None:
    before = drifting(sshd)
    phone = {"phone": {"address": "172.16.0.11"}}
    values = changed(before, "clients", {**phone, "laptop": {**LAPTOP, "presharedKey": True}})
    (line,) = told(changed(values, "servers.cabin.keyGeneration", 2), state=state_of(before))
    assert line == CABIN_FILE.format(NEW_KEYS)


# ---- another name ----


OWN = {**LAPTOP, "publicKey": public_key(1)}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with other names for both that have a file, at the addresses of before."""
    return {
        **values,
        "servers": {"hut": values["servers"]["cabin"]},
        "clients": {"tablet": values["clients"]["laptop"]},
        "forwards": {"web": {"port": 80, "to": "hut:8080"}},
    }


def test_who_has_another_name_is_named_by_both(sshd: Sshd) -> None:
    """A name is what keys are made for, so it is cut off as by new keys."""
    before = drifting(sshd)
    assert told(renamed(before), state=state_of(before)) == [
        "tablet (new keys; it was laptop): `reverse-tunnel client tablet`",
        CABIN_FILE.replace("cabin", "hut").format("new keys; it was cabin"),
    ]


def test_so_it_is_until_the_new_file_is_recorded(sshd: Sshd) -> None:
    """As where an `up` was broken off: keys are made, and the VPS knows the new one."""
    before = drifting(sshd)
    after = renamed(before)
    seeds = {urn: each for urn, each in state_of(after).items() if urn.endswith("-seed")}
    sshd.answers = sshd.answers.replace("peer cabin", "peer hut").replace(
        "peer laptop", "peer tablet"
    )
    tablet, hut = told(after, state={**state_of(before), **seeds})
    assert tablet.startswith("tablet (PrivateKey, PresharedKey; it was laptop): ")
    assert hut.startswith("hut (PrivateKey; it was cabin): ")


def test_who_keeps_its_own_key_is_named_only_for_what_else_is_new(sshd: Sshd) -> None:
    before = changed(drifting(sshd), "clients", {"laptop": OWN})
    after = changed(before, "clients", {"tablet": OWN})
    state = state_of(before)
    assert not told(after, state=state)
    (line, _) = told(changed(after, "vps.endpoint", "203.0.113.10"), state=state)
    assert line == "tablet (Endpoint; it was laptop): `reverse-tunnel client tablet`"


@pytest.mark.parametrize(
    "clients",
    [
        {"laptop": LAPTOP, "tablet": {"address": "172.16.0.11"}},
        {"tablet": {"address": "172.16.0.11"}},
        {},
    ],
    ids=["a new one", "another one", "one less"],
)
def test_who_comes_or_goes_was_nobody_else(sshd: Sshd, clients: dict[str, Any]) -> None:
    before = changed(drifting(sshd), "clients", {"laptop": LAPTOP})
    assert not told(changed(before, "clients", clients), state=state_of(before))


def test_two_that_swap_their_names_swap_their_addresses(sshd: Sshd) -> None:
    other = {"address": "172.16.0.11"}
    before = changed(drifting(sshd), "clients", {"laptop": LAPTOP, "tablet": other})
    after = changed(before, "clients", {"laptop": other, "tablet": LAPTOP})
    assert told(after, state=state_of(before)) == [
        LAPTOP_FILE.format("Address"),
        LAPTOP_FILE.replace("laptop", "tablet").format("Address"),
    ]


def test_a_name_that_has_left_for_a_login_is_no_former_one(sshd: Sshd) -> None:
    """Cabin gets `ssh` and another address, and a new client its own of before."""
    before = drifting(sshd)
    ssh = {"host": "127.0.0.1", "port": 1, "hostKey": host_key(2)}
    after = changed(before, "servers.cabin", {"address": "172.16.0.8", "ssh": ssh})
    after = changed(after, "clients.tablet", {"address": "172.16.0.7"})
    assert not told(after, state=state_of(before))


def test_a_first_up_makes_nothing_worthless(sshd: Sshd) -> None:
    assert not told({**stack(sshd), "clients": {"laptop": LAPTOP}}, was_up=False)


def test_a_stack_whose_state_was_lost_makes_all_keys_anew(sshd: Sshd) -> None:
    """The VPS still knows them by the ones of before."""
    expected = [line.format(NEW_KEYS) for line in (LAPTOP_FILE, CABIN_FILE)]
    assert told(drifting(sshd), was_up=False) == expected


@pytest.mark.parametrize("unknown", [["clientConfigs"], ["clientConfigs", "serverConfigs"]])
def test_files_of_which_nothing_is_known_are_none(sshd: Sshd, unknown: list[str]) -> None:
    """What an `up` for some targets leaves, where a new client's key was none of them."""
    values = drifting(sshd)
    state = state_of(values)
    for each in state.values():
        if each["type"] == TUNNEL:
            each["outputs"] |= dict.fromkeys(unknown, UNKNOWN)
    is_told = [] if "serverConfigs" in unknown else [CABIN_FILE.format("PostUp, Endpoint")]
    assert told(changed(values, "vps.endpoint", "203.0.113.10"), state=state) == is_told
    # Their keys, too, are the VPS's.
    expected = [line.format(NEW_KEYS) for line in (LAPTOP_FILE, CABIN_FILE)]
    assert told(changed(values, "network.keyGeneration", 2), state=state) == expected


def test_an_up_does_not_say_it_again(sshd: Sshd) -> None:
    values = drifting(sshd)
    state = state_of(values)
    assert not told(changed(values, "network.keyGeneration", 2), preview=False, state=state)


def test_an_endpoint_that_is_about_to_be_made_is_called_so() -> None:
    """As in a program that makes another VPS."""

    def program(keepers: dict[str, str] | None) -> dict[str, pulumi.Output[str]]:
        vps = RandomPassword("address", length=8, keepers=keepers)
        endpoint = vps.result.apply(lambda _: "vps.example.org")
        tunnel = ReverseTunnel("home", {**ARGS, "vps": {**ARGS["vps"], "endpoint": endpoint}})
        return {"at": tunnel.public_address}

    before = deploy(lambda: program(None), preview=True, was_up=True).as_state()
    made = deploy(lambda: program({"address": "new"}), preview=True, was_up=True, state=before)
    assert LAPTOP_FILE.format("another endpoint, or new keys, too") in lines(heard(made, "WARNING"))
