"""Hosts that are other machines than before."""

from typing import Any

import pytest

from components import LookUpError
from components.preflight import lookup
from reach import connection
from tests.components.inspected import drifting, heard, run, stack, state_of
from tests.components.recording import Recording
from tests.components.sshd import Sshd
from tests.settings.samples import host_key
from tests.support import full, speaking


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


def test_a_machine_that_is_gone_is_forgotten_and_everything_made_on_the_new_one(
    sshd: Sshd, other: Sshd
) -> None:
    made = moved(sshd, other, port=1)
    assert in_place(made) == {"vps-claim", "vps-helper", "vps-key", "vps-interface"}
    (warning,) = heard(made, "WARNING")
    assert "Machines that are taken for gone." in warning
    assert "vps was root@127.0.0.1:1: the host refuses connections" in warning


@pytest.mark.parametrize("lives", [True, False])
def test_a_preview_that_does_not_reach_the_new_one_takes_no_old_one_for_gone(
    sshd: Sshd, other: Sshd, *, lives: bool
) -> None:
    """Where none can be reached, as in CI, an `up` from elsewhere may find it alive, and clean it.

    So the plan is the one of a machine that lives.
    """
    state = state_of(stack(other) if lives else stack(other, port=1))
    made = run(stack(sshd, port=1), state=state)
    (warning,) = heard(made, "WARNING")
    assert "without which `pulumi up` won't begin" in warning
    assert in_place(made) == set()


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
    monkeypatch.setattr(lookup, "TRY_SECONDS", 0.5)
    setattr(other, ill, True)
    with pytest.raises(LookUpError, match=r"vps was root@127\.0\.0\.1.*may still run"):
        moved(sshd, other)


@pytest.mark.parametrize("ill", [{"hangs_up": True}, {"thinks": 60.0}])
def test_so_is_one_that_shows_its_host_key_and_lets_nobody_in(
    sshd: Sshd, other: Sshd, monkeypatch: pytest.MonkeyPatch, ill: dict[str, Any]
) -> None:
    """Under load, too: it is that machine, and has the tunnel's key."""
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 6.0)  # for the healthy one, too
    for name, value in ill.items():
        setattr(other, name, value)
    with pytest.raises(LookUpError, match=r"vps was root@127\.0\.0\.1.*may still run"):
        moved(sshd, other)


@pytest.mark.parametrize(
    ("words", "hangs_up"),
    [(b"", True), (b"", False), (b"SSH-2.0-OpenSSH_9.2p1\r\n", False), (b"Exceeded\r\n", True)],
)
def test_so_is_one_that_takes_the_connection_and_shows_no_host_key(
    sshd: Sshd, other: Sshd, monkeypatch: pytest.MonkeyPatch, words: bytes, *, hangs_up: bool
) -> None:
    """With too many logins at that moment, or under load: nobody has said that it is gone."""
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 6.0)  # for the healthy one, too
    still = pytest.raises(LookUpError, match=r"vps was root@127\.0\.0\.1.*may still run")
    with speaking(words, hangs_up=hangs_up) as port, still:
        moved(sshd, other, port=port)


def test_but_not_one_at_whose_address_nobody_takes_a_connection(
    sshd: Sshd, other: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 2.0)  # for the healthy one, too
    with full("127.0.0.1") as port:
        made = moved(sshd, other, port=port)
    assert "vps-claim" in in_place(made)
    assert "the host does not answer within 2 s" in heard(made, "WARNING")[0]


def test_one_behind_a_jump_in_whose_place_somebody_else_is_is_not_taken_for_gone(
    sshd: Sshd, other: Sshd
) -> None:
    """It is the jump's address that another machine has by now."""

    def values(vps: dict[str, Any], ssh: object) -> dict[str, object]:
        return {**vps, "servers": {"attic": {"address": "172.16.0.6", "ssh": ssh}}}

    before = stack(other, hostKey=host_key(7))
    state = state_of(values(before, {"host": {"through": "vps"}, "hostKey": host_key(8)}))
    with pytest.raises(LookUpError) as error:
        run(values(stack(other), stack(sshd)["vps"]["ssh"]), state=state)
    assert "attic was root@172.16.0.6 through root@127.0.0.1" in str(error.value)
    assert "and there the host shows another host key" in str(error.value)


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


@pytest.mark.parametrize("ill", ["drops", "refuses"])
def test_one_behind_a_jump_that_lets_nobody_in_is_not_taken_for_gone(
    sshd: Sshd, other: Sshd, ill: str
) -> None:
    """With too many logins there at that moment, say, of it nothing is known."""

    def values(vps: dict[str, Any], ssh: object) -> dict[str, object]:
        return {**vps, "servers": {"attic": {"address": "172.16.0.6", "ssh": ssh}}}

    with speaking(b"", hangs_up=True) as drops:
        before = stack(other, port=drops if ill == "drops" else 1)
        state = state_of(values(before, {"host": {"through": "vps"}, "hostKey": host_key(8)}))
        with pytest.raises(
            LookUpError, match=r"attic was root@172\.16\.0\.6 through root@127.*may"
        ):
            run(values(stack(other), stack(sshd)["vps"]["ssh"]), state=state)


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
