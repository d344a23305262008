"""The look-up, against a server on loopback: each thing that can be wrong, and that it is said."""

import socket
import threading
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from typing import Self

import asyncssh
import pytest

from components import lookup
from components.advice import Wanted
from components.lookup import Problem, Seen, look_up
from reach import NO_SUDO, SUDO_ASKS, Login, connection
from tests.components.sshd import Sshd, facts_text, running
from tests.settings.samples import host_key

WANTED = Wanted("wg0", "reverse-tunnel/home", IPv4Network("172.16.0.0/24"), "install")


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with running(Sshd()) as server:
        yield server


def login(sshd: Sshd, **changes: str) -> Login:
    parts = {
        "host": "127.0.0.1",
        "user": sshd.user,
        "host_key": sshd.host_key,
        "private_key": sshd.private_key,
        **changes,
    }
    return Login(port=sshd.port, **parts)


def problem(of: Login) -> Problem:
    (found,) = look_up({"homelab": (of, WANTED)})["homelab"].problems
    return found


def test_a_healthy_host_has_no_problem(sshd: Sshd) -> None:
    assert look_up({"homelab": (login(sshd), WANTED)}) == {"homelab": Seen([])}
    assert sshd.probed == 1


def test_facts_that_are_wrong_for_the_tunnel_are_said_behind_the_hosts_name(sshd: Sshd) -> None:
    sshd.answers = facts_text(tun="no")
    found = problem(login(sshd))
    assert found.text.startswith(f"homelab (root@127.0.0.1:{sshd.port}) has no TUN device")
    assert not found.unreachable


def test_another_host_key_is_refused_and_both_are_shown(sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    found = problem(login(sshd, host_key=other.export_public_key().decode()))
    assert "another host key" in found.text
    assert sshd.key.get_fingerprint() in found.text
    assert other.get_fingerprint() in found.text
    assert not found.unreachable
    assert sshd.probed == 0


def test_another_kind_of_host_key_is_refused(sshd: Sshd) -> None:
    """The command plugin asks for that kind alone, so the look-up does, too."""
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    found = problem(login(sshd, host_key=other.export_public_key().decode()))
    assert "offers no ecdsa-sha2-nistp256 key" in found.text
    assert not found.unreachable


def test_a_refused_key_is_shown_by_its_public_half(sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    found = problem(login(sshd, private_key=other.export_private_key().decode()))
    assert "login as root is refused" in found.text
    assert other.export_public_key().decode().split()[1] in found.text
    assert not found.unreachable
    assert sshd.probed == 0


def test_an_unknown_user_is_refused(sshd: Sshd) -> None:
    assert "login as hex is refused" in problem(login(sshd, user="hex")).text


def test_a_sudo_that_asks_for_a_password_is_said_with_the_line_that_cures_it(sshd: Sshd) -> None:
    sshd.user, sshd.status, sshd.answers = "hex", SUDO_ASKS, ""
    assert "hex ALL=(ALL) NOPASSWD: ALL" in problem(login(sshd)).text


def test_the_advised_file_of_sudo_has_a_name_that_sudo_reads(sshd: Sshd) -> None:
    """It passes over those with a dot."""
    sshd.user, sshd.status, sshd.answers = "ann.lee", SUDO_ASKS, ""
    line = "echo 'ann.lee ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ann-lee "
    assert line in problem(login(sshd)).text


def test_a_host_without_sudo_is_said(sshd: Sshd) -> None:
    sshd.user, sshd.status, sshd.answers = "hex", NO_SUDO, ""
    assert "there is no sudo" in problem(login(sshd)).text


def test_a_host_that_opens_no_session_is_said() -> None:
    """By sshd's settings: MaxSessions 0."""
    with running(Sshd(sessions=False)) as sshd:
        found = problem(login(sshd))
    assert "opens no session" in found.text
    assert "MaxSessions" in found.text
    assert not found.unreachable


def test_a_connection_that_ends_after_the_login_is_unreachable(sshd: Sshd) -> None:
    sshd.breaks_off = True
    found = problem(login(sshd))
    assert sshd.probed == 1
    assert found.unreachable


class Agent:
    """An SSH agent that holds two keys."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get_keys(self) -> Sequence[asyncssh.SSHKeyPair]:
        return asyncssh.load_keypairs([asyncssh.generate_private_key("ssh-ed25519")] * 2)


@pytest.mark.parametrize(
    ("patient", "words"),
    [(False, ("all 2 keys of the SSH agent", "sshPrivateKey")), (True, ("login as root is refu",))],
)
def test_an_agent_with_more_keys_than_sshd_looks_at_is_said(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, *, patient: bool, words: tuple[str, ...]
) -> None:
    async def connect(_path: str) -> Agent:
        return Agent()

    monkeypatch.setattr(asyncssh, "connect_agent", connect)
    sshd.patient = patient
    found = problem(Login("127.0.0.1", sshd.port, "root", sshd.host_key, None))
    assert all(word in found.text for word in words)
    assert not found.unreachable


@pytest.mark.parametrize(
    "answers",
    ["", "This account is currently not available.\n", facts_text(end=None), facts_text(disk="x")],
)
def test_a_probe_that_broke_off_is_said_without_the_hosts_words(sshd: Sshd, answers: str) -> None:
    sshd.answers, sshd.status = answers, 1
    found = problem(login(sshd))
    assert "did not do its work" in found.text
    assert "currently not available" not in found.text


def test_a_probe_that_never_ends_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PROBE_SECONDS", 0.1)
    sshd.silent = True
    assert "overloaded" in problem(login(sshd)).text


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = problem(Login("127.0.0.1", port, "root", host_key(1), Sshd().private_key))
    assert found.unreachable
    assert "refuses connections" in found.text
    assert "lookUp: false" in found.text


def test_a_host_that_accepts_and_stays_silent_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command plugin would hang on it for more than a minute."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = problem(Login("127.0.0.1", port, "root", host_key(1), Sshd().private_key))
    assert found.unreachable
    assert "does not answer" in found.text


def test_a_port_where_no_ssh_speaks_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        found = problem(Login("127.0.0.1", port, "root", host_key(1), Sshd().private_key))
        thread.join()
    assert found.unreachable


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name that can't be"),
        (OSError(113, "No route to host"), "can't be reached"),
        (ConnectionResetError(104, "reset"), "breaks off"),
    ],
)
def test_errors_of_the_network_have_words(error: OSError, words: str) -> None:
    assert words in connection._words(error)


@pytest.mark.parametrize("sock", ["", "/nowhere/agent"])
def test_without_a_key_and_without_an_agent_both_are_named(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, sock: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", sock)
    found = problem(Login("127.0.0.1", sshd.port, "root", sshd.host_key, None))
    assert "SSH_AUTH_SOCK" in found.text
    assert "sshPrivateKey" in found.text


def test_all_hosts_problems_are_said_at_once_in_the_hosts_order(sshd: Sshd) -> None:
    sshd.answers = facts_text(tun="no", disk="1")
    wrong = login(sshd, user="hex")
    found = look_up({"vps": (login(sshd), WANTED), "attic": (wrong, WANTED)})
    names = [problem.text.split()[0] for seen in found.values() for problem in seen.problems]
    assert names == ["vps", "vps", "attic"]


REPORT = """\
helper 1
owner reverse-tunnel/home
role vps
unit enabled
interface up kernel
end 1764290000
"""


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (REPORT, True),
        (REPORT.replace("home", "other"), False),  # another stack's: its own business
        (REPORT.replace("end 1764290000\n", ""), False),  # cut short
        ("", False),  # no helper yet
    ],
)
def test_what_a_tunnel_of_this_stack_tells_is_brought_along(
    sshd: Sshd, told: str, *, known: bool
) -> None:
    sshd.answers = facts_text() + told
    seen = look_up({"vps": (login(sshd), WANTED)})["vps"]
    assert seen.problems == []
    assert (seen.report is not None) == known


def test_a_login_never_shows_its_key(sshd: Sshd) -> None:
    secret = sshd.private_key.splitlines()[1]
    assert secret not in repr(login(sshd))
    assert secret not in str(login(sshd))


def test_a_login_is_written_as_ssh_takes_it() -> None:
    assert str(Login("192.0.2.1", 22, "hex", "", None)) == "hex@192.0.2.1"
    assert str(Login("192.0.2.1", 2222, "hex", "", None)) == "hex@192.0.2.1:2222"
    assert str(Login("2001:db8::1", 22, "root", "", None)) == "root@[2001:db8::1]"
