"""What tests of several rooms use."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol, TypeVar

import pytest

T = TypeVar("T")

_PAUSE = 0.05  # seconds between two looks

# A program (its port is the argument) in front of sshd, of which the host cannot know that logins
# come by it.
SSH_PROXY = """
import socket, sys, threading
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
def pump(one, other):
    try:
        while data := one.recv(9000):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    near, _ = listener.accept()
    far = socket.create_connection(("127.0.0.1", 22))
    for ends in ((near, far), (far, near)):
        threading.Thread(target=pump, args=ends, daemon=True).start()
"""


class _Host(Protocol):
    def run(self, command: str, /) -> object: ...


@contextmanager
def harmed(host: _Host, harm: str, cure: str) -> Iterator[None]:
    """Some bash on a host, and at the end some other, however that comes."""
    host.run(harm)
    try:
        yield
    finally:
        host.run(cure)


def eventually(condition: Callable[[], T], timeout: float, message: str) -> T:
    """Wait until `condition()` is true and return its value.

    Args:
        condition: looked at again and again; an AssertionError counts as not yet.
        timeout: seconds; it keeps a broken run from hanging and is generous.
        message: what did not come to be, for the failure.
    """
    end = time.monotonic() + timeout
    while True:
        reason = ""
        try:
            value = condition()
        except AssertionError as error:
            value, reason = None, f": {error}"
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{message} (waited {timeout:g} s){reason}")
        time.sleep(_PAUSE)


def run_without_threads(asking: Coroutine[Any, Any, T]) -> T:
    """Runs it in a loop that has no thread left for what blocks.

    So it is with the Pulumi SDK's, while as many resources as it has threads are being registered.
    """

    async def run() -> T:
        loop, over = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        registering = loop.run_in_executor(None, over.wait)
        try:
            return await asking
        finally:
            over.set()
            await registering

    return asyncio.run(run())


@contextmanager
def speaking(words: bytes, *, hangs_up: bool) -> Iterator[int]:
    """Somebody on loopback who takes each connection, says this and no more; yields the port."""
    taken: list[socket.socket] = []

    def speak() -> None:
        with suppress(OSError):  # the end
            while True:
                one, _ = server.accept()
                taken.append(one)
                one.sendall(words)
                if hangs_up:
                    one.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=speak, name="speaking")
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


@contextmanager
def full(address: str, port: int = 0) -> Iterator[int]:
    """A port where the kernel leaves each connection without an answer; yields it."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((address, port), backlog=0))
        port = server.getsockname()[1]
        for _ in range(3):  # as many as fill its queue
            one = stack.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex((address, port))
        yield port


def resolve(monkeypatch: pytest.MonkeyPatch, name: str, addresses: Sequence[str]) -> None:
    """Lets a name have these addresses from now on, in their order."""
    real = socket.getaddrinfo

    def found(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as it is
        hosts = addresses if host == name else [host]
        return [each for one in hosts for each in real(one, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
