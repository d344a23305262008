"""The look at a host, by SSH to a server on loopback: what it tells, or why it tells nothing."""

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from operate.look import look_at, script
from reach.entries.host_report import HostReport
from settings import Settings
from tests.components.sshd import Sshd, running
from tests.settings.samples import ABSENT, loaded

HELPER = "/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel"
BEGIN = "begin=status\n"
OWNER = "reverse-tunnel/home"
TOLD = f"helper 1\nowner {OWNER}\nrole vps\nend 1\n"


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with running(Sshd(asked=script("wg0"), answers=BEGIN + TOLD)) as server:
        yield server


def settings(sshd: Sshd, *hosts: str, **changes: object) -> Settings:
    """A VPS alone, at the server on loopback."""
    return loaded(
        {
            **changes,
            "vps.ssh": {"host": hosts or "127.0.0.1", "port": sshd.port, "hostKey": sshd.host_key},
            "servers": ABSENT,
            "forwards": ABSENT,
            "sshPrivateKey": sshd.private_key,
        }
    )


def told(sshd: Sshd, *hosts: str, connect: bool = False) -> HostReport | str:
    return asyncio.run(look_at(settings(sshd, *hosts), OWNER, connect=connect)).hosts["vps"]


def test_a_host_is_asked_once_by_its_helper(sshd: Sshd) -> None:
    report = told(sshd)
    assert isinstance(report, HostReport)
    assert report.role == "vps"
    assert sshd.probed == 1


def test_a_host_whose_sshd_has_too_many_logins_for_a_moment_is_asked_again(sshd: Sshd) -> None:
    sshd.drops = 1
    assert isinstance(told(sshd), HostReport)


def test_of_another_stacks_tunnel_nothing_is_told(sshd: Sshd) -> None:
    """As by a copied stack file; one that is half made is nobody's yet."""
    sshd.answers = BEGIN + TOLD.replace(OWNER, "reverse-tunnel/office")
    said = told(sshd)
    assert isinstance(said, str)
    assert (
        "tunnel wg0 of another stack, reverse-tunnel/office, and none of reverse-tunnel/h" in said
    )
    sshd.answers = BEGIN + TOLD.replace(OWNER, "-")
    assert isinstance(told(sshd), HostReport)


def test_the_script_says_where_the_helpers_words_begin() -> None:
    begin, call = script("wg0", "connect").splitlines(keepends=True)
    assert (
        subprocess.run(["sh"], input=begin, capture_output=True, text=True, check=True).stdout
        == BEGIN
    )
    assert call == f"exec {HELPER} 1 status connect\n"


@pytest.mark.parametrize("chatter", ["Welcome!\n", "Welcome!", "\n", "\udcff\n"])
def test_what_a_logins_own_files_print_is_passed_over(sshd: Sshd, chatter: str) -> None:
    """Also a byte that is no text."""
    sshd.answers = chatter + sshd.answers
    report = told(sshd)
    assert isinstance(report, HostReport), report
    assert report.role == "vps"


def test_a_host_is_asked_by_the_first_way_that_leads_there(sshd: Sshd) -> None:
    assert isinstance(told(sshd, "127.0.0.2", "127.0.0.1"), HostReport)
    sshd.user = "somebody-else"
    said = told(sshd, "127.0.0.2", "127.0.0.1")
    assert isinstance(said, str)
    assert said.startswith(f"can't be asked (by root@127.0.0.1:{sshd.port}): the login as root is")


def test_of_a_host_to_which_no_way_leads_each_is_named(sshd: Sshd) -> None:
    said = told(sshd, "127.0.0.2", "127.0.0.3")
    assert isinstance(said, str)
    assert said.startswith("can't be asked: none of its ways leads there:\n")
    assert f"\n    root@127.0.0.3:{sshd.port}: the host refuses connections" in said


def test_the_vps_tries_targets_only_if_that_is_wanted(sshd: Sshd) -> None:
    sshd.asked = script("wg0", "connect")
    assert isinstance(told(sshd, connect=True), HostReport)


def test_a_forgotten_host_is_not_asked(sshd: Sshd) -> None:
    stack = settings(sshd, **{"vps.forget": True})
    assert "is forgotten" in str(asyncio.run(look_at(stack, OWNER, connect=False)).hosts["vps"])
    assert sshd.probed == 0


@pytest.mark.parametrize(
    ("status", "answers", "complains", "words"),
    [
        (127, "", "sh: not found", "has no tunnel wg0: run `pulumi up`."),
        (
            32,
            "",
            "verb 'status' is not known to this helper (version 1)",
            "has a helper that is older",
        ),
        (1, f"{BEGIN}helper 1\n", "", "did not tell how its tunnel is: it was cut short"),
        (0, TOLD, "", "did not tell how its tunnel is: it was cut short"),
        (
            0,
            f"{BEGIN}helper \x1b[2J\nend 1\n",
            "",
            "did not tell how its tunnel is: a line is garbled",
        ),
        (201, "", "", "can't be asked: root is not root, and there is no sudo"),
    ],
)
def test_why_a_host_tells_nothing_is_said_without_its_own_words(
    sshd: Sshd, status: int, answers: str, complains: str, words: str
) -> None:
    sshd.status, sshd.answers, sshd.complains = status, answers, complains
    said = told(sshd)
    assert isinstance(said, str)
    assert said.startswith(words)
    assert "\x1b" not in said


def test_a_host_that_refuses_the_login_is_said(sshd: Sshd) -> None:
    sshd.user = "somebody-else"
    said = told(sshd)
    assert isinstance(said, str)
    assert said.startswith("can't be asked: the login as root is refused")
    assert sshd.probed == 0
