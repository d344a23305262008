"""Removing what no stack has: the helper is told of it by a login of its own."""

import asyncio
from collections.abc import Iterator

import pytest

from components.preflight.left_over import LeftOverError, remove
from reach.entries.part import Part
from tests.components.sshd import Sshd, running
from tests.support import run_without_threads

HELPER = "/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1"
ENTRIES = [
    (Part.FORWARD, "old"),
    (Part.PEER, "ghost"),
    (Part.OPENING, "nas"),
    (Part.PRESHARED_KEY, "laptop"),
]


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    asked = f"""\
set -e
{HELPER} remove-forward old
{HELPER} remove-preshared-key ghost
{HELPER} remove-peer ghost
{HELPER} remove-opening nas
{HELPER} remove-preshared-key laptop
"""
    with running(Sshd(asked=asked, answers="")) as server:
        yield server


def run(sshd: Sshd) -> None:
    asyncio.run(remove("vps", [sshd.login()], "wg0", ENTRIES))


def test_the_helper_is_told_of_each_entry_by_name_on_standard_input(sshd: Sshd) -> None:
    run(sshd)
    assert sshd.probed == 1


def test_so_it_is_while_the_engine_registers_as_much_as_it_can_at_once(sshd: Sshd) -> None:
    run_without_threads(remove("vps", [sshd.login()], "wg0", ENTRIES))
    assert sshd.probed == 1


def test_a_helper_that_fails_is_told_with_the_hosts_name(sshd: Sshd) -> None:
    sshd.status, sshd.complains = 1, "reverse-tunnel: the disk is full\n"
    with pytest.raises(LeftOverError, match=r"^vps \(root@127.*\): reverse-tunnel: the disk is"):
        run(sshd)


def test_what_a_helper_says_steers_no_terminal(sshd: Sshd) -> None:
    sshd.status, sshd.complains = 1, "\x1b[2Jwhere the Größe is\n\tunknown\n"
    with pytest.raises(LeftOverError, match=r": \ufffd\[2Jwhere the Größe is\n\tunknown$"):
        run(sshd)


def test_one_that_is_ended_without_a_word_is_told_all_the_same(sshd: Sshd) -> None:
    sshd.status = 1
    with pytest.raises(LeftOverError, match=r"^vps \(root@127.*\): what was run there was ended"):
        run(sshd)
