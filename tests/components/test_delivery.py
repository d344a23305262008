"""Bringing the helper to a host, before the command that installs it."""

import asyncio
from collections.abc import Iterator

import pytest

from components import delivery
from components.delivery import DeliveryError, deliver
from components.remote import login_of
from reach import LIBRARY, Login
from reach.shell import delivery_text
from tests.components.sshd import Sshd, running
from tests.support import run_without_threads

FOLDER = f"{LIBRARY}/wg0"


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with running(Sshd(asked=delivery_text(FOLDER), answers="")) as server:
        yield server


def test_the_helper_goes_there_on_standard_input(sshd: Sshd) -> None:
    asyncio.run(deliver("vps", sshd.login(), FOLDER))
    assert sshd.probed == 1


def test_it_goes_there_while_the_engine_registers_as_much_as_it_can_at_once(sshd: Sshd) -> None:
    """Which waits for the delivery, and would be waited for."""
    run_without_threads(deliver("vps", sshd.login(), FOLDER))
    assert sshd.probed == 1


def test_a_host_without_room_is_told_by_name(sshd: Sshd) -> None:
    sshd.status, sshd.complains = 1, "reverse-tunnel: the helper could not be written\n"
    with pytest.raises(DeliveryError, match=r"^vps \(root@127.*\): reverse-tunnel: the helper co"):
        asyncio.run(deliver("vps", sshd.login(), FOLDER))


def test_a_complaint_of_several_lines_is_told_line_by_line(sshd: Sshd) -> None:
    """What is no text of them would steer the terminal on which it is shown."""
    sshd.status = 1
    sshd.complains = "\nGröße:\t\x1b]52;c;aGk=\x07\n  E: a\u202eb <{%x%}>\r\n\n"
    with pytest.raises(DeliveryError) as told:
        asyncio.run(deliver("vps", sshd.login(), FOLDER))
    assert str(told.value).endswith("): Größe:\t\ufffd]52;c;aGk=\ufffd\n  E: a\ufffdb < {%x%}>")


def test_of_a_long_complaint_the_last_lines_are_told(sshd: Sshd) -> None:
    sshd.status = 1
    sshd.complains = "".join(f"line {number}\n" for number in range(1000)) + "a" * 5000
    with pytest.raises(DeliveryError) as told:
        asyncio.run(deliver("vps", sshd.login(), FOLDER))
    *_, before, last = str(told.value).splitlines()
    assert before == "line 999"
    assert last == "a" * 999 + "…"
    assert "line 980" not in str(told.value)
    assert "line 981" in str(told.value)


def test_a_delivery_that_ends_without_a_word_is_told_all_the_same(sshd: Sshd) -> None:
    """As where the host ends what takes too much memory."""
    sshd.status = 1
    with pytest.raises(DeliveryError, match=r"^vps \(root@127.*\): what was run there was ended"):
        asyncio.run(deliver("vps", sshd.login(), FOLDER))


def test_a_host_that_breaks_off_is_tried_again(sshd: Sshd) -> None:
    sshd.breaks_off = sshd.recovers = True
    asyncio.run(deliver("vps", sshd.login(), FOLDER))
    assert sshd.probed == 2


def test_so_is_one_that_takes_too_long_and_is_told_as_that(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DIAL_RETRIES", 1)
    monkeypatch.setattr(delivery, "_SECONDS", 0.5)
    sshd.silent = True
    with pytest.raises(DeliveryError, match=r"^vps \(root@127.*overloaded\?$"):
        asyncio.run(deliver("vps", sshd.login(), FOLDER))
    assert sshd.logins == 2  # on a busy machine none of them gets as far as the script


def test_a_host_that_stays_away_is_told(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "DIAL_RETRIES", 1)
    sshd.breaks_off = True
    with pytest.raises(DeliveryError, match=r"^vps \(root@127.*\): the host ended the SSH con"):
        asyncio.run(deliver("vps", sshd.login(), FOLDER))
    assert sshd.probed == 2


def test_an_sshd_with_too_many_logins_is_tried_no_more_often_for_that(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DIAL_RETRIES", 1)
    sshd.drops = 9
    with pytest.raises(DeliveryError, match=r"^vps \(root@127.*MaxStartups"):
        asyncio.run(deliver("vps", sshd.login(), FOLDER))
    assert sshd.drops == 7


def test_a_login_that_is_refused_is_not_tried_again(sshd: Sshd) -> None:
    sshd.user = "hex"
    with pytest.raises(DeliveryError, match=r"^vps .*the login as root is refused"):
        asyncio.run(deliver("vps", sshd.login(user="root"), FOLDER))
    assert sshd.probed == 0


def test_it_logs_in_as_the_command_does() -> None:
    jump = {"host": "203.0.113.10", "port": 2222.0, "user": "root", "hostKey": "a key"}
    there = {"host": "172.16.0.4", "port": 22.0, "user": "hex", "hostKey": "other", "proxy": jump}
    through = Login("203.0.113.10", 2222, "root", "a key", None)
    assert login_of(there) == Login("172.16.0.4", 22, "hex", "other", None, through)
    assert login_of({**jump, "privateKey": "secret"}).private_key == "secret"
