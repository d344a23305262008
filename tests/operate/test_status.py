"""`reverse-tunnel status`: tables, JSON and the exit status, of what was seen."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.console import Console

from operate import progress, status
from operate.judgement import judge
from operate.look import Look, ports_to_try
from operate.main import main
from operate.status_view import answers, as_json, as_tables
from operate.words import age_words, size_words
from reach.entries.host_report import HostReport
from settings import Settings
from tests.operate.project import Project, run
from tests.operate.seen import FORWARD, PEER, SERVER, WELL, seen, settings, vps
from tests.settings.samples import ABSENT


@pytest.fixture
def looks(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What each look sees, in turn; with the last, the user presses Ctrl-C."""
    project.configure({"servers.cabin": ABSENT})
    to_come: list[Look] = []

    async def look_at(of: Settings, owner: str, *, connect: bool) -> Look:
        assert of.forwards
        assert (owner, connect) == ("reverse-tunnel/home", True)
        return to_come.pop(0)

    def sleep(_seconds: float) -> None:
        if not to_come:
            raise KeyboardInterrupt

    monkeypatch.setattr(status, "look_at", look_at)
    monkeypatch.setattr("time.sleep", sleep)
    return to_come


BAD = seen(vps(targets={("172.16.0.4", 8080): "refuses"}))


def test_all_well_is_said_and_exits_0(looks: list[Look]) -> None:
    looks.append(WELL)
    done = run("status")
    assert done.exit_code == 0
    assert "All is well." in done.stdout


def test_something_wrong_is_said_and_exits_1(looks: list[Look]) -> None:
    looks.append(BAD)
    done = run("status")
    assert done.exit_code == 1
    assert "forward http: leads to 172.16.0.4:8080" in done.stdout
    assert "All is well" not in done.stdout


@pytest.mark.parametrize(
    ("encoding", "written"), [("utf-8", "f\u00fcr \u2026"), ("latin-1", "f\u00fcr \\u2026")]
)
def test_letters_that_a_terminal_does_not_have_end_nothing(
    looks: list[Look], encoding: str, written: str
) -> None:
    """What a host complains of is in its language, and what is long is shortened."""
    looks.append(seen(homelab="can't be asked: f\u00fcr \u2026"))
    done = CliRunner(charset=encoding).invoke(main, ["status"])
    assert done.exit_code == 1
    assert f"homelab: can't be asked: {written}" in done.stdout_bytes.decode(encoding)


def test_json_has_all_of_it(looks: list[Look]) -> None:
    looks.append(BAD)
    done = run("status", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["well"] is False
    assert told["hosts"]["vps"]["wireguard"] == "kernel"
    assert told["hosts"]["vps"]["peers"]["homelab"]["handshakeAge"] == 20
    assert told["forwards"]["http"] == {
        "leads": "tcp vps.example.org:80 -> homelab 172.16.0.4:8080",
        "target": "refuses",
        "publicPort": "answers",
        "rules": "ok",
        "connections": 2,
        "sentPackets": 100,
        "sentBytes": 12345,
        "answeredPackets": 90,
        "answeredBytes": 678901,
    }
    assert [finding["where"] for finding in told["findings"]] == ["forward http"]


def test_a_host_that_tells_nothing_is_unknown(looks: list[Look]) -> None:
    looks.append(seen("can't be asked: no answer.", homelab="can't be asked: no answer."))
    look = looks[0]
    told = json.loads(run("status", "--json").stdout)
    assert told["hosts"]["vps"] == told["hosts"]["homelab"] == {"tunnel": "unknown"}
    assert "connections" not in told["forwards"]["http"]
    looks.append(look)
    done = run("status")
    assert done.exit_code == 1
    assert "vps: can't be asked: no answer." in done.stdout
    assert "homelab: can't be asked: no answer." in done.stdout


def test_a_tunnel_that_is_down_is_told_apart_from_one_of_which_nothing_is_known() -> None:
    look = seen(vps(wireguard=None), homelab="can't be asked: no answer.")
    hosts = as_json(settings(), look, [])["hosts"]
    tunnels = {name: host["tunnel"] for name, host in hosts.items()}
    assert tunnels == {"vps": "down", "homelab": "unknown", "attic": "up"}


def test_watching_looks_again_until_it_is_ended_and_exits_by_the_last(looks: list[Look]) -> None:
    looks.extend([BAD, BAD, WELL])
    done = run("status", "--json", "--watch")
    assert [json.loads(line)["well"] for line in done.stdout.splitlines()] == [False, False, True]
    assert done.exit_code == 0


def test_watching_without_a_terminal_prints_each_look(looks: list[Look]) -> None:
    looks.extend([WELL, BAD, WELL])
    done = run("status", "--watch")
    assert done.exit_code == 0
    assert done.stdout.count("All is well.") == 2
    assert done.stdout.count("forward http: leads to 172.16.0.4:8080") == 1


ANEW = "config --show-secrets --json --stack home --non-interactive"
NEW = {"servers.cabin": ABSENT, "forwards.new": {"port": 81, "to": "homelab"}}


@pytest.fixture
def between(looks: list[Look], monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens between two looks, in turn."""
    to_happen: list[Callable[[], object]] = []
    ends = time.sleep

    def sleep(seconds: float) -> None:
        ends(seconds)
        assert looks
        to_happen.pop(0)()

    monkeypatch.setattr("time.sleep", sleep)
    return to_happen


def watched() -> list[dict[str, str]]:
    """By look, what is wrong where."""
    lines = run("status", "--json", "--watch").stdout.splitlines()
    return [
        {each["where"]: each["says"] for each in json.loads(line)["findings"]} for line in lines
    ]


def nothing() -> None:
    """What happens where nothing does."""


def test_watching_judges_by_the_stack_file_as_it_is_then(
    project: Project, looks: list[Look], between: list[Callable[[], object]]
) -> None:
    """Somebody adds a forward, and runs `up`."""
    up = seen(vps(forwards={"new": FORWARD}, targets={("172.16.0.4", 81): "answers"}))
    looks.extend([WELL, up, up, WELL])
    between.extend([lambda: project.configure(NEW), nothing, nothing])
    assert [[*each] for each in watched()] == [[], [], [], ["forward new"]]
    assert project.calls.count(ANEW) == 2  # not at each look: it takes a second


def test_watching_what_is_in_no_stack_file_is_said(
    looks: list[Look], between: list[Callable[[], object]]
) -> None:
    looks.extend([WELL, seen(vps(forwards={"new": FORWARD}))])
    between.append(nothing)
    before, after = watched()
    assert before == {}
    assert "no more in the stack file" in after["forward new"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda of: of.configure({**NEW, "forwards.http.port": 0}), "http.port: 0 is not"),
        (lambda of: (of.configure(NEW), of.forget("bin/config.json")), "incorrect passphrase"),
        (
            lambda of: (of.forget("stacks/Pulumi.home.yaml"), of.say("config.json", {})),
            "vps: is missing",
        ),
    ],
    ids=["a field is wrong", "the engine refuses", "it is not there"],
)
def test_watching_goes_on_while_the_stack_file_is_wrong(
    project: Project,
    looks: list[Look],
    between: list[Callable[[], object]],
    spoil: Callable[[Project], object],
    says: str,
) -> None:
    """Until somebody has edited all of it, the rest is judged by what it said before."""
    looks.extend([WELL, BAD, WELL, WELL])
    between.extend([lambda: spoil(project), nothing, lambda: project.configure(NEW)])
    first, *spoiled, last = watched()
    assert first == {}
    assert [[*each] for each in spoiled] == [["stack file", "forward http"], ["stack file"]]
    assert all(says in each["stack file"] for each in spoiled)
    assert [*last] == ["forward new"]


def test_watching_stays_with_its_stack_whichever_is_selected_meanwhile(
    project: Project, looks: list[Look], between: list[Callable[[], object]]
) -> None:
    looks.extend([WELL, WELL])

    def select_and_edit() -> None:
        (project.folder / "bin/selected").write_text("away\n")
        project.configure(NEW)

    between.append(select_and_edit)
    assert [[*each] for each in watched()] == [[], ["forward new"]]
    assert project.calls == ["stack --show-name --non-interactive", ANEW, ANEW]


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, rows: int) -> None:
    """From now on standard output is one of that size."""
    monkeypatch.setattr(status, "on_terminal", lambda: True)
    for name, value in {
        "TTY_COMPATIBLE": "1",
        "TERM": "xterm",
        "COLUMNS": str(columns),
        "LINES": str(rows),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("rows", "cut"), [(12, True), (60, False)])
def test_watching_on_few_rows_what_is_wrong_is_shown_in_any_case(
    looks: list[Look], monkeypatch: pytest.MonkeyPatch, rows: int, *, cut: bool
) -> None:
    """What has no room is left out behind an ellipsis."""
    at_a_terminal(monkeypatch, 80, rows)
    looks.extend([BAD, BAD])
    done = run("status", "--watch")
    assert done.exit_code == 1
    first_look, ellipsis, _ = done.stdout.partition("...")
    assert bool(ellipsis) == cut
    assert "leads to 172.16.0.4:8080 (homelab), which refuses" in first_look


def test_watching_nothing_is_written_into_what_the_terminal_shows(
    project: Project,
    looks: list[Look],
    between: list[Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line of another's would have the next look begin where this one did not."""
    at_a_terminal(monkeypatch, 100, 60)
    looks.extend([WELL, WELL])
    said: list[str] = []

    def change() -> None:
        monkeypatch.setattr(progress, "Console", lambda **_: said.append("a line"))
        project.configure({"servers.cabin": ABSENT, "forwards.http.comment": "the blog"})

    between.append(change)
    assert run("status", "--watch").exit_code == 0
    assert project.calls.count(ANEW) == 2
    assert said == []


LONG = settings({"network.ipv6": "fd12:bee:cd::/64"})
FAR = replace(PEER, endpoint="198.51.100.200:33194")
ADDRESSES = [
    "fd12:bee:cd::4",
    "198.51.100.200:33194",
    "udp 27000-27037",
    "homelab:27000-27037",
    "homelab:8080",
]


def test_on_a_terminal_of_80_columns_addresses_and_ports_are_whole() -> None:
    text = shown(seen(vps(peers={"homelab": FAR})), LONG, 80)
    assert [each for each in ADDRESSES if each not in text] == []
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_terminal_no_line_is_folded(
    project: Project, looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever greps looks for lines."""
    monkeypatch.setenv("COLUMNS", "40")
    project.configure({"servers.cabin": ABSENT, "network.ipv6": "fd12:bee:cd::/64"})
    look = seen(vps(peers={"homelab": FAR}, targets={("172.16.0.4", 8080): "refuses"}))
    looks.append(look)
    lines = run("status").stdout.splitlines()
    (finding,) = judge(LONG, look)
    assert f"{finding.where}: {finding.says}" in lines
    for each in ADDRESSES:
        assert any(each in line for line in lines), each
    assert any(line.split("  ")[0] == "http" and "100 pkt" in line for line in lines)
    assert max(map(len, lines)) < 300


def shown(look: Look, of: Settings, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(as_tables(of, look, judge(of, look)))
    return captured.get()


def test_the_tables_have_every_host_and_every_forward() -> None:
    lines = shown(WELL, settings()).splitlines()
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert "up, kernel" in rows["homelab"]
    assert "20 s ago" in rows["homelab"]
    assert "never" in rows["laptop"]
    assert "12.3 kB, 100 pkt" in rows["http"]
    assert "answers" in rows["http"]
    assert "can't be told" in rows["game"]


def test_a_userspace_wireguard_is_shown_with_its_version() -> None:
    report = replace(SERVER, wireguard="userspace", wireguard_go="0.0.20250522")
    look = seen(homelab=report)
    assert "up, wireguard-go 0.0.20250522" in shown(look, settings())
    hosts = as_json(settings(), look, [])["hosts"]
    assert hosts["homelab"]["wireguardGo"] == "0.0.20250522"
    assert hosts["attic"]["wireguardGo"] is None
    silent = seen(homelab=replace(report, wireguard_go=None))
    assert "up, userspace" in shown(silent, settings())


def test_addresses_of_ipv6_are_shown_where_there_are_any() -> None:
    assert "fd5c:91e2:7a3b::4" in shown(WELL, settings({"network.ipv6": "fd5c:91e2:7a3b::/64"}))
    assert "::" not in shown(WELL, settings())


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_nothing_is_cut_off(width: int) -> None:
    text = shown(WELL, settings(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "phone" in text


def test_what_is_not_tested_says_why() -> None:
    of = settings(
        {
            "forwards.http.from": ["198.51.100.0/24"],
            "forwards.https.enabled": False,
        }
    )
    assert [*ports_to_try(of)] == []
    assert answers(of, WELL, "http") == ("answers", "restricted")
    assert answers(of, WELL, "https") == ("paused", "paused")
    assert answers(of, WELL, "game") == ("can't be told", "can't be told")
    assert answers(settings(), Look(WELL.hosts, {}), "http") == ("answers", "not tested")
    assert ports_to_try(settings()) == {"http": 80, "https": 443}


@pytest.mark.parametrize(
    ("vps_tells", "public"),
    [
        (vps(), "answers"),
        (vps(forwards={"http": None}), "not open"),
        (vps(forwards={"http": replace(FORWARD, rules="missing")}), "not open"),
        (vps(forwards={"http": replace(FORWARD, rules="differs")}), "answers"),
        (vps(wireguard=None, forwards={"http": None}), "answers"),  # it tells of no forward then
        ("can't be asked: no answer.", "answers"),
    ],
)
def test_whoever_answers_at_a_port_that_is_not_open_is_somebody_else(
    vps_tells: HostReport | str, public: str
) -> None:
    look = seen(vps_tells)
    assert answers(settings(), look, "http")[1] == public
    assert answers(settings(), look, "https")[1] == "answers"


def test_a_forward_that_is_not_there_yet_has_no_numbers() -> None:
    look = seen(vps(forwards={"http": None, "https": replace(FORWARD, connections=77)}))
    rows = {line.split()[0]: line for line in shown(look, settings()).splitlines() if line.strip()}
    assert " 77 " in rows["https"]
    assert "pkt" not in rows["http"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_ages_are_words(seconds: int, words: str) -> None:
    assert age_words(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(0, "0 B"), (1, "1 B"), (12345, "12.3 kB")])
def test_sizes_are_words(size: int, words: str) -> None:
    assert size_words(size) == words
