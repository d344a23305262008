"""Logging in by an SSH agent: one that is absent, empty or ill, on a socket of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from components import LookUpError
from components.preflight.agent import absent_agent
from reach import connection, keys
from settings import load
from tests.components.inspected import heard, run, stack
from tests.components.preflight.test_lookup import problem
from tests.components.sshd import Sshd

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

_KEYS, _FAILURE = 12, 5  # messages of the agent protocol, RFC 9987


def text(value: bytes) -> bytes:
    """As the protocol writes texts, and whole messages."""
    return len(value).to_bytes(4, "big") + value


@contextmanager
def agent(path: Path, *answers: Answer) -> Iterator[None]:
    """One that gives these answers, one after the other, to whoever asks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="agent")
    thread.start()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            await answer(writer)
        writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_unix_server(talk, path)

    async def end() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def fails(writer: asyncio.StreamWriter) -> None:
    writer.write(text(bytes([_FAILURE])))


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def waits(writer: asyncio.StreamWriter) -> None:
    """As for its user."""
    del writer
    await asyncio.Event().wait()


def holds(*held: asyncssh.SSHKey) -> Answer:
    async def tell(writer: asyncio.StreamWriter) -> None:
        listed = b"".join(text(key.public_data) + text(b"a comment") for key in held)
        writer.write(text(bytes([_KEYS]) + len(held).to_bytes(4, "big") + listed))

    return tell


@pytest.fixture
def sock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agent is."""
    path = tmp_path / "agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    return path


@pytest.mark.parametrize("path", ["", "/nowhere/agent"])
def test_without_a_key_and_without_an_agent_both_are_named(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    found = problem(sshd.login(private_key=None))
    assert "no SSH agent answers (SSH_AUTH_SOCK)" in found.text
    assert "sshPrivateKey" in found.text


def test_an_absent_agent_is_not_looked_for_at_a_host_on_the_way(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is another way tried: none can succeed."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    far = sshd.login(private_key=None, through=sshd.login(private_key=None))
    found = problem(far, sshd.login())
    assert found.text.startswith(f"homelab ({far}): no SSH agent answers")
    assert "there no SSH agent" not in found.text
    assert sshd.probed == 0


@pytest.mark.parametrize("answer", [fails, hangs_up, waits])
def test_an_ill_agent_is_not_blamed_on_the_host(
    sshd: Sshd, sock: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(keys, "AGENT_SECONDS", 0.5)
    with agent(sock, answer):
        found = problem(sshd.login(private_key=None))
    assert "no SSH agent answers (SSH_AUTH_SOCK)" in found.text
    assert not found.unreachable


def test_an_agent_without_a_key_is_said_though_there_are_keys_in_the_home(
    sshd: Sshd, sock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command plugin takes those of the agent alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    sshd.client_key.write_private_key(tmp_path / ".ssh" / "id_ed25519")
    with agent(sock, holds()):
        found = problem(sshd.login(private_key=None))
    assert "the SSH agent holds no key. Add yours: `ssh-add`." in found.text
    assert sshd.probed == 0


def test_an_agent_that_does_not_sign_is_said(sshd: Sshd, sock: Path) -> None:
    with agent(sock, holds(sshd.client_key), fails):
        found = problem(sshd.login(private_key=None))
    assert "the login as root is refused" in found.text
    assert "it may have refused to sign" in found.text
    assert sshd.probed == 0


def test_an_agent_that_waits_for_its_user_is_said(
    sshd: Sshd, sock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 1.0)
    with agent(sock, holds(sshd.client_key), waits):
        found = problem(sshd.login(private_key=None))
    assert "no login within 1 s (or the SSH agent waits for its user)" in found.text
    assert sshd.probed == 0


@pytest.mark.parametrize("look_up", [True, False])
@pytest.mark.parametrize("preview", [True, False])
def test_an_agent_that_is_gone_is_said_though_a_key_is_given(
    sshd: Sshd, sock: Path, *, look_up: bool, preview: bool
) -> None:
    """The command plugin dials it all the same. Whether it holds a key is all one."""
    values = {**stack(sshd), "lookUp": look_up}

    def is_refused() -> None:
        with pytest.raises(LookUpError) as error:
            run(values, preview=preview)
        _, line = str(error.value).splitlines()
        assert line.startswith(f"  here: no SSH agent is at {sock} (SSH_AUTH_SOCK). ")
        assert "`unset SSH_AUTH_SOCK`" in line

    is_refused()
    with agent(sock):
        assert not heard(run(values, preview=preview), "WARNING")
    is_refused()


def test_who_has_no_agent_needs_none_with_a_key(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "")  # which the plugin takes for none
    assert not heard(run(stack(sshd)), "WARNING")


def test_without_a_key_it_is_the_look_at_a_host_that_asks_the_agent(sshd: Sshd, sock: Path) -> None:
    settings = load({"vps": stack(sshd)["vps"]}, agent=True)
    assert not sock.exists()
    assert absent_agent(settings) == []
