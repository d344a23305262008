"""What keeps a host from being reached has words of ours."""

import socket

import asyncssh
import pytest

from reach import Login
from reach.failure import failed, network_words
from tests.settings.samples import host_key


def test_who_shows_the_host_key_without_having_it_is_somebody_else() -> None:
    login = Login("192.0.2.1", 22, "root", host_key(1), None)
    said = failed(asyncssh.KeyExchangeFailed("Key exchange hash mismatch"), login, [], [])
    assert "can't prove that it is its own" in str(said)
    assert said.somebody_else


def test_a_host_key_that_cannot_be_read_is_said() -> None:
    error = asyncssh.HostKeyNotVerifiable("Invalid host key")
    login = Login("192.0.2.1", 22, "root", host_key(1), None)
    said = failed(error, login, [], [])
    assert "can't be read" in str(said)
    assert said.somebody_else


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name that can't be"),
        (OSError(113, "No route to host"), "can't be reached"),
        (ConnectionResetError(104, "reset"), "breaks off"),
        (OSError("Multiple exceptions: [Errno 101] unreachable, [Errno 111] no"), "refuses"),
        (OSError("Multiple exceptions: [Errno 101] away, [Errno 113] no"), "No route to host"),
    ],
)
def test_errors_of_the_network_have_words(error: OSError, words: str) -> None:
    assert words in network_words(error)


def test_an_error_of_the_network_without_a_number_is_no_success() -> None:
    assert network_words(OSError("odd")) == "can't be reached"
