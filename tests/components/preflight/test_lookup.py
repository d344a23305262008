"""The look-up, against a server on loopback: each thing that can be wrong, and that it is said."""

import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Self

import asyncssh
import pytest

from components.preflight import lookup
from components.preflight.lookup import Seen, look_up
from components.preflight.problem import HostProblem
from components.preflight.wanted import Wanted
from reach import NO_SUDO, SUDO_ASKS, Login, connection, limit
from reach.failure import ended
from settings import HOST_KEY_TYPES, Packages
from tests.components.sshd import Sshd, facts_text, running
from tests.settings.samples import host_key
from tests.support import eventually, full, resolve, speaking

WANTED = Wanted("wg0", "reverse-tunnel/home", IPv4Network("172.16.0.0/24"), Packages.INSTALL)


def seen(*ways: Login) -> Seen:
    return look_up({"homelab": (ways, WANTED)})["homelab"]


def problem(*ways: Login) -> HostProblem:
    (found,) = seen(*ways).problems
    return found


def test_a_healthy_host_has_no_problem(sshd: Sshd) -> None:
    assert seen(sshd.login()) == Seen([], way=0, equipped=False)
    assert sshd.probed == 1


@pytest.mark.parametrize("chatter", ["Welcome\n", "\udcff\n"])
def test_what_a_logins_own_files_print_is_passed_over(sshd: Sshd, chatter: str) -> None:
    """Also a byte that is no text."""
    sshd.answers, sshd.complains = chatter + sshd.answers, chatter
    assert seen(sshd.login()) == Seen([], way=0, equipped=False)


def test_a_long_answer_is_read_to_its_end(sshd: Sshd) -> None:
    sshd.answers = f"\n{sshd.answers}".rjust(connection.MOST, "a")
    sshd.complains = "a" * connection.MOST
    assert seen(sshd.login()) == Seen([], way=0, equipped=False)


def test_one_without_an_end_is_broken_off(sshd: Sshd) -> None:
    """It would take all memory."""
    sshd.endless, sshd.answers = True, "a" * 100_000
    found = problem(sshd.login())
    assert f"@127.0.0.1:{sshd.port}): the login works, but what was run there" in found.text
    assert "printed more than 4 MB" in found.text
    assert not found.unreachable
    eventually(lambda: sshd.ended, 20, "it still goes on")


@pytest.mark.parametrize("stream", ["answers", "complains"])
def test_one_that_is_too_long_is_refused(sshd: Sshd, stream: str) -> None:
    setattr(sshd, stream, "a" * (connection.MOST + 1))
    assert "printed more than 4 MB" in problem(sshd.login()).text


def test_nothing_is_taken_compressed() -> None:
    """A few bytes could be meant to become all that the memory holds. Any sshd can do without."""
    with running(Sshd(compresses=True)) as sshd:
        assert problem(sshd.login())  # in whose words, depends on which side sees it first
        assert sshd.probed == 0


def test_why_an_sshd_hangs_up_steers_no_terminal() -> None:
    said = str(ended(asyncssh.ConnectionLost("Größe: \x1b[2J <{%x%}>")))
    assert 'the SSH connection: "Größe: \ufffd[2J < {%x%}>". Is it' in said


def test_how_its_user_reaches_hosts_is_not_read(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command plugin does not, either, and would fail where the look succeeds."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  User nobody\n  Port 1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert seen(sshd.login()) == Seen([], way=0, equipped=False)


def test_facts_that_are_wrong_for_the_tunnel_are_said_behind_the_hosts_name(sshd: Sshd) -> None:
    sshd.answers = facts_text(tun="no")
    found = problem(sshd.login())
    assert found.text.startswith(f"homelab (root@127.0.0.1:{sshd.port}) has no TUN device")
    assert not found.unreachable


def test_another_host_key_is_refused_and_both_are_shown(sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    found = problem(sshd.login(host_key=other.export_public_key().decode()))
    assert "another host key" in found.text
    assert sshd.key.get_fingerprint() in found.text
    assert other.get_fingerprint() in found.text
    assert not found.unreachable
    assert sshd.probed == 0


@pytest.mark.parametrize("kind", HOST_KEY_TYPES)
def test_every_kind_of_host_key_that_may_be_written_is_asked_for(kind: str) -> None:
    with running(Sshd(key=asyncssh.generate_private_key(kind))) as sshd:
        assert seen(sshd.login()) == Seen([], way=0, equipped=False)


@pytest.mark.parametrize(
    ("has", "wanted"),
    [("ssh-ed25519", "ecdsa-sha2-nistp256"), ("ecdsa-sha2-nistp384", "ssh-ed25519")],
)
def test_another_kind_of_host_key_is_refused(has: str, wanted: str) -> None:
    """The command plugin asks for the pinned kind alone, so the look-up does, too."""
    pinned = asyncssh.generate_private_key(wanted).export_public_key().decode()
    with running(Sshd(key=asyncssh.generate_private_key(has))) as sshd:
        found = problem(sshd.login(host_key=pinned))
    assert f"offers no {wanted} key" in found.text
    assert f"Put its {has} key there: {sshd.key.get_fingerprint()}" in found.text
    assert not found.unreachable


def test_a_host_with_no_kind_of_host_key_that_can_be_asked_for_is_said() -> None:
    with running(Sshd(key=asyncssh.generate_private_key("ssh-ed448"))) as sshd:

        def told() -> HostProblem:
            found = problem(sshd.login(host_key=host_key(1)))
            assert "find nothing that both can do" in found.text
            return found

        # Whoever sees it first hangs up, and now and then the other hears of that alone.
        found = eventually(told, 30.0, "it is never said")
    assert "HostKeyAlgorithms" in found.text
    assert not found.unreachable


def test_a_refused_key_is_shown_by_its_public_half(sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    found = problem(sshd.login(private_key=other.export_private_key().decode()))
    assert "login as root is refused" in found.text
    assert other.export_public_key().decode().split()[1] in found.text
    assert not found.unreachable
    assert sshd.probed == 0


def test_an_unknown_user_is_refused(sshd: Sshd) -> None:
    assert "login as hex is refused" in problem(sshd.login(user="hex")).text


def test_a_sudo_that_asks_for_a_password_is_said_with_the_line_that_cures_it(sshd: Sshd) -> None:
    sshd.user, sshd.status, sshd.answers = "hex", SUDO_ASKS, ""
    assert "hex ALL=(ALL) NOPASSWD: ALL" in problem(sshd.login()).text


def test_the_advised_file_of_sudo_has_a_name_that_sudo_reads(sshd: Sshd) -> None:
    """It passes over those with a dot."""
    sshd.user, sshd.status, sshd.answers = "ann.lee", SUDO_ASKS, ""
    line = "echo 'ann.lee ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ann-lee "
    assert line in problem(sshd.login()).text


def test_a_host_without_sudo_is_said(sshd: Sshd) -> None:
    sshd.user, sshd.status, sshd.answers = "hex", NO_SUDO, ""
    assert "there is no sudo" in problem(sshd.login()).text


def test_a_host_that_opens_no_session_is_said() -> None:
    """By sshd's settings: MaxSessions 0."""
    with running(Sshd(sessions=False)) as sshd:
        found = problem(sshd.login())
    assert "opens no session" in found.text
    assert "MaxSessions" in found.text
    assert not found.unreachable


def test_a_connection_that_ends_after_the_login_is_unreachable(sshd: Sshd) -> None:
    sshd.breaks_off = True
    found = problem(sshd.login())
    assert sshd.probed == 1
    assert found.unreachable


class Agent:
    """An SSH agent."""

    def __init__(self, *keys: asyncssh.SSHKey) -> None:
        self._keys = keys

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get_keys(self) -> Sequence[asyncssh.SSHKeyPair]:
        return asyncssh.load_keypairs(list(self._keys))


def use_agent(monkeypatch: pytest.MonkeyPatch, *keys: asyncssh.SSHKey) -> None:
    async def connect(_path: str) -> Agent:
        return Agent(*keys)

    monkeypatch.setattr(asyncssh, "connect_agent", connect)


@pytest.mark.parametrize(
    ("patient", "words"),
    [(False, ("all 2 keys of the SSH agent", "sshPrivateKey")), (True, ("login as root is refu",))],
)
def test_an_agent_with_more_keys_than_sshd_looks_at_is_said(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, *, patient: bool, words: tuple[str, ...]
) -> None:
    use_agent(monkeypatch, *[asyncssh.generate_private_key("ssh-ed25519")] * 2)
    sshd.patient = patient
    found = problem(sshd.login(private_key=None))
    assert all(word in found.text for word in words)
    assert not found.unreachable


@pytest.mark.parametrize(
    "answers",
    ["", "This account is currently not available.\n", facts_text(end=None), facts_text(disk="x")],
)
def test_a_probe_that_broke_off_is_said_without_the_hosts_words(sshd: Sshd, answers: str) -> None:
    sshd.answers, sshd.status = answers, 1
    found = problem(sshd.login())
    assert "did not do its work" in found.text
    assert "currently not available" not in found.text


def test_a_probe_that_never_ends_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PROBE_SECONDS", 0.1)
    sshd.silent = True
    found = problem(sshd.login())
    assert found.text.endswith("Is the host overloaded? To go on without: lookUp: false.")
    assert found.unreachable


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = problem(Login("127.0.0.1", port, "root", host_key(1), Sshd().private_key))
    assert found.unreachable
    assert "refuses connections" in found.text
    assert "To go on without: lookUp: false. If it is gone for good, see docs/op" in found.text


def test_a_name_with_several_addresses_is_closed_like_one(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "home.example.org", ["255.255.255.255", "127.0.0.1"])
    assert seen(sshd.login(host="home.example.org")).way == 0
    found = problem(sshd.login(host="home.example.org", port=closed(sshd).port))
    assert found.unreachable
    assert "the host refuses connections to that port." in found.text


def test_of_a_name_the_next_address_is_tried_while_one_does_not_answer(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a network drops IPv6, whose addresses come first."""
    resolve(monkeypatch, "home.example.org", ["127.0.0.2", "127.0.0.1"])
    with full("127.0.0.2", sshd.port):
        assert seen(sshd.login(host="home.example.org")).way == 0


def test_a_host_that_accepts_and_stays_silent_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command plugin would hang on it for more than a minute."""
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = problem(Login("127.0.0.1", port, "root", host_key(1), Sshd().private_key))
    assert found.unreachable
    assert "the host takes the connection, but no login within 0 s." in found.text


def test_a_host_that_takes_its_time_for_the_login_is_waited_for(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    sshd.thinks = 2.0
    assert seen(sshd.login()).way == 0


@pytest.mark.parametrize("words", [b"", b"Exceeded MaxStartups\r\n", b"220 mail\r\n"])
def test_a_port_where_no_ssh_speaks_is_unreachable(words: bytes) -> None:
    with speaking(words, hangs_up=True) as port:
        found = problem(Login("127.0.0.1", port, "root", host_key(1), Sshd().private_key))
    assert found.unreachable
    assert "may have too many at this moment (MaxStartups): run again" in found.text


def test_an_sshd_with_too_many_logins_for_a_moment_is_tried_again(sshd: Sshd) -> None:
    """As where strangers try theirs: it drops some then."""
    sshd.drops = 2
    assert seen(sshd.login()).way == 0


def test_but_a_few_times_only(sshd: Sshd) -> None:
    sshd.drops = 9
    assert "MaxStartups" in problem(sshd.login()).text
    assert sshd.drops == 9 - (1 + connection.AGAIN)


def test_all_hosts_problems_are_said_at_once_in_the_hosts_order(sshd: Sshd) -> None:
    sshd.answers = facts_text(tun="no", disk="1")
    wrong = sshd.login(user="hex")
    found = look_up({"vps": ([sshd.login()], WANTED), "attic": ([wrong], WANTED)})
    names = [problem.text.split()[0] for each in found.values() for problem in each.problems]
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
    found = seen(sshd.login())
    assert found.problems == []
    assert (found.report is not None) == known


# ---- several ways ----


@pytest.fixture
def vps(other: Sshd) -> Sshd:
    """Another server, which passes connections on."""
    return other


def closed(sshd: Sshd) -> Login:
    """A way where nobody is."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return sshd.login(port=free.getsockname()[1])


def test_the_first_way_that_answers_is_taken(sshd: Sshd, vps: Sshd) -> None:
    assert seen(sshd.login(), vps.login()).way == 0
    assert seen(closed(sshd), sshd.login(), vps.login()).way == 1
    assert vps.probed == 0


def test_a_way_through_another_host_leads_by_its_sshd(sshd: Sshd, vps: Sshd) -> None:
    """With each its own host key, and sshd's port where it is."""
    way = sshd.login(through=vps.login())
    assert seen(closed(sshd), way) == Seen([], way=1, equipped=False)
    assert vps.passed == [("127.0.0.1", sshd.port)]
    assert (sshd.probed, vps.probed) == (1, 0)


@pytest.mark.parametrize("held", [True, False])
def test_an_agents_key_opens_both_hosts_of_a_way(
    sshd: Sshd, vps: Sshd, monkeypatch: pytest.MonkeyPatch, *, held: bool
) -> None:
    use_agent(
        monkeypatch, sshd.client_key if held else asyncssh.generate_private_key("ssh-ed25519")
    )
    through = vps.login(private_key=None)
    found = seen(sshd.login(private_key=None, through=through))
    assert (found.way == 0) == held
    assert bool(found.problems) != held


def test_who_answers_with_another_key_is_passed_by(sshd: Sshd, vps: Sshd) -> None:
    """Away from home, the address at home is that of somebody else's machine, or of nobody."""
    somebody = vps.login(host_key=sshd.host_key)
    assert seen(somebody, sshd.login()) == Seen([], way=1, equipped=False)
    assert vps.probed == 0


def test_whoever_passes_a_connection_on_cannot_answer_it_himself(sshd: Sshd, vps: Sshd) -> None:
    """The host key is checked at the far end of the way."""
    way = vps.login(host_key=sshd.host_key, through=vps.login())
    found = problem(way)
    assert "another host key" in found.text
    assert vps.probed == 0


def test_a_login_that_the_host_itself_refuses_is_tried_by_no_other_way(
    sshd: Sshd, vps: Sshd
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    refused = sshd.login(private_key=other)
    found = problem(closed(sshd), refused, sshd.login(through=vps.login()))
    assert found.text.startswith(f"homelab ({refused}): the login as root is refused")
    assert vps.passed == []


def test_where_no_way_leads_there_each_is_named_with_its_reason(sshd: Sshd, vps: Sshd) -> None:
    nobody, through = closed(sshd), closed(vps)
    somebody = vps.login(host_key=sshd.host_key)
    far = sshd.login(through=through)
    found = problem(nobody, somebody, far)
    head, *lines = found.text.splitlines()
    assert head == "homelab: none of its ways leads there:"
    reasons = {
        nobody: "the host refuses connections",
        somebody: "the host shows another host key",
        far: f"it is reached through {through}, and there the host refuses connections",
    }
    for line, (way, words) in zip(lines, reasons.items(), strict=True):
        assert line.startswith(f"    {way}: {words}")
    assert found.unreachable


def test_a_tunnel_that_is_not_there_yet_is_said(sshd: Sshd, vps: Sshd) -> None:
    found = problem(sshd.login(port=closed(sshd).port, through=vps.login()))
    assert f"asked from {vps.login()}" in found.text
    assert "Before the first `pulumi up` there is none yet" in found.text
    assert "[192.168.1.20, {through: vps}]" in found.text
    assert found.unreachable


def test_a_tunnel_in_which_nobody_answers_is_said(
    sshd: Sshd, vps: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = problem(sshd.login(port=silent.getsockname()[1], through=vps.login()))
    assert "takes the connection, but no login within 5 s" in found.text
    assert "is the tunnel up?" in found.text


def test_a_host_that_falls_silent_behind_another_is_given_up(
    sshd: Sshd, vps: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "PROBE_SECONDS", 0.5)
    sshd.silent = True
    assert "overloaded" in problem(sshd.login(through=vps.login())).text


def test_an_sshd_that_passes_nothing_on_is_said(sshd: Sshd, vps: Sshd) -> None:
    vps.passes_on = False
    found = problem(sshd.login(through=vps.login()))
    assert f"sshd at {vps.login()} passes nothing on" in found.text
    assert "AllowTcpForwarding local" in found.text
    assert sshd.probed == 0


# ---- many hosts behind one ----


def behind(vps: Login, sshd: Sshd) -> Mapping[str, tuple[Sequence[Login], Wanted]]:
    return {f"server{number}": ([sshd.login(through=vps)], WANTED) for number in range(12)}


def test_few_log_in_at_once_where_all_hosts_are_reached_through_one(sshd: Sshd, vps: Sshd) -> None:
    """With more than ten that have yet to, sshd drops some."""
    vps.thinks = 0.2
    found = look_up({**behind(vps.login(), sshd), "vps": ([vps.login()], WANTED)})
    assert {each.way for each in found.values()} == {0}
    assert 1 < vps.most <= limit.AT_ONCE
    assert vps.logins == 13


def test_one_that_drops_for_a_moment_passes_all_on(sshd: Sshd, vps: Sshd) -> None:
    vps.drops = 4
    assert {each.way for each in look_up(behind(vps.login(), sshd)).values()} == {0}


def test_if_that_one_does_not_answer_those_who_wait_for_it_hear_so(
    sshd: Sshd, vps: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each on its own would wait all the seconds, after the others."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    dialled: list[int] = []
    real = asyncssh.connect

    def connect(host: str, port: int, **how: object) -> object:
        dialled.append(port)
        return real(host, port, **how)

    monkeypatch.setattr(asyncssh, "connect", connect)
    with full("127.0.0.1") as port:
        found = look_up(behind(vps.login(port=port), sshd))
    texts = [problem.text for each in found.values() for problem in each.problems]
    assert len(texts) == 12
    assert all("and there the host does not answer within 1 s" in text for text in texts)
    assert dialled == [port] * limit.AT_ONCE
