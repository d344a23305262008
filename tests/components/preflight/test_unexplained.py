"""What only the state explains: entries that no stack has, and what a host has lost."""

from typing import Any

import pytest

from reach.entries.part import Part
from tests.components.inspected import (
    LAPTOP,
    drifted,
    drifting,
    heard,
    run,
    stack,
    state_of,
    without,
)
from tests.components.recording import COMMAND
from tests.components.sshd import Sshd, facts_text

# What a host tells of a tunnel that is set up
SETTINGS = ("role", "unit", "firewall", "metrics", "interface", "peer", "forward", "text")
NOT_THE_HELPER = {
    *("vps-key", "vps-interface", "vps-metrics", "vps-firewall", "vps-firewall-kept"),
    *("cabin", "laptop", "laptop@preshared-key", "web"),
}


@pytest.mark.parametrize("preview", [True, False])
def test_entries_that_neither_the_stack_file_nor_the_state_knows_are_named_and_removed(
    sshd: Sshd, removed: list[object], *, preview: bool
) -> None:
    values = drifting(sshd)
    state = run(values).as_state()
    gone = {**values, "forwards": {}, "clients": {}}
    made = run(gone, preview=preview, state=without(without(state, "web"), "laptop"))
    assert removed == [("vps", [(Part.FORWARD, "web"), (Part.PEER, "laptop")])]
    assert drifted(made) == {"vps-interface"}
    (warning,) = heard(made, "WARNING")
    for line in ("its forward web: no stack has it", "its peer laptop: no stack has it"):
        assert f"\n  vps: {line}" in warning
    for word in ("web", "laptop"):  # they are the host's own, and the text is recorded
        assert word not in made.command("vps-interface", "vps").inputs["update"]


def test_so_is_a_preshared_key_that_a_peer_has_no_more(sshd: Sshd, removed: list[object]) -> None:
    values: dict[str, Any] = drifting(sshd)
    sshd.answers = sshd.answers.replace("metrics\n", "metrics\nshares laptop\n")
    state = run(values).as_state()
    values["clients"] = {"laptop": LAPTOP}
    run(values, state=state)
    assert removed == []  # its own delete does that
    made = run(values, state=without(state, "laptop@preshared-key"))
    assert removed == [("vps", [(Part.PRESHARED_KEY, "laptop")])]
    assert drifted(made) == {"vps-interface"}


def test_a_preshared_key_that_the_host_has_no_more_is_made_again(sshd: Sshd) -> None:
    values = drifting(sshd)
    state = run(values).as_state()
    healthy = sshd.answers
    for told, again in (("shares laptop", set()), ("shares", {"laptop@preshared-key"})):
        sshd.answers = healthy.replace("metrics\n", f"metrics\n{told}\n")
        assert drifted(run(values, state=state)) == again


def test_an_entry_of_the_state_is_left_to_its_own_delete(sshd: Sshd, removed: list[object]) -> None:
    values = drifting(sshd)
    state = run(values).as_state()
    made = run({**values, "forwards": {}, "clients": {}}, state=state)
    assert removed == []
    assert drifted(made) == set()
    assert not heard(made, "WARNING")


def test_a_firewall_that_was_taken_back_is_put_to_the_trial_again(sshd: Sshd) -> None:
    state = run(drifting(sshd)).as_state()
    values = drifting(sshd, firewall="none")
    made = run(values, state=state)
    assert drifted(made) == {"vps-firewall", "vps-firewall-kept"}
    (warning,) = heard(made, "WARNING")
    assert "\n  vps: its firewall: taken back" in warning
    # One that was never made is about to be.
    assert drifted(run(values, state=without(state, "vps-firewall"))) == set()
    # And one that is not wanted is none that was taken back.
    assert drifted(run({**values, "vps": stack(sshd)["vps"]}, state=state)) == set()


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    ("left_out", "lost"),
    [
        (("forward web",), {"web"}),
        (("peer laptop",), {"laptop", "laptop@preshared-key"}),
        (("metrics",), {"vps-metrics"}),
        (SETTINGS, NOT_THE_HELPER),
    ],
    ids=["a forward", "a peer", "metrics", "its settings"],
)
def test_what_a_host_was_given_and_has_no_more_is_made_again(
    sshd: Sshd, *, preview: bool, left_out: tuple[str, ...], lost: set[str]
) -> None:
    """Its files come from a backup, or somebody has deleted one."""
    values = drifting(sshd)
    state = run(values).as_state()
    sshd.leave_out(*left_out)
    made = run(values, preview=preview, state=state)
    assert drifted(made) == lost
    (warning,) = heard(made, "WARNING")
    assert all(f"{name}: missing" in warning for name in ("web", "laptop") if name in lost)
    assert warning.count(": missing") == len(lost - {"vps-firewall-kept"})
    # What was never made is about to be.
    for name in lost:
        state = without(state, name)
    assert drifted(run(values, preview=preview, state=state)) == set()


def test_an_interface_that_was_never_made_is_not_lost_nor_is_what_came_before_it(
    sshd: Sshd,
) -> None:
    """A first `up` that failed there: the next one goes on."""
    values = drifting(sshd)
    sshd.leave_out(*SETTINGS)
    state = run(values).as_state()
    begun = {
        urn: each
        for urn, each in state.items()
        if each["type"] != COMMAND or urn.endswith(("-claim", "-helper", "-key"))
    }
    assert drifted(run(values, state=begun)) == set()


@pytest.mark.parametrize("lost", ["homelab-key", "homelab", ""])
def test_handshakes_are_waited_for_again_where_the_two_ends_have_lost_each_other(
    sshd: Sshd, other: Sshd, lost: str
) -> None:
    values: dict[str, Any] = drifting(sshd)
    attic = {"address": "172.16.0.4", "ssh": stack(other)["vps"]["ssh"]}
    values["servers"] = {**values["servers"], "homelab": attic}
    sshd.answers = sshd.answers.replace("peer cabin -", "peer homelab - 0 0 0\npeer cabin -")
    other.answers = f"{facts_text()}none\n"
    state = run(values).as_state()
    if lost == "homelab":
        sshd.leave_out("peer homelab")
    kept = without(state, "homelab-key") if lost != "homelab-key" else state
    made = run(values, preview=False, state=kept)
    assert ("handshake" in drifted(made)) == bool(lost)


NO_FILES = "helper 1\ndigest -\nowner -\nclaimant -\nend 1764290000\n"


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("told", ["none\n", NO_FILES], ids=["all", "all but the helper"])
def test_a_host_that_has_lost_the_whole_tunnel_gets_it_again(
    sshd: Sshd, *, preview: bool, told: str
) -> None:
    """The same machine: it was put back to an older image, with its host key, or cleaned up."""
    values = drifting(sshd)
    state = run(values).as_state()
    sshd.answers = f"{facts_text()}{told}"
    made = run(values, preview=preview, state=state)
    assert drifted(made) == {"vps-helper", *NOT_THE_HELPER}
    assert "vps: its helper: missing" in heard(made, "WARNING")[0]
    components = {urn: each for urn, each in state.items() if each["type"] != COMMAND}
    for never in ({}, components):
        assert drifted(run(values, preview=preview, state=never)) == set()


@pytest.mark.parametrize(
    "told", ["", "helper 1\nowner -\n", "helper 1\nowner -\nrole vps\nend 1\n"]
)
def test_a_helper_that_tells_nothing_is_brought_again(sshd: Sshd, told: str) -> None:
    """It is too old, or damaged; or whose tunnel it has, is all that is gone."""
    values = drifting(sshd)
    state = run(values).as_state()
    sshd.answers = facts_text("wg0 reverse-tunnel/home 51820 172.16.0.1/24") + told
    made = run(values, state=state)
    assert drifted(made) == {"vps-helper"}
    assert "vps: its helper: tells nothing" in heard(made, "WARNING")[0]


def test_what_a_tunnel_that_is_down_does_not_tell_is_not_taken_for_lost(sshd: Sshd) -> None:
    values = drifting(sshd)
    state = run(values).as_state()
    sshd.leave_out("interface", "peer", "forward")
    assert drifted(run(values, state=state)) == {"vps-interface"}


def test_what_another_machine_was_given_is_not_taken_for_lost(sshd: Sshd, other: Sshd) -> None:
    values: dict[str, Any] = drifting(sshd)
    before = state_of({**values, "vps": {**values["vps"], **stack(other)["vps"]}})
    sshd.answers = f"{facts_text()}none\n"
    assert drifted(run(values, state=before)) == set()
