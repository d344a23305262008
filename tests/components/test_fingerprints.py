"""What a host has in other words than it was given, told from what is about to change."""

from collections.abc import Mapping
from typing import Any

import pytest

from reach import claimant
from reach.entries.drift import SAYS_OTHERWISE
from reach.shell import helper_digest
from tests.components.inspected import (
    TEXTS,
    drifted,
    drifting,
    heard,
    run,
    stack,
    state_of,
    text_line,
    without,
)
from tests.components.sshd import Sshd, facts_text

COMMANDS = {
    "interface -": ("its tunnel", {"vps-interface"}),
    "metrics -": ("its metrics", {"vps-metrics"}),
    "firewall -": ("its firewall", {"vps-firewall", "vps-firewall-kept"}),
    "peer laptop": ("its peer laptop", {"laptop"}),
    "forward web": ("its forward web", {"web"}),
}


def tell(sshd: Sshd, entry: str, text: str = "another\n") -> None:
    """Has the host tell of another text."""
    line = text_line(entry, TEXTS[entry])
    assert line in sshd.answers
    sshd.answers = sshd.answers.replace(line, text_line(entry, text))


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("entry", COMMANDS)
def test_what_a_host_has_in_other_words_than_it_was_given_is_given_again_alone(
    sshd: Sshd, *, preview: bool, entry: str
) -> None:
    """An `up` was broken off that had changed it there, and the stack file was put back."""
    values = drifting(sshd)
    state = run(values).as_state()
    tell(sshd, entry)
    made = run(values, preview=preview, state=state)
    words, commands = COMMANDS[entry]
    assert drifted(made) == commands
    (warning,) = heard(made, "WARNING")
    assert warning.endswith(f"a full one puts that right:\n  vps: {words}: says otherwise")


@pytest.mark.parametrize("third", [False, True], ids=["as recorded", "a third text"])
@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        ("interface -", {"network": {"mtu": 1400}}),
        ("peer laptop", {"clients": {"laptop": {"address": "172.16.0.11"}}}),
        ("forward web", {"forwards": {"web": {"port": 81, "to": "cabin:8080"}}}),
    ],
)
def test_a_change_that_is_about_to_be_made_is_no_drift(
    sshd: Sshd, *, entry: str, changes: Mapping[str, object], third: bool
) -> None:
    """Whatever the host has of it, the next `up` gives it the new text anyway."""
    values = drifting(sshd)
    state = run(values).as_state()
    if third:
        tell(sshd, entry)
    made = run({**values, **changes}, state=state)
    assert drifted(made) == set()
    assert not [line for line in heard(made, "WARNING") if SAYS_OTHERWISE in line]


def test_a_host_that_has_already_what_is_about_to_be_recorded_is_no_drift(sshd: Sshd) -> None:
    """The `up` that was broken off is made once more."""
    values = drifting(sshd)
    state = run(values).as_state()
    tell(sshd, "forward web", "tcp 81 -> 172.16.0.7:8080\n")
    changed: dict[str, object] = {"forwards": {"web": {"port": 81, "to": "cabin:8080"}}}
    made = run({**values, **changed}, state=state)
    assert drifted(made) == set()
    assert not heard(made, "WARNING")


def test_what_is_in_no_record_is_about_to_be_made(sshd: Sshd, other: Sshd) -> None:
    """Also what another machine was given: all of it is made anew."""
    values: dict[str, Any] = drifting(sshd)
    state = run(values).as_state()
    before = state_of({**values, "vps": {**values["vps"], **stack(other)["vps"]}})
    tell(sshd, "forward web")
    assert drifted(run(values, state=state)) == {"web"}
    assert drifted(run(values, state=without(state, "web"))) == set()
    assert "web" not in drifted(run(values, state=before))


def test_an_older_helper_does_not_tell_and_nothing_is_said(sshd: Sshd) -> None:
    values = drifting(sshd)
    state = run(values).as_state()
    sshd.leave_out("text")
    assert drifted(run(values, state=state)) == set()


def test_the_state_is_read_where_words_differ_and_not_where_they_do_not(sshd: Sshd) -> None:
    """That takes long; and a healthy stack is looked at most often."""
    values = {**drifting(sshd), "servers": {}, "forwards": {}}
    sshd.leave_out("peer cabin", "forward web")
    run(values, state=None)
    tell(sshd, "forward web")  # of what the stack file has no more
    run(values, state=None)
    tell(sshd, "peer laptop")
    with pytest.raises(Exception, match="this program has no reason to ask for the state"):
        run(values, state=None)


def test_both_words_are_said_of_a_forward_with_other_rules_and_another_text(sshd: Sshd) -> None:
    values = drifting(sshd, web="differs")
    state = run(values).as_state()
    tell(sshd, "forward web")
    (warning,) = heard(run(values, state=state), "WARNING")
    assert "\n  vps: its forward web: rules changed, says otherwise" in warning


@pytest.mark.parametrize("given", ["vps-firewall", "vps-firewall-kept"])
def test_a_firewall_that_was_tried_or_kept_alone_is_put_to_the_trial_again(
    sshd: Sshd, given: str
) -> None:
    """Broken off between the two, and put back: the engine would run but one of them."""
    values = drifting(sshd)
    state = run(values).as_state()
    tell(sshd, "firewall -")
    for urn, resource in state.items():
        if urn.endswith(f"::{given}"):
            resource["outputs"] = {**resource["outputs"], "stdin": "another\n"}
    assert drifted(run(values, state=state)) == {"vps-firewall", "vps-firewall-kept"}


def test_an_opening_is_given_again_to_its_server(sshd: Sshd, other: Sshd) -> None:
    values: dict[str, Any] = drifting(sshd)
    ssh = stack(other)["vps"]["ssh"]
    homelab = {"address": "172.16.0.4", "networks": ["192.168.1.0/24"], "ssh": ssh}
    values["servers"] = {**values["servers"], "homelab": homelab}
    values["forwards"] = {**values["forwards"], "nas": {"port": 2222, "to": "192.168.1.30:22"}}
    report = (
        f"helper 1\ndigest {helper_digest()}\nowner reverse-tunnel/home\n"
        f"claimant {claimant('homelab', other.host_key)}\nrole server\nunit enabled\n"
        "interface up kernel\npeer vps - 0 0 0\nopening nas ok\n"
    )
    more = "forward nas ok 0 - - - -\npeer homelab - 0 0 0\n"
    sshd.answers = sshd.answers.replace("peer cabin -", f"{more}peer cabin -")
    state = state_of(values)
    for text, again in (("tcp 192.168.1.30:22\n", set()), ("another\n", {"nas@homelab"})):
        told = text_line("opening nas", text)
        other.answers = f"{facts_text()}{report}{told}\nend 1764290000\n"
        assert drifted(run(values, state=state)) == again
