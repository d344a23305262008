"""Whether a port answers, on loopback."""

import asyncio
import socket

import pytest

from operate import public_port
from operate.public_port import answer_of
from reach import run_in_loop
from tests.support import full, resolve


def test_a_port_answers_or_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert asyncio.run(answer_of("127.0.0.1", port)) == "answers"
    assert asyncio.run(answer_of("127.0.0.1", port)) == "refuses"


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1", "127.0.0.2"], ["255.255.255.255", "127.0.0.1"]]
)
def test_a_name_with_several_addresses_refuses_if_one_does(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """Such as one of IPv6, where there is none."""
    resolve(monkeypatch, "home.example.org", addresses)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert asyncio.run(answer_of("home.example.org", port)) == "answers"
    assert asyncio.run(answer_of("home.example.org", port)) == "refuses"


def test_a_name_answers_if_one_address_does_while_another_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a network drops IPv6, whose addresses come first."""
    resolve(monkeypatch, "home.example.org", ["127.0.0.2", "127.0.0.1"])
    with full("127.0.0.2") as port:
        with socket.create_server(("127.0.0.1", port)):
            assert run_in_loop(answer_of("home.example.org", port)) == "answers"
        monkeypatch.setattr(public_port, "_WAIT", 1.0)
        assert run_in_loop(answer_of("home.example.org", port)) == "silent"


def test_a_name_of_which_no_address_can_be_reached_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "home.example.org", ["255.255.255.255", "224.0.0.1"])
    assert asyncio.run(answer_of("home.example.org", 80)) == "silent"


def test_a_port_behind_which_nobody_takes_the_connection_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(public_port, "_WAIT", 0.2)
    with full("127.0.0.1") as port:
        assert asyncio.run(answer_of("127.0.0.1", port)) == "silent"


def test_a_name_that_nobody_knows_is_silent() -> None:
    assert asyncio.run(answer_of("nobody.invalid", 80)) == "silent"
