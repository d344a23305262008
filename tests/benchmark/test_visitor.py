"""What programs on a visitor's host say, read; and what becomes of one that fails."""

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from lab.benchmark import visitor as module
from lab.benchmark.visitor import LoadError, Visitor
from lab.hosts.host import CommandError, Host, Result

DOWN = {
    "end": {
        "sum_sent": {"bytes": 1448 * 1000, "retransmits": 5},
        "sum_received": {"bytes": 1_400_000, "bits_per_second": 2.5e9},
    }
}
BOTH = {
    "end": {
        "sum_received": {"packets": 100, "lost_packets": 1, "jitter_ms": 0.5},
        "sum_received_bidir_reverse": {"packets": 100, "lost_packets": 3, "jitter_ms": 0.75},
    }
}
WRK = """\
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.23ms    0.50ms   9.99ms   80.00%
  Latency Distribution
     50%    1.10ms
     99%  647.00us
Requests/sec:   3772.15
"""


class Says:
    """A host whose programs say this, one after the other; the last one for ever."""

    def __init__(self, *answers: str, status: int = 0, log: str = "") -> None:
        self.answers = [*answers]
        self.asked: list[Sequence[str]] = []
        self._status = status
        self._log = log

    def run(self, words: Sequence[str], *, check: bool = True) -> Result:
        self.asked.append(words)
        text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        result = Result(text, "", self._status)
        if check and self._status:
            raise CommandError("client", words, result)
        return result

    def read(self, _path: str) -> str:
        return self._log

    def visitor(self) -> Visitor:
        return Visitor(cast("Host", self), "203.0.113.10")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0)


def test_a_flow_is_what_was_received_and_the_share_that_was_sent_again() -> None:
    flow = Says(json.dumps(DOWN)).visitor().flow(9000, down=True, algorithm="cubic")
    assert flow == (2500, 1_400_000, 0.5)


def test_a_server_that_is_busy_is_asked_again() -> None:
    host = Says('{"error": "the server is busy"}', '{"start": ', json.dumps(DOWN))
    host.visitor().flow(9000, down=True, algorithm="cubic")
    assert len(host.asked) == 3


@pytest.mark.parametrize(
    "said", ["", '{"error": "unable to connect"}', json.dumps({"end": {"sum_received": {}}})[:-3]]
)
def test_one_that_never_answers_is_an_error(said: str) -> None:
    with pytest.raises(LoadError, match="iperf3 at port 9000"):
        Says(said).visitor().flow(9000, down=True, algorithm="cubic")


def test_a_flow_that_carried_nothing_is_an_error() -> None:
    nothing: dict[str, Any] = {"bytes": 0, "retransmits": 0, "bits_per_second": 0}
    text = json.dumps({"end": {"sum_sent": nothing, "sum_received": nothing}})
    with pytest.raises(LoadError, match="carried nothing"):
        Says(text).visitor().flow(9000, down=True, algorithm="cubic")


def test_a_stream_loses_both_ways_and_has_the_worse_jitter() -> None:
    assert Says(json.dumps(BOTH)).visitor().stream(9000) == (2.0, 0.75)


def test_a_stream_with_one_direction_alone_is_an_error() -> None:
    one = {"end": {"sum_received": BOTH["end"]["sum_received"]}}
    with pytest.raises(LoadError, match="sent no packets"):
        Says(json.dumps(one)).visitor().stream(9000)


def test_rates_and_percentiles_are_read_in_their_units() -> None:
    visitor = Says(WRK).visitor()
    assert visitor.new_connections(9002) == 3772.15
    assert visitor.busy_latency(9002) == pytest.approx(0.647)
    with pytest.raises(LoadError, match="unexpected output"):
        Says("wrk: unable to connect").visitor().new_connections(9002)


def test_latencies_at_a_pace_are_those_of_all_requests() -> None:
    log = "".join(f"{n}\t200\t{n * 10}\n" for n in range(1, 101))
    assert Says("", log=log).visitor().paced_latency(9002) == (0.51, 1.0)
    with pytest.raises(LoadError, match="1 of 101 requests failed"):
        Says("", log=f"{log}7\t-1\t0\n").visitor().paced_latency(9002)


def test_a_program_that_fails_is_an_error() -> None:
    with pytest.raises(LoadError, match="gave status 1"):
        Says("", status=1).visitor().new_connections(9002)
    with pytest.raises(LoadError, match="nobody answers at port 9002"):
        Says("", status=7).visitor().seen_as(9002)
