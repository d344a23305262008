"""`reverse-tunnel drift`: its lines and its exit status, of what was seen."""

import json
from dataclasses import replace

import pytest

from operate import drift
from operate.look import Look, Lost
from reach.entries.fingerprints import fingerprint_of
from reach.entries.host_report import HostReport
from reach.shell import helper_digest
from settings import Settings
from tests.operate.project import Project, run
from tests.operate.seen import FORWARD, PEER, SERVER, seen, vps
from tests.settings.samples import ABSENT

HTTP = "tcp 80 -> 172.16.0.4:8080"


@pytest.fixture
def look(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What is seen."""
    project.configure({"servers.cabin": ABSENT})
    to_come: list[Look] = []

    async def look_at(_of: Settings, owner: str, *, connect: bool) -> Look:
        assert (owner, connect) == ("reverse-tunnel/home", False)
        return to_come.pop()

    monkeypatch.setattr(drift, "look_at", look_at)
    return to_come


def well(**changes: HostReport | str) -> Look:
    hosts: dict[str, HostReport | str] = {
        "vps": vps(),
        "homelab": SERVER,
        "attic": SERVER,
    }
    return replace(seen(), hosts=hosts | changes)


@pytest.mark.parametrize(("terminal", "shown"), [("1", True), ("0", False)])
def test_who_waits_at_a_terminal_sees_for_what(
    look: list[Look], monkeypatch: pytest.MonkeyPatch, *, terminal: str, shown: bool
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    monkeypatch.setenv("TERM", "xterm")
    look.append(well())
    done = run("drift")
    assert ("looking at vps, homelab, attic ..." in done.stderr) == shown
    assert done.stdout == ""


@pytest.mark.parametrize("told", [{}, {("forward", "http"): fingerprint_of([HTTP])}])
def test_nothing_drifted_is_silence_and_exits_0(
    look: list[Look], told: dict[tuple[str, str], str]
) -> None:
    look.append(well(vps=vps(fingerprints=told)))
    done = run("drift")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("hosts", "line"),
    [
        (
            {"vps": vps(forwards={"http": replace(FORWARD, rules="missing")})},
            "vps: its forward http: rules missing",
        ),
        (
            {"vps": vps(forwards={"old": FORWARD})},
            "vps: its forward old: the stack file has no such thing",
        ),
        (
            {"vps": vps(peers={"old": PEER})},
            "vps: its peer old: the stack file has no such thing",
        ),
        (
            {"vps": vps(fingerprints={("forward", "http"): "0" * 16})},
            "vps: its forward http: the stack file says otherwise",
        ),
        (
            {"homelab": replace(SERVER, fingerprints={("interface", ""): "0" * 16})},
            "homelab: its tunnel: the stack file says otherwise",
        ),
        (
            {"homelab": replace(SERVER, enabled=False, fingerprints={("interface", ""): "0" * 16})},
            "homelab: its tunnel: does not start at boot, the stack file says otherwise",
        ),
        ({"homelab": replace(SERVER, wireguard=None)}, "homelab: its tunnel: down"),
        ({"homelab": replace(SERVER, digest="0" * 64)}, "homelab: its helper: another version"),
        (
            {"homelab": replace(SERVER, wrong=frozenset({"mtu", "modes", "$(reboot)"}))},
            "homelab: its tunnel: files open to others, MTU changed",
        ),
        (
            {"vps": replace(vps(), wrong=frozenset({"watcher"}))},
            "vps: its tunnel: nobody watches over it",
        ),
        (
            {"homelab": replace(SERVER, openings={"http": "ok"})},  # it leads to the server itself
            "homelab: its opening for forward http: the stack file has no such thing",
        ),
    ],
)
def test_what_has_drifted_is_a_line_each_and_exits_3(
    look: list[Look], hosts: dict[str, HostReport], line: str
) -> None:
    look.extend([well(**hosts)] * 2)
    done = run("drift")
    assert (done.exit_code, done.output) == (3, f"{line}\n")
    assert json.loads(run("drift", "--json").output) == [line]


NO_HELPER = Lost("has no tunnel wg0: run `pulumi up`.")
NO_FILES = HostReport(helper=1, owner=None, digest=helper_digest())
NO_SETTINGS = replace(NO_FILES, owner="reverse-tunnel/home")


def give(project: Project, *commands: str) -> None:
    """What the state has of homelab."""
    tunnel = "urn:pulumi:home::reverse-tunnel::reverse-tunnel:index:ReverseTunnel"
    of_host = f"{tunnel}$reverse-tunnel:index:Host$command:remote:Command::homelab-"
    urns = [f"{tunnel}::home", *(f"{of_host}{command}" for command in commands)]
    project.say("export.json", {"deployment": {"resources": [{"urn": urn} for urn in urns]}})


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (NO_HELPER, "homelab: its helper: missing"),
        (NO_FILES, "homelab: its tunnel: missing"),
        (NO_SETTINGS, "homelab: its tunnel: missing"),
    ],
)
def test_a_host_without_a_tunnel_has_drifted_if_it_was_given_one(
    project: Project, look: list[Look], told: HostReport | str, line: str
) -> None:
    give(project, "claim", "helper", "key", "interface")
    look.append(well(homelab=told))
    done = run("drift")
    assert (done.exit_code, done.output) == (3, f"{line}\n")


@pytest.mark.parametrize("begun", [[], ["claim"], ["claim", "helper", "key"]])
@pytest.mark.parametrize("told", [NO_HELPER, NO_FILES, NO_SETTINGS])
def test_one_that_is_about_to_get_it_has_not(
    project: Project, look: list[Look], told: HostReport | str, begun: list[str]
) -> None:
    """A server that was added to the stack file, or whose first `up` was broken off."""
    give(project, *begun)
    look.append(well(homelab=told))
    done = run("drift")
    assert (done.exit_code, done.stdout) == (1, "")
    said = told if isinstance(told, str) else "is not set up yet: run `pulumi up`."
    assert done.stderr == f"homelab {said}\n"


def test_a_host_that_cannot_be_asked_is_named_and_exits_1(look: list[Look]) -> None:
    """Else a cron job would take silence for a healthy stack."""
    look.extend([well(homelab="can't be asked: it is off.")] * 2)
    done = run("drift")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "homelab can't be asked: it is off.\n"
    assert run("drift", "--json").exit_code == 1


def test_drift_is_told_first_where_another_host_cannot_be_asked(look: list[Look]) -> None:
    look.append(well(vps=vps(enabled=False), homelab="can't be asked: it is off."))
    done = run("drift")
    assert (done.exit_code, done.stdout) == (3, "vps: its tunnel: does not start at boot\n")
    assert done.stderr == "homelab can't be asked: it is off.\n"


def test_a_host_that_is_forgotten_is_named_and_left_in_peace(
    project: Project, look: list[Look]
) -> None:
    """It is by the user's own wish that nobody asks it."""
    project.configure({"servers.cabin": ABSENT, "servers.homelab.forget": True})
    look.append(well(homelab="is forgotten."))
    done = run("drift")
    assert (done.exit_code, done.output) == (0, "homelab is forgotten.\n")


@pytest.mark.parametrize(
    ("homelab", "words", "said"),
    [
        (SERVER, (), "nothing has drifted\n"),
        (SERVER, ("--json",), "[]\n"),
        ("can't be asked: it is off.", (), ""),
    ],
)
def test_who_looks_at_a_terminal_is_told_that_nothing_has_drifted(
    look: list[Look],
    monkeypatch: pytest.MonkeyPatch,
    homelab: HostReport | str,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(drift, "on_terminal", lambda: True)
    look.append(well(homelab=homelab))
    assert run("drift", *words).stdout == said
