"""Flows that run beside a test and tell afterwards what became of them.

Between the same two ends as a visitor's: a stream of UDP packets, a TCP download, and a TCP
connection that a test speaks through, see lab/hosts/services.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from lab.hosts.host import Host
from tests.lab.probes import LASTING, SHORT

_PROGRAMS = "/usr/local/lib/lab"
_ENOUGH = 100_000  # bytes a second of a download: a packet every few milliseconds


@dataclass(frozen=True)
class StreamReport:
    """What became of a stream: how many packets were sent, which never came back.

    Attributes:
        silence: the longest time in which none came back, in seconds; late ones are no help.
    """

    sent: int
    lost: list[int]
    silence: float
    seen_as: list[str]


@dataclass(frozen=True)
class DownloadReport:
    """What became of a download: how many bytes came, whether it was still going on at the end."""

    bytes: int
    alive: bool


class _Flow:
    """A program on a host that runs until its standard input ends; none waits for ever."""

    def __init__(self, host: Host, program: str, *words: str) -> None:
        self._process = host.popen(["python3", f"{_PROGRAMS}/{program}", *words])
        self._where = f"{program} on {host.name}"

    def begin(self) -> None:
        """Wait until it flows."""
        assert self._read() == "flowing"

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, f"{self._where} ended: {self._errors()}"
        return line

    def _errors(self) -> str:
        self._process.kill()
        return self._process.communicate()[1].strip()

    def _finish(self) -> Any:  # noqa: ANN401  # whatever it reports
        assert self._process.stdin
        self._process.stdin.close()
        return json.loads(self._read())

    def kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        self._process.wait()


class Stream(_Flow):
    """50 UDP packets a second that an echo service sends back."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        super().__init__(host, "stream.py", address, str(port))

    def end(self) -> StreamReport:
        return StreamReport(**self._finish())


class Download(_Flow):
    """A TCP download that goes on until it is ended."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        super().__init__(host, "download.py", address, str(port), str(_ENOUGH))

    def end(self) -> DownloadReport:
        return DownloadReport(**self._finish())


class Connection(_Flow):
    """A TCP connection to an echo service. Silent unless it is spoken to.

    Attributes:
        greeting: what the service says first: the visitor's address and port as seen there.
    """

    def __init__(self, host: Host, address: str, port: int) -> None:
        super().__init__(host, "tcp_connection.py", address, str(port))
        self.greeting = ""

    def begin(self) -> None:
        """Wait until the service has greeted."""
        self.greeting = self._read()
        assert self.greeting != "dead", f"{self._where}: nobody greets"

    def is_alive(self) -> bool:
        """Whether the far end answers."""
        return self._answers(LASTING)

    def is_dead(self) -> bool:
        """Whether nothing comes back, as it is expected; it is dead from then on."""
        return not self._answers(SHORT)

    def _answers(self, patience: int) -> bool:
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{patience} hello\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return self._read() == "hello"


Flow = TypeVar("Flow", bound=_Flow)


@contextmanager
def _flowing(flow: Flow) -> Iterator[Flow]:
    try:
        flow.begin()
        yield flow
    finally:
        flow.kill()


def stream(host: Host, address: str, port: int) -> AbstractContextManager[Stream]:
    """A stream that ends with the block at the latest; it flows when the block begins."""
    return _flowing(Stream(host, address, port))


def download(host: Host, address: str, port: int) -> AbstractContextManager[Download]:
    """A download that ends with the block at the latest; it flows when the block begins."""
    return _flowing(Download(host, address, port))


def connection(host: Host, address: str, port: int) -> AbstractContextManager[Connection]:
    """A connection that ends with the block; it is alive when the block begins."""
    return _flowing(Connection(host, address, port))


@contextmanager
def echo_service(host: Host, ports: str, *address: str) -> Iterator[None]:
    """Sends back what it gets by TCP and UDP on a port, or a range such as `7000-7003`.

    Args:
        host: where.
        ports: at which ports.
        address: at which address only; otherwise at every one that the host has.
    """
    service = host.popen(["python3", f"{_PROGRAMS}/echo.py", ports, *address])
    try:
        assert service.stdout
        ready = service.stdout.readline().strip()
        assert ready == "ready", f"no echo service on {host.name}: {service.communicate()[1]}"
        yield
    finally:
        service.kill()
        service.communicate()
