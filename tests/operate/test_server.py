"""`reverse-tunnel server`: the script. What it does on a host is tested in the lab."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.operate.project import Project, run
from tests.operate.wireguard import KEY, server_file

FILE = server_file("cabin")


@pytest.fixture(autouse=True)
def _up(project: Project) -> None:
    project.say("outputs.json", {"serverConfigs": {"cabin": FILE}})


def test_the_script_holds_the_file_and_how_it_is_to_be_installed() -> None:
    done = run("server", "cabin")
    assert done.exit_code == 0
    assert FILE in done.stdout
    first = done.stdout.splitlines()[0]
    assert "sh -s install wg0 install" in first
    assert "@FILE@" not in done.stdout


def test_it_keeps_itself_out_of_the_shells_history() -> None:
    assert run("server", "cabin").stdout.startswith(" ")


@pytest.mark.parametrize("words", [(), ("--uninstall",)])
def test_any_shell_takes_it_as_one_piece(words: tuple[str, ...]) -> None:
    """Without its end an interactive shell would wait for more, and bash says so."""
    script = run("server", "cabin", *words).stdout
    for shell in ("sh", "bash"):
        done = subprocess.run(
            [shell, "-n"], input=script, text=True, check=True, stderr=subprocess.PIPE
        )
        assert done.stderr == ""
    assert script.endswith("\nEND-OF-REVERSE-TUNNEL\n")


def attempted(script: str) -> str:
    """What the script says where it can do nothing: as a user whose sudo makes nobody root."""
    nobody = 65534 if os.geteuid() == 0 else None
    done = subprocess.run(
        ["sh"],
        input=f'sudo() {{ "$@"; }}\n{script}',
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=nobody,
    )
    return done.stderr


def test_cut_short_anywhere_it_does_nothing() -> None:
    """What has arrived by a connection that breaks off is run by the shell at its end."""
    lines = run("server", "cabin").stdout.splitlines(keepends=True)
    main = lines.index('main "$@"\n')
    assert "wg0: run this as root" in attempted("".join(lines))
    for end in range(main):
        assert "wg0:" not in attempted("".join(lines[: end + 1]))


def test_packages_are_left_alone_where_the_stack_says_so(project: Project) -> None:
    project.configure({"servers.cabin.packages": "manual"})
    assert "sh -s install wg0 manual" in run("server", "cabin").stdout


def test_the_uninstall_holds_no_secret_and_asks_for_none(project: Project) -> None:
    done = run("server", "cabin", "--uninstall")
    assert done.exit_code == 0
    assert "sh -s uninstall wg0" in done.stdout
    assert KEY not in done.stdout
    assert all("secret" not in call for call in project.calls)


@pytest.mark.parametrize("name", ["homelab", "shed"])
def test_the_uninstall_is_for_one_that_has_ssh_by_now_or_is_gone_too(name: str) -> None:
    """The script leaves alone whatever it has not set up."""
    done = run("server", name, "--uninstall")
    assert (done.exit_code, done.stdout) == (0, run("server", "cabin", "--uninstall").stdout)


def test_written_to_a_file_it_is_for_its_owner_alone() -> None:
    done = run("server", "cabin", "--output", "cabin.sh")
    assert (done.exit_code, done.stdout) == (0, "")
    assert stat.filemode(Path("cabin.sh").stat().st_mode) == "-rw-------"
    assert FILE in Path("cabin.sh").read_text()


def test_a_managed_server_needs_no_script() -> None:
    done = run("server", "homelab")
    assert done.exit_code == 1
    assert "`pulumi up` that sets it up" in done.stderr


def test_an_unknown_server_is_refused_with_those_that_there_are() -> None:
    done = run("server", "shed")
    assert done.exit_code == 1
    assert "Servers without ssh are: cabin" in done.stderr


def test_one_that_is_not_up_yet_is_said(project: Project) -> None:
    project.say("outputs.json", {"serverConfigs": {}})
    assert "run `pulumi up` first" in run("server", "cabin").stderr


def test_one_with_its_own_key_is_refused_with_what_to_do(project: Project) -> None:
    project.say("outputs.json", {"serverConfigs": {"cabin": server_file("cabin", own_key=True)}})
    done = run("server", "cabin")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "--output cabin.conf" in done.stderr
    assert "/etc/wireguard/wg0.conf" in done.stderr


def test_a_conf_is_the_file_alone_and_for_its_owner_alone() -> None:
    done = run("server", "cabin", "--output", "cabin.conf")
    assert (done.exit_code, done.stdout) == (0, "")
    assert Path("cabin.conf").read_text() == FILE
    assert stat.filemode(Path("cabin.conf").stat().st_mode) == "-rw-------"
    assert "keeps its private key to itself" not in done.stderr


def test_that_of_one_with_its_own_key_has_a_line_to_fill_in(project: Project) -> None:
    project.say("outputs.json", {"serverConfigs": {"cabin": server_file("cabin", own_key=True)}})
    done = run("server", "cabin", "--output", "cabin.conf")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "PrivateKey = PUT-THE-PRIVATE-KEY-OF-cabin-HERE" in Path("cabin.conf").read_text()
    assert "keeps its private key to itself" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("homelab",), 1, "`pulumi up` that sets it up"),
        (("shed",), 1, "Servers without ssh are: cabin"),
        (("cabin", "--uninstall"), 2, "--uninstall is a script"),
    ],
)
def test_there_is_no_file_of_a_managed_or_unknown_one_nor_to_take_one_down(
    words: tuple[str, ...], status: int, says: str
) -> None:
    done = run("server", *words, "--output", "x.conf")
    assert done.exit_code == status
    assert says in done.stderr
    assert not Path("x.conf").exists()
