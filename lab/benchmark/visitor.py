"""What a visitor does with a way, and what comes of it."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from lab.failure import LabError
from lab.hosts.host import Host, HostError

_LOAD, _STREAM = 1, 2  # seconds that a load takes; packets come so seldom that they take longer
_AT_ONCE = 16  # connections of those who come all at once
_PACE, _PACED = 100, 4  # requests a second and connection, connections
_PACKETS, _SIZE = 50, 200  # a second, bytes: what a game sends
_SEGMENT = 1448  # bytes; to tell a share from a count of segments
_TRIES, _PAUSE = 40, 0.25  # an iperf3 serves one at a time, and a way needs a moment to stand


class LoadError(LabError):
    """A load did not do its work; the message says which, and what it said."""


class Flow(NamedTuple):
    """What became of TCP connections that carried as much as they could.

    Attributes:
        rate: Mbit/s.
        size: bytes.
        resent: percent of the segments that were sent again.
    """

    rate: float
    size: float
    resent: float


class Stream(NamedTuple):
    """What became of packets at a steady pace, both ways.

    Attributes:
        lost: percent.
        jitter: ms, in the worse direction, as RFC 3550 has it.
    """

    lost: float
    jitter: float


class Visitor:
    """Somebody on the internet."""

    def __init__(self, host: Host, target: str) -> None:
        self._host = host
        self._target = target

    def seen_as(self, port: int) -> str:
        """The address that the service at home sees; waits until the way stands."""
        url = f"http://{self._target}:{port}/"
        for _ in range(_TRIES):
            # Each with a source port of its own: one that went nowhere must not stand in the way.
            asked = self._host.run(["curl", "-sS", "--max-time", "1", url], check=False)
            if not asked.returncode:
                return asked.stdout.strip()
            time.sleep(_PAUSE)
        raise LoadError(f"nobody answers at port {port}: {asked.stderr.strip()}")

    def flow(self, port: int, streams: int = 1, *, down: bool, algorithm: str) -> Flow:
        """Carry as much as goes by TCP.

        Args:
            port: of an iperf3.
            streams: connections at once.
            down: from home to the visitor.
            algorithm: that of congestion control.
        """
        direction = ["--reverse"] if down else []
        words = ["--parallel", str(streams), "--congestion", algorithm, *direction]
        end = self._iperf(port, *words)["end"]
        sent, received = end["sum_sent"], end["sum_received"]
        if not received["bytes"]:
            raise LoadError(f"iperf3 at port {port} carried nothing")
        segments = sent["bytes"] / _SEGMENT
        resent = 100 * sent["retransmits"] / segments
        return Flow(received["bits_per_second"] / 1e6, received["bytes"], resent)

    def stream(self, port: int) -> Stream:
        """Send and get packets of UDP at the pace of a game."""
        rate = str(_PACKETS * _SIZE * 8)
        words = ["--udp", "--bidir", "--bitrate", rate, "--length", str(_SIZE)]
        end = self._iperf(port, *words, seconds=_STREAM)["end"]
        ways = [end[key] for key in ("sum_received", "sum_received_bidir_reverse") if key in end]
        lost, sent = (sum(way[key] for way in ways) for key in ("lost_packets", "packets"))
        if not sent or len(ways) < 2:  # noqa: PLR2004  # there and back
            raise LoadError(f"iperf3 at port {port} sent no packets")
        return Stream(100 * lost / sent, max(way["jitter_ms"] for way in ways))

    @contextmanager
    def downloading(self, port: int, algorithm: str) -> Iterator[None]:
        """Somebody beside downloads as fast as it goes, in this block."""
        words = self._words(port, 600, "--reverse", "--congestion", algorithm)
        process = self._host.popen(words)
        try:
            assert process.stdout is not None  # noqa: S101  # popen makes pipes
            if "Connecting" not in process.stdout.readline():
                raise LoadError(f"no download beside: {process.communicate()[1].strip()}")
            time.sleep(_PAUSE)  # until it is in full swing
            yield
        finally:
            process.kill()
            process.communicate()

    def new_connections(self, port: int) -> float:
        """How many connections a second come about, with one request each."""
        said = self._wrk(port, "--header", "Connection: close")
        (rate,) = _found(r"Requests/sec:\s+([\d.]+)", said)
        return float(rate)

    def busy_latency(self, port: int) -> float:
        """Milliseconds that 99 of 100 requests take at most, by 16 connections that never rest."""
        said = self._wrk(port, "--latency")
        figure, unit = _found(r"99%\s+([\d.]+)(us|ms|s)\b", said)
        return float(figure) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    def paced_latency(self, port: int) -> tuple[float, float]:
        """Milliseconds that 50 and 99 of 100 requests take at most, at a fixed rate."""
        log = "/tmp/bench-latencies"  # noqa: S108  # on a host of the lab
        words = ["h2load", "--h1", f"--clients={_PACED}", f"--rps={_PACE}"]
        words += [f"--duration={_LOAD}", "--warm-up-time=0"]
        words += [f"--log-file={log}", f"http://{self._target}:{port}/"]
        self._host.run(["rm", "-f", log])
        self._run(words)
        lines = [line.split() for line in self._host.read(log).splitlines()]
        took = sorted(int(micros) / 1e3 for _began, status, micros in lines if status == "200")
        if not took or len(took) < len(lines):
            raise LoadError(f"h2load: {len(lines) - len(took)} of {len(lines)} requests failed")
        return took[len(took) // 2], took[len(took) * 99 // 100]

    def _wrk(self, port: int, *words: str) -> str:
        options = ["--threads=1", f"--connections={_AT_ONCE}", f"--duration={_LOAD}", *words]
        return self._run(["wrk", *options, f"http://{self._target}:{port}/"])

    def _iperf(self, port: int, *words: str, seconds: int = _LOAD) -> dict[str, Any]:
        command = self._words(port, seconds, "--json", *words)
        for _ in range(_TRIES):
            said = self._host.run(command, check=False)
            with suppress(ValueError):  # it was cut short
                told: dict[str, Any] = json.loads(said.stdout)
                if "error" not in told and "sum_received" in told.get("end", {}):
                    return told
            time.sleep(_PAUSE)
        raise LoadError(f"iperf3 at port {port}: {said.stdout[-300:]} {said.stderr.strip()}")

    def _words(self, port: int, seconds: int, *words: str) -> list[str]:
        where = ["--client", self._target, "--port", str(port), "--time", str(seconds)]
        return ["iperf3", *where, "--connect-timeout", "2000", "--forceflush", *words]

    def _run(self, words: list[str]) -> str:
        try:
            return self._host.run(words).stdout
        except HostError as error:
            raise LoadError(str(error)) from None


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise LoadError(f"unexpected output: {text}")
    return match.groups()
