"""What only the state explains: entries that no stack has, and machines that are others by now."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi
import pytest

from components import LookUpError, inspection, lookup
from components.record import read_record
from reach import Login, connection
from reach.drift import Part
from tests.components.inspected import drifted, drifting, heard, run, stack
from tests.components.recording import COMMAND, Recording, deploy
from tests.components.sshd import Sshd, facts_text, running
from tests.settings.samples import host_key

# What a host tells of a tunnel that is set up
SETTINGS = ("role", "unit", "firewall", "metrics", "interface", "peer", "forward")
NOT_THE_HELPER = {
    *("vps-key", "vps-interface", "vps-metrics", "vps-firewall", "vps-firewall-kept"),
    *("cabin", "laptop", "laptop@preshared-key", "web"),
}


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with running(Sshd()) as server:
        yield server


# ---- entries ----


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[tuple[Part, str]]]]:
    """What is to be removed: the host and the entries. Mocks can't call back at an update."""
    asked: list[tuple[str, Sequence[tuple[Part, str]]]] = []

    def removal(host: str, ways: Sequence[Login], interface: str, entries: Any) -> None:  # noqa: ANN401
        assert [way.host for way in ways] == ["127.0.0.1"]
        assert interface == "wg0"
        asked.append((host, entries))

    monkeypatch.setattr(inspection, "removal", removal)
    return asked


def without(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {urn: resource for urn, resource in state.items() if not urn.endswith(f"::{name}")}


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


LAPTOP = {"address": "172.16.0.10"}


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


def lines_without(sshd: Sshd, *starts: str) -> None:
    """What the host tells, without the lines that start so."""
    words = [each.split() for each in starts]
    kept = [
        line
        for line in sshd.answers.splitlines()
        if not any(line.split()[: len(start)] == start for start in words)
    ]
    sshd.answers = "\n".join([*kept, ""])


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
    lines_without(sshd, *left_out)
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
    lines_without(sshd, *SETTINGS)
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
    sshd.answers = sshd.answers.replace("peer cabin", "peer homelab - 0 0 0\npeer cabin")
    other.answers = f"{facts_text()}none\n"
    state = run(values).as_state()
    if lost == "homelab":
        lines_without(sshd, "peer homelab")
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
    lines_without(sshd, "interface", "peer", "forward")
    assert drifted(run(values, state=state)) == {"vps-interface"}


def test_what_another_machine_was_given_is_not_taken_for_lost(sshd: Sshd, other: Sshd) -> None:
    values: dict[str, Any] = drifting(sshd)
    before = state_of({**values, "vps": {**values["vps"], **stack(other)["vps"]}})
    sshd.answers = f"{facts_text()}none\n"
    assert drifted(run(values, state=before)) == set()


def test_commands_of_the_program_s_own_are_left_alone(sshd: Sshd) -> None:
    """A library's user has commands that lack what ours have, and names that look like ours."""
    values = drifting(sshd)
    state = run(values).as_state()
    urn = "urn:pulumi:home::reverse-tunnel::command:remote:Command::a::name-helper"
    own = {"type": COMMAND, "outputs": {"connection": {"host": "192.0.2.9"}}}
    gone: dict[str, object] = {**values, "forwards": {}, "clients": {}}
    assert drifted(run(gone, state={**state, urn: own})) == set()


# ---- hosts that are other machines than before ----


@pytest.fixture
def other(sshd: Sshd) -> Iterator[Sshd]:
    """Another machine, with the same login."""
    with running(Sshd(client_key=sshd.client_key)) as server:
        yield server


def state_of(values: Mapping[str, object]) -> dict[str, Any]:
    """What an `up` of these settings has left; nobody need be there."""
    return run({**values, "lookUp": False}).as_state()


def moved(sshd: Sshd, other: Sshd, **before: object) -> Recording:
    """The VPS was `other`, and is `sshd`."""
    return run(stack(sshd), state=state_of(stack(other, **before)))


def in_place(made: Recording) -> set[str]:
    """The commands that other triggers do not replace."""
    return {each.name for each in made.commands if "triggers[*]" not in each.replaced_by}


def test_a_machine_that_lives_is_replaced_and_cleaned(sshd: Sshd, other: Sshd) -> None:
    made = moved(sshd, other)
    assert other.tried == 1
    assert in_place(made) == set()
    assert not heard(made, "WARNING")


def test_names_of_servers_that_are_in_those_of_the_vps_s_commands_are_told_apart(
    sshd: Sshd,
) -> None:
    """Else such a server would have been the VPS, and another machine by now."""
    numbers = {"vps-firewall": 4, "preshared-key": 5, "vps-key": 6, "vps-firewall-kept": 8}
    values: dict[str, Any] = drifting(sshd)
    values["servers"] |= {
        name: {
            "address": f"172.16.0.{number}",
            "networks": [f"10.0.{number}.0/24"],
            "ssh": {"host": "192.168.1.20", "hostKey": host_key(number)},
        }
        for name, number in numbers.items()
    }
    values["forwards"]["nas"] = {"port": 22, "to": "10.0.5.1", "sourceAddress": "tunnel"}
    state = state_of(values)
    found: dict[str, Sequence[Login]] = {}

    def program() -> dict[str, pulumi.Output[str]]:
        found.update(read_record().machines)
        return {}

    deploy(program, state=state)
    assert {name: [each.host_key for each in machines] for name, machines in found.items()} == {
        "vps": [sshd.host_key],
        **{name: [host_key(number)] for name, number in numbers.items()},
    }


def test_a_machine_that_is_gone_is_forgotten_and_everything_made_on_the_new_one(
    sshd: Sshd, other: Sshd
) -> None:
    made = moved(sshd, other, port=1)
    assert in_place(made) == {"vps-claim", "vps-helper", "vps-key", "vps-interface"}
    (warning,) = heard(made, "WARNING")
    assert "Machines that are taken for gone." in warning
    assert "vps was root@127.0.0.1:1: the host refuses connections" in warning


def test_a_machine_that_lives_and_cannot_be_cleaned_is_told_with_the_way_out(
    sshd: Sshd, other: Sshd
) -> None:
    """It would keep the tunnel and its key, and come in its successor's place now and then."""
    with pytest.raises(LookUpError) as error:
        moved(sshd, other, user="nobody")
    assert "vps was nobody@127.0.0.1" in str(error.value)
    assert "the login as nobody is refused" in str(error.value)
    assert "vps.forget: true" in str(error.value)


@pytest.mark.parametrize("ill", ["silent", "breaks_off"])
def test_so_is_one_that_lets_in_and_does_nothing(
    sshd: Sshd, other: Sshd, monkeypatch: pytest.MonkeyPatch, ill: str
) -> None:
    """Under load, or at the moment of its restart."""
    monkeypatch.setattr(lookup, "PROBE_SECONDS", 0.5)
    setattr(other, ill, True)
    with pytest.raises(LookUpError, match=r"vps was root@127\.0\.0\.1.*still runs"):
        moved(sshd, other)


def test_one_behind_a_jump_of_which_nothing_is_known_is_not_taken_for_gone(
    sshd: Sshd, other: Sshd
) -> None:
    """Who passes nothing on has not said that nobody is there."""
    other.passes_on = False

    def values(ssh: object) -> dict[str, object]:
        return {**stack(other), "servers": {"attic": {"address": "172.16.0.6", "ssh": ssh}}}

    state = state_of(values({"host": {"through": "vps"}, "hostKey": host_key(8)}))
    with pytest.raises(LookUpError, match=r"attic was root@172\.16\.0\.6 .*passes nothing on"):
        run(values(stack(sshd)["vps"]["ssh"]), state=state)


def test_a_machine_that_was_forgotten_is_let_go_though_it_lives(sshd: Sshd, other: Sshd) -> None:
    """The way out: what is recorded then says that its deletes need not be run."""
    state = state_of(stack(other, user="nobody"))
    (tunnel,) = (urn for urn in state if urn.endswith("index:ReverseTunnel::home"))
    state[tunnel]["outputs"] = {"forgotten": ["vps"]}
    assert in_place(run(stack(sshd), state=state)) == set()


def test_the_same_machine_with_another_key_is_not_dialled_by_the_old_one(sshd: Sshd) -> None:
    """It was reinstalled, or its keys were made anew: nobody there has the old one."""
    made = moved(sshd, sshd, hostKey=host_key(8))
    assert "vps-claim" in in_place(made)
    assert "the same one with another host key" in heard(made, "WARNING")[0]


def test_what_a_broken_off_move_had_not_come_to_is_not_replaced_either(
    sshd: Sshd, other: Sshd
) -> None:
    """Else its delete would dial the machine that is gone, for ever."""
    values = {**drifting(sshd, claimant="-"), "vps": stack(sshd)["vps"]}
    before = state_of({**values, "vps": stack(other, port=1)["vps"]})
    claim = {urn: one for urn, one in state_of(values).items() if urn.endswith("::vps-claim")}
    assert "web" in in_place(run(values, state={**before, **claim}))


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ("vps-claim vps-helper", ""),
        ("vps-claim vps-helper vps-key vps-interface", "role interface"),
        ("vps-claim vps-helper vps-key vps-interface cabin laptop", "role interface peer"),
        ("vps-claim vps-helper vps-key vps-interface web", "role interface forward"),
    ],
)
def test_wherever_a_move_was_broken_off_the_rest_of_it_is_not_replaced(
    sshd: Sshd, other: Sshd, done: str, told: str
) -> None:
    """The new machine's helper says that it is this host's; what it lacks gives the move away."""
    values: dict[str, Any] = {**drifting(sshd), "vps": stack(sshd)["vps"]}
    before = state_of({**values, "vps": stack(other, port=1)["vps"]})
    moved = {
        urn: one for urn, one in state_of(values).items() if urn.rpartition("::")[2] in done.split()
    }
    kinds = {"role", "unit", "interface", "peer", "forward"} - set(told.split())
    lines = [line for line in sshd.answers.splitlines() if line.split()[0] not in kinds]
    sshd.answers = "\n".join([*lines, ""])
    made = run(values, state={**before, **moved})
    assert in_place(made) >= {"vps-claim", "vps-helper", "web", "cabin", "laptop"}


@pytest.fixture
def all_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is recorded can be dialled, also through the tunnel."""
    monkeypatch.setattr("components.leaving.find_closed", lambda _: {})


def leaving(sshd: Sshd, other: Sshd, **ssh: object) -> tuple[dict[str, object], dict[str, Any]]:
    """A VPS that knows a server, of which the stack file says nothing any more; and the state."""
    values = drifting(sshd)
    attic = {"address": "172.16.0.6", "ssh": stack(other, **ssh)["vps"]["ssh"]}
    state = state_of({**values, "servers": {"cabin": {"address": "172.16.0.7"}, "attic": attic}})
    sshd.answers = sshd.answers.replace("peer laptop", "peer attic - 0 0 0\npeer laptop")
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
    made = run({**values, "vps": {**values["vps"], "forget": True}}, preview=False)
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
    sshd.answers = sshd.answers.replace("peer laptop", "peer homelab - 0 0 0\npeer laptop")
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
    sshd.answers = sshd.answers.replace("peer laptop", "peer homelab - 0 0 0\npeer laptop")
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
            sshd.answers = sshd.answers.replace("peer laptop", f"{line}\npeer laptop")
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


def test_but_not_what_is_new_elsewhere_nor_the_rest_of_a_host_that_was_half_made(
    sshd: Sshd, other: Sshd
) -> None:
    """Else one that has died in its first `up` could neither be forgotten nor be taken out."""
    values, state = forgetting(sshd, other, "attic")
    for name in ("attic-helper", "web", "laptop"):
        state = without(state, name)
    run(values, preview=False, state=state)


# ---- entries that can't be removed ----


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
    lines_without(sshd, "peer cabin", "forward web")
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
    sshd.answers = sshd.answers.replace("peer laptop", "peer attic - 0 0 0\npeer laptop")
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
        "peer laptop", "peer attic - 0 0 0\npeer homelab - 0 0 0\npeer laptop"
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


# ---- servers that are reached through a VPS which is another machine by now ----


@pytest.fixture
def waited_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers that are waited for. Mocks can't call back at an update."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    asked: list[str] = []

    def arrival(server: str, login: Login) -> None:
        assert login.host == "172.16.0.4"
        asked.append(server)

    monkeypatch.setattr(inspection, "arrival", arrival)
    return asked


def behind(sshd: Sshd, endpoint: str = "vps.example.org") -> dict[str, Any]:
    """A VPS, and a server that is reached through it alone, which has not dialled it."""
    values = stack(sshd)
    ssh = {"host": {"through": "vps"}, "hostKey": host_key(2)}
    return {
        **values,
        "vps": {**values["vps"], "endpoint": endpoint},
        "servers": {"homelab": {"address": "172.16.0.4", "ssh": ssh}},
    }


@pytest.mark.parametrize("endpoint", ["vps.example.org", "203.0.113.11"])
def test_a_server_behind_a_new_vps_is_waited_for_where_it_dials_that(
    sshd: Sshd, other: Sshd, waited_for: list[str], endpoint: str
) -> None:
    """By its name; or the address is the one of before."""
    before = behind(other, endpoint)
    before["vps"]["ssh"]["host"] = "203.0.113.11"
    made = run(behind(sshd, endpoint), preview=False, state=state_of(before))
    assert waited_for == ["homelab"]
    _gone, warning = sorted(heard(made, "WARNING"))
    assert "homelab (root@172.16.0.4 through root@127.0.0.1" in warning
    assert "`pulumi up` waits for it" in warning


def test_so_it_is_where_the_vps_has_lost_the_tunnel(sshd: Sshd, waited_for: list[str]) -> None:
    values = behind(sshd)
    state = state_of(values)
    sshd.answers = f"{facts_text()}none\n"
    made = run(values, preview=False, state=state)
    assert waited_for == ["homelab"]
    assert "or has lost the tunnel" in "\n".join(heard(made, "WARNING"))
    with pytest.raises(LookUpError, match="homelab"):  # it never was set up
        run(values, preview=False, state=without(state, "homelab-claim"))
    with pytest.raises(LookUpError, match="homelab"):  # the VPS never was
        run(values, preview=False, state=without(state, "vps-claim"))


def test_it_is_waited_for_by_the_way_through_the_vps_though_another_comes_first(
    sshd: Sshd, other: Sshd, waited_for: list[str]
) -> None:
    values = behind(sshd)
    values["servers"]["homelab"]["ssh"]["host"] = ["127.0.0.2", {"through": "vps"}]
    values["servers"]["homelab"]["ssh"]["port"] = 1
    made = run(values, preview=False, state=state_of(behind(other)))
    assert waited_for == ["homelab"]
    assert not heard(made, "INFO")
    connection = made.command("homelab-claim", "homelab").inputs["connection"]
    assert connection["host"] == "172.16.0.4"


@pytest.mark.parametrize(
    "case", ["the same vps", "another address", "another server", "no record", "no keepalive"]
)
def test_one_that_will_not_come_is_an_error_as_ever(
    sshd: Sshd, other: Sshd, waited_for: list[str], case: str
) -> None:
    endpoint = "203.0.113.11" if case == "another address" else "vps.example.org"
    before = behind(other, endpoint)
    if case == "the same vps":
        drifting(sshd)  # which has its tunnel
        before = behind(sshd, endpoint)
    if case == "another server":
        before["servers"]["homelab"]["ssh"]["hostKey"] = host_key(9)
    state = {} if case == "no record" else state_of(before)
    network = {"network": {"keepalive": 0}} if case == "no keepalive" else {}
    with pytest.raises(LookUpError, match=r"homelab \(root@172\.16\.0\.4 through root@127"):
        run({**behind(sshd, endpoint), **network}, preview=False, state=state)
    assert waited_for == []


def test_a_server_behind_a_forgotten_vps_alone_is_told_with_both_ways_out(sshd: Sshd) -> None:
    values = behind(sshd)
    values["vps"]["ssh"]["port"] = 1
    state = state_of(values)
    values["vps"]["forget"] = True
    with pytest.raises(LookUpError) as error:
        run(values, preview=False, state=state)
    assert "ssh.host, such as [192.168.1.20, {through: vps}] at home" in str(error.value)
    assert "servers.homelab.forget: true" in str(error.value)
    values["servers"]["homelab"]["forget"] = True
    made = run(values, preview=False, state=state)
    assert all(each.retained for each in made.commands)
