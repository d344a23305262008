"""Servers and entries that leave and can't be removed, and what is new at a forgotten host."""

from typing import Any

import pytest

from components import LookUpError
from reach.entries.part import Part
from tests.components.inspected import LAPTOP, drifting, heard, run, stack, state_of, without
from tests.components.sshd import Sshd, facts_text
from tests.settings.samples import host_key


@pytest.fixture
def all_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is recorded can be dialled, also through the tunnel."""
    monkeypatch.setattr("components.preflight.leaving.find_closed", lambda _: {})


def leaving(sshd: Sshd, other: Sshd, **ssh: object) -> tuple[dict[str, object], dict[str, Any]]:
    """A VPS that knows a server, of which the stack file says nothing any more; and the state."""
    values = drifting(sshd)
    attic = {"address": "172.16.0.6", "ssh": stack(other, **ssh)["vps"]["ssh"]}
    state = state_of({**values, "servers": {"cabin": {"address": "172.16.0.7"}, "attic": attic}})
    sshd.answers = sshd.answers.replace("peer laptop -", "peer attic - 0 0 0\npeer laptop -")
    return values, state


def test_a_server_that_leaves_and_cannot_be_cleaned_is_told_with_the_way_out(
    sshd: Sshd, other: Sshd
) -> None:
    """A warning in a preview, and an `up` that changes nothing: it would fail at every try."""
    values, state = leaving(sshd, other, port=1)
    (warning,) = heard(run(values, state=state), "WARNING")
    assert "attic (root@127.0.0.1:1): it is no more in the stack file" in warning
    assert "`forget: true`" in warning
    with pytest.raises(LookUpError, match="it is no more in the stack file"):
        run(values, preview=False, state=state)


WITHOUT_SSH = {"cabin": {"address": "172.16.0.7"}, "attic": {"address": "172.16.0.6"}}


def test_so_is_one_that_stays_without_ssh(sshd: Sshd, other: Sshd) -> None:
    """The VPS still has its peer; it is what is set up on the server that has to go."""
    values, state = leaving(sshd, other, port=1)
    values["servers"] = WITHOUT_SSH
    (warning,) = heard(run(values, state=state), "WARNING")
    assert "attic (root@127.0.0.1:1): its ssh is no more in the stack file" in warning
    assert "put its ssh back with `forget: true`" in warning
    with pytest.raises(LookUpError, match="its ssh is no more in the stack file"):
        run(values, preview=False, state=state)


def test_one_that_stays_without_ssh_and_can_be_cleaned_is_not_mentioned(
    sshd: Sshd, other: Sshd
) -> None:
    values, state = leaving(sshd, other)
    made = run({**values, "servers": WITHOUT_SSH}, preview=False, state=state)
    assert not heard(made, "WARNING")
    assert other.tried == 1


def test_a_server_that_leaves_and_can_be_cleaned_is_not_mentioned(sshd: Sshd, other: Sshd) -> None:
    values, state = leaving(sshd, other)
    assert not heard(run(values, preview=False, state=state), "WARNING")
    assert other.tried == 1


def test_a_server_that_was_forgotten_leaves_without_a_word(sshd: Sshd, other: Sshd) -> None:
    values, state = leaving(sshd, other, port=1)
    (tunnel,) = (urn for urn in state if urn.endswith("index:ReverseTunnel::home"))
    state[tunnel]["outputs"] = {"forgotten": ["attic"]}
    assert not heard(run(values, preview=False, state=state), "WARNING")


def test_a_forgotten_host_is_not_looked_at(sshd: Sshd) -> None:
    values = stack(sshd, port=1)
    state = state_of(values)
    made = run({**values, "vps": {**values["vps"], "forget": True}}, preview=False, state=state)
    (warning,) = heard(made, "WARNING")  # what to do next
    assert "vps.forget" in warning


HOMELAB: dict[str, Any] = {
    "address": "172.16.0.4",
    "ssh": {"host": {"through": "vps"}, "hostKey": host_key(2)},
}


@pytest.mark.usefixtures("all_live")
@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("kind", ["clients", "servers"])
def test_a_server_that_is_cleaned_by_the_tunnel_does_not_lose_its_address_before(
    sshd: Sshd, kind: str, *, preview: bool
) -> None:
    """Deletes come last: its tunnel would be another one's by then, and it would keep its own."""
    values: dict[str, Any] = drifting(sshd)
    state = state_of({**values, "servers": {**values["servers"], "homelab": HOMELAB}})
    sshd.answers = sshd.answers.replace("peer laptop -", "peer homelab - 0 0 0\npeer laptop -")
    run(values, preview=preview, state=state)
    values[kind]["cam"] = {"address": "172.16.0.4"}
    with pytest.raises(LookUpError, match=r"homelab .*the tunnel itself, where cam gets its addr"):
        run(values, preview=preview, state=state)
    values[kind]["cam"] = {"address": "172.16.0.5"}
    run(values, preview=preview, state=state)


@pytest.mark.usefixtures("all_live")
def test_but_it_may_be_one_that_is_called_otherwise_by_now_and_is_told_at_home(
    sshd: Sshd, other: Sshd
) -> None:
    """The same for one that was reached without the tunnel."""
    values: dict[str, Any] = drifting(sshd)
    cabin = values["servers"]["cabin"]
    at_home = stack(other)["vps"]["ssh"]
    other.answers = f"{facts_text()}none\n"
    sshd.answers = sshd.answers.replace("peer laptop -", "peer homelab - 0 0 0\npeer laptop -")
    through = {**HOMELAB, "ssh": {**HOMELAB["ssh"], "hostKey": other.host_key}}
    for before in (through, {**HOMELAB, "ssh": at_home}):
        state = state_of({**values, "servers": {"cabin": cabin, "homelab": before}})
        house = {"address": "172.16.0.4", "ssh": at_home}
        run({**values, "servers": {"cabin": cabin, "house": house}}, preview=False, state=state)
    cam = {**values["clients"], "cam": {"address": "172.16.0.4"}}
    run({**values, "clients": cam}, preview=False, state=state)


def forgetting(sshd: Sshd, other: Sshd, host: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stack that forgets this host, which is gone; and the state."""
    values: dict[str, Any] = drifting(sshd)
    ssh = stack(other)["vps"]["ssh"]
    attic: dict[str, Any] = {"address": "172.16.0.6", "ssh": {**ssh, "port": 1}}
    values["servers"]["attic"] = {**attic, "networks": ["192.168.1.30/32"]}
    values["forwards"]["nas"] = {"port": 22, "to": "192.168.1.30", "sourceAddress": "tunnel"}
    state = state_of(values)
    if host == "vps":
        values["vps"] = {**values["vps"], "forget": True}
        values["servers"]["attic"]["ssh"] = ssh
    else:
        values["servers"]["attic"]["forget"] = True
        for line in ("peer attic - 0 0 0", "forward nas ok 0 - - - -"):
            sshd.answers = sshd.answers.replace("peer laptop -", f"{line}\npeer laptop -")
    return values, state


@pytest.mark.parametrize(
    "new", ["attic: its opening for forward nas", "vps: its forward web", "vps: its peer laptop"]
)
def test_what_is_new_at_a_host_that_is_forgotten_is_refused(
    sshd: Sshd, other: Sshd, new: str
) -> None:
    """It would be made on a machine that is gone. What is recorded there stays as it is."""
    host, name = new.partition(":")[0], new.rpartition(" ")[2]
    values, state = forgetting(sshd, other, host)
    run(values, preview=False, state=state)
    with pytest.raises(LookUpError, match=f"{new} is new, and nothing is done there any more"):
        run(values, state=without(without(state, name), f"{name}@{host}"))


@pytest.mark.parametrize("look_up", [True, False], ids=["looked at", "not looked at"])
def test_a_forgotten_host_of_which_nothing_is_recorded_is_not_made(
    sshd: Sshd, other: Sshd, *, look_up: bool
) -> None:
    """As after a destroy, with its entry still there: the machine that is gone would be dialled."""
    values, state = forgetting(sshd, other, "attic")
    values["lookUp"] = look_up
    run(values, preview=False, state=state)
    for name in ("claim", "helper", "key", "interface"):
        state = without(state, f"attic-{name}")
    for name in ("attic", "nas@attic"):
        state = without(state, name)
    with pytest.raises(LookUpError, match="attic: nothing of it is in the state") as refused:
        run(values, preview=False, state=state)
    assert str(refused.value).count("attic") == 2  # the path, too; and nothing else of it
    assert "all of the entry" in str(refused.value)


def test_nor_is_a_forgotten_vps_whose_entry_must_stay(sshd: Sshd) -> None:
    values = stack(sshd)
    with pytest.raises(LookUpError, match=r"vps: nothing of it .* name another one \(vps.ssh\)"):
        run({**values, "vps": {**values["vps"], "forget": True}}, preview=False)


@pytest.mark.parametrize("look_up", [True, False], ids=["looked at", "not looked at"])
def test_but_not_what_is_new_elsewhere_nor_the_rest_of_a_host_that_was_half_made(
    sshd: Sshd, other: Sshd, *, look_up: bool
) -> None:
    """Else one that has died in its first `up` could neither be forgotten nor be taken out."""
    values, state = forgetting(sshd, other, "attic")
    values["lookUp"] = look_up
    for name in ("web", "laptop"):
        state = without(state, name)
    for name in ("attic-interface", "attic-key", "attic-helper"):
        state = without(state, name)
        made = run(values, preview=False, state=state)
        # Nothing of the rest dials it. What was made of it has no delete, and is let go.
        on_attic = {each.name for each in made.commands if each.parent.endswith("Host::attic")}
        assert on_attic == {"attic-claim"}


def taken_out(
    sshd: Sshd, made_by: Sshd | None = None, **by: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stack whose forward and client were taken out; and the state, with another connection."""
    values: dict[str, Any] = drifting(sshd)
    vps = {**values["vps"], **stack(made_by or sshd, **by)["vps"]}
    return {**values, "forwards": {}, "clients": {}}, state_of({**values, "vps": vps})


def test_an_entry_that_leaves_a_machine_that_is_gone_is_told_with_the_way_out(
    sshd: Sshd, other: Sshd
) -> None:
    """Its delete goes by what is recorded: it would dial that machine for ever."""
    values, state = taken_out(sshd, other, port=1)
    sshd.answers = f"{facts_text()}none\n"
    said = "\n".join(heard(run(values, state=state), "WARNING"))
    for entry in ("its forward web", "its peer laptop", "its preshared key of laptop"):
        assert f"vps (root@127.0.0.1:1): {entry} is no more in the stack file" in said
    assert "Put it back for this `pulumi up`, and take it out for the next." in said
    with pytest.raises(LookUpError, match="its forward web is no more in the stack file"):
        run(values, preview=False, state=state)


def test_so_is_one_whose_recorded_way_leads_nowhere_any_more(sshd: Sshd) -> None:
    """The same machine; its sshd has moved, and the new port is in the stack file."""
    values, state = taken_out(sshd, port=1)
    with pytest.raises(LookUpError, match="its forward web is no more in the stack file"):
        run(values, preview=False, state=state)


def test_so_is_a_preshared_key_alone_where_the_host_tells_of_it(sshd: Sshd) -> None:
    """Its peer stays, and nothing else tells that something is to go."""
    values: dict[str, Any] = drifting(sshd)
    state = state_of({**values, "vps": {**values["vps"], **stack(sshd, port=1)["vps"]}})
    sshd.leave_out("peer cabin", "forward web", "text")
    values = {**values, "servers": {}, "forwards": {}, "clients": {"laptop": LAPTOP}}
    run(values, preview=False, state=None)  # an older helper tells of none
    sshd.answers = sshd.answers.replace("metrics\n", "metrics\nshares laptop\n")
    state = {urn: each for urn, each in state.items() if "PortForward" not in urn}
    with pytest.raises(LookUpError, match="its preshared key of laptop is no more"):
        run(values, preview=False, state=without(state, "cabin"))
    values["clients"]["laptop"] = {**LAPTOP, "presharedKey": True}
    run(values, preview=False, state=None)


@pytest.mark.parametrize("part", ["metrics", "firewall"])
def test_so_are_parts_of_the_vps_that_leave_it(sshd: Sshd, part: str) -> None:
    values: dict[str, Any] = drifting(sshd)
    moved = stack(sshd, port=1)["vps"]
    state = state_of({**values, "vps": {**values["vps"], **moved}})
    del values["vps"][part]
    with pytest.raises(LookUpError, match=f"its {part} is no more in the stack file"):
        run(values, preview=False, state=state)


def test_an_entry_that_leaves_by_a_way_that_still_leads_there_is_not_mentioned(
    sshd: Sshd, other: Sshd
) -> None:
    """The way of now was looked at; a machine that lives is cleaned as a whole."""
    values, state = taken_out(sshd)
    assert not heard(run(values, preview=False, state=state), "WARNING")
    values, state = taken_out(sshd, other)
    sshd.answers = f"{facts_text()}none\n"
    assert not heard(run(values, preview=False, state=state), "WARNING")


def test_an_entry_that_leaves_when_its_host_has_got_another_host_key_is_removed(
    sshd: Sshd, other: Sshd, removed: list[object]
) -> None:
    """Its delete is let go with the claim's, which leaves the machine to its new claimant."""
    values, state = taken_out(sshd, other)
    run(values, preview=False, state=state)
    assert removed == [("vps", [(Part.FORWARD, "web"), (Part.PEER, "laptop")])]


def test_but_not_the_peer_of_a_server_that_leaves_which_may_be_cleaned_by_the_tunnel(
    sshd: Sshd, other: Sshd, removed: list[object]
) -> None:
    values, state = taken_out(sshd, other)
    attic = {"address": "172.16.0.6", "ssh": stack(sshd)["vps"]["ssh"]}
    before = {**values, **stack(other), "servers": {**values["servers"], "attic": attic}}
    sshd.answers = sshd.answers.replace("peer laptop -", "peer attic - 0 0 0\npeer laptop -")
    run(values, preview=False, state={**state, **state_of(before)})
    assert removed == [("vps", [(Part.FORWARD, "web"), (Part.PEER, "laptop")])]


def test_nor_the_preshared_key_of_such_a_server_but_that_of_one_that_stays(
    sshd: Sshd, other: Sshd, removed: list[object]
) -> None:
    """By its tunnel, of which that key is a part, it may be cleaned, too."""
    values: dict[str, Any] = drifting(sshd)
    servers = {
        name: {
            "address": f"172.16.0.{number}",
            "presharedKey": True,
            "ssh": {"host": "127.0.0.1", "port": 1, "hostKey": host_key(number)},
        }
        for name, number in (("attic", 6), ("homelab", 4))
    }
    before = {**values, "vps": {**values["vps"], **stack(other)["vps"]}}
    state = state_of({**before, "servers": {**values["servers"], **servers}})
    sshd.answers = sshd.answers.replace(
        "peer laptop -", "peer attic - 0 0 0\npeer homelab - 0 0 0\npeer laptop -"
    ).replace("metrics\n", "metrics\nshares attic homelab laptop\n")
    del servers["attic"]
    servers["homelab"]["presharedKey"] = False
    run({**values, "servers": {**values["servers"], **servers}}, state=state)
    assert removed == [("vps", [(Part.PRESHARED_KEY, "homelab")])]


def test_so_is_one_whose_recorded_way_is_not_the_one_that_leads_there_from_here(
    sshd: Sshd,
) -> None:
    """Both are in the stack file; the one by which it was made is refused from here."""
    values, state = taken_out(sshd, host="127.0.0.2")
    values["vps"] = {**values["vps"], **stack(sshd, host=["127.0.0.2", "127.0.0.1"])["vps"]}
    with pytest.raises(LookUpError, match=r"vps \(root@127\.0\.0\.2.*its forward web is no more"):
        run(values, preview=False, state=state)
    values, state = taken_out(sshd)
    values["vps"] = {**values["vps"], **stack(sshd, host=["127.0.0.2", "127.0.0.1"])["vps"]}
    run(values, preview=False, state=state)


def test_an_entry_that_leaves_a_host_in_the_run_that_forgets_it_is_told(sshd: Sshd) -> None:
    """Only what is still there is forgotten; the rest would be dialled."""
    values, state = taken_out(sshd, port=1)
    values["vps"] = {**values["vps"], "forget": True, "firewall": "none"}
    with pytest.raises(LookUpError, match="its forward web is no more") as error:
        run(values, preview=False, state=state)
    assert "its firewall is no more" in str(error.value)
    (tunnel,) = (urn for urn in state if urn.endswith("index:ReverseTunnel::home"))
    state[tunnel]["outputs"] = {"forgotten": ["vps"]}
    run(values, preview=False, state=state)
