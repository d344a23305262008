"""The rounds: everything once in each, so that what else the machine does is shared out evenly."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from lab.benchmark import data_path_tables as tables
from lab.benchmark.contenders import CLIENT, OURS, RATHOLE, WIREGUARD
from lab.benchmark.figures import Table
from lab.benchmark.road import Road
from lab.benchmark.sheet import Sheet, spared
from lab.benchmark.visitor import LoadError, Visitor
from lab.benchmark.way import Way
from lab.hosts.host import HostError
from lab.progress import say

ALGORITHMS = ("cubic", "bbr")  # of congestion control; the first one is used unless it is said
_CLOSE = (WIREGUARD, CLIENT, RATHOLE)  # of which the goals ask for a few percent: measured twice
_COUNTS = (1, 100, 1000)  # forwards
_PAIRS = 4  # of loads that find the difference between two forwards
PORT_FIRST, ADDRESS_FIRST = "the port", "whether the address is this host's, as at first"
_GIGABYTE = 1e9


class Rounds:
    """Measures, and fills the tables.

    Args:
        road: laid.
        programs: WireGuard alone by other programs, or under limits, by their rows.
    """

    def __init__(self, road: Road, programs: Mapping[str, Way]) -> None:
        self._road = road
        self._programs = programs
        self._lab = road.lab
        self._client, self._vps = (self._lab.host(name) for name in ("client", "vps"))
        self._visitor = Visitor(self._client, self._vps.address)
        self._ways: list[Way] = []
        self._throughput = Sheet(tables.THROUGHPUT)
        self._requests = Sheet(tables.REQUESTS)
        self._packets = Sheet(tables.PACKETS)
        self._spending = Sheet(tables.SPENDING)
        self._algorithms = Sheet(tables.ALGORITHMS)
        self._by_program = Sheet(tables.PROGRAMS)
        self._by_count = Sheet(tables.COUNTS)
        self._by_place = Sheet(tables.PLACES)
        self._by_rule = Sheet(tables.RULES)

    def tables(self) -> tuple[Table, ...]:
        """What has been found."""
        main = (self._throughput, self._requests, self._packets, self._spending)
        others = (self._algorithms, self._by_program)
        own = (self._by_count, self._by_place, self._by_rule)
        return tuple(sheet.table() for sheet in (*main, *others, *own))

    def prepare(self, ways: Sequence[Way]) -> dict[str, str]:
        """Let each of them stand once.

        Returns:
            Those that do not, and why; all others take part from now on.

        Raises:
            HostError, LoadError: what the others are compared with does not stand.
        """
        missing = {}
        for way in ways:
            say(f"data path: {way.name}")
            try:
                way.make(self._lab)
                with way.standing(self._lab):
                    seen = self._visitor.seen_as(way.web)
            except (HostError, LoadError) as error:
                if way in {WIREGUARD, *OURS}:
                    raise
                missing[way.name] = f"did not work here: {error}"
                continue
            self._ways.append(way)
            whose = "the visitor" if seen == self._client.address else seen
            self._spending.note(way.name, tables.SEEN, whose)
            self._spending.note(way.name, tables.SECRET, "yes" if way.encrypts else "no")
        return missing

    def round(self, number: int) -> None:
        """Go through everything once; each time beginning with another way."""
        turn = number % len(self._ways)
        for way in (*self._ways[turn:], *self._ways[:turn]):
            say(f"data path:   {way.name}")
            with spared(way.name):
                self._measure(way)
        for way in self._ways:
            if way in _CLOSE:
                with spared(way.name):
                    self._measure_again(way)
                    self._compare_algorithms(way)
        for row, way in self._programs.items():
            with spared(row):
                self._measure_program(row, way)
        for count in _COUNTS:
            with spared(f"{count} forwards"):
                self._measure_count(count)
        self._road.set_forwards(min(_COUNTS))  # what comes later is measured as what came before

    def idle(self, seconds: float) -> None:
        """What those that have a tunnel send while nobody comes, all at once."""
        tunnels = [(way, way.talks) for way in self._ways if way.talks]
        internet = self._lab.host("internet")
        rules = [
            f"FORWARD {end} {self._vps.address} -p {protocol} --{side} {port}"
            for _way, (protocol, port) in tunnels
            for end, side in (("-s", "sport"), ("-d", "dport"))
        ]
        with ExitStack() as stack:
            for way, _talks in tunnels:
                stack.enter_context(way.standing(self._lab))
            for way, _talks in tunnels:
                self._visitor.seen_as(way.web)
            internet.run("".join(f"iptables -w -t mangle -A {rule}\n" for rule in rules))
            time.sleep(seconds)  # not for a condition: the silence is what is measured
            listed = internet.run("iptables -w -t mangle -nvxL FORWARD").stdout.splitlines()
        counted = [int(line.split()[1]) for line in listed[2:]]
        for (way, _talks), *both in zip(tunnels, counted[::2], counted[1::2], strict=True):
            daily = sum(both) / 1e6 * 86400 / seconds
            self._spending.add(way.name, tables.IDLING, daily)

    @contextmanager
    def _at_rest(self, way: Way, port: int) -> Iterator[None]:
        """The way stands in this block, leads to the pages at that port, and has come to rest."""
        with way.standing(self._lab):
            self._visitor.seen_as(port)
            self._road.settle()
            yield

    def _measure(self, way: Way) -> None:
        visitor, name = self._visitor, way.name
        before = self._road.memory()
        with self._at_rest(way, way.web):
            spent = self._road.cpu_seconds()
            if carried := self._measure_flows(self._throughput, name, way):
                cost = (self._road.cpu_seconds() - spent) / carried * _GIGABYTE
                self._spending.add(name, tables.CPU, cost)
            self._measure_requests(self._requests, name, way.web)
            if way.udp:
                columns = (tables.LOST, tables.JITTER)
                self._packets.take(name, columns, lambda: visitor.stream(way.flow))
                with visitor.downloading(way.bulk, ALGORITHMS[0]):
                    columns = (tables.LOST_BESIDE, tables.JITTER_BESIDE)
                    self._packets.take(name, columns, lambda: visitor.stream(way.flow))
            self._spending.add(name, tables.MEMORY, max(0.0, self._road.memory() - before))

    def _measure_again(self, way: Way) -> None:
        with self._at_rest(way, way.web):
            self._measure_flows(self._throughput, way.name, way)
            self._measure_requests(self._requests, way.name, way.web)

    def _measure_flows(self, sheet: Sheet, row: str, way: Way) -> float:
        """The kinds of throughput that the sheet has; returns the bytes that were carried."""
        carried = 0.0

        def flow(streams: int, *, down: bool) -> tuple[float]:
            nonlocal carried
            found = self._visitor.flow(way.flow, streams, down=down, algorithm=ALGORITHMS[0])
            carried += found.size
            return (found.rate,)

        for column, (streams, down) in tables.FLOWS.items():
            if column not in sheet.columns:
                continue
            sheet.take(row, (column,), partial(flow, streams, down=down))
        return carried

    def _measure_requests(self, sheet: Sheet, row: str, port: int) -> None:
        visitor = self._visitor
        self._measure_load(sheet, row, port)
        sheet.take(row, (tables.P50, tables.P99), lambda: visitor.paced_latency(port))

    def _measure_load(self, sheet: Sheet, row: str, port: int) -> None:
        """As many as come about: of new connections, and of requests by those that stay open."""
        self._measure_connections(sheet, row, port)
        sheet.take(row, (tables.BUSY,), lambda: (self._visitor.busy_latency(port),))

    def _measure_connections(self, sheet: Sheet, row: str, port: int) -> None:
        sheet.take(row, (tables.NEW,), lambda: (self._visitor.new_connections(port),))

    def _compare_algorithms(self, way: Way) -> None:
        directions = (
            (True, (tables.DOWN, tables.RESENT_DOWN)),
            (False, (tables.UP, tables.RESENT_UP)),
        )

        def flow(algorithm: str, *, down: bool) -> tuple[float, float]:
            found = self._visitor.flow(way.flow, down=down, algorithm=algorithm)
            return found.rate, found.resent

        with self._at_rest(way, way.web):
            for algorithm in ALGORITHMS:
                for down, columns in directions:
                    row = f"{way.name}, {algorithm}"
                    self._algorithms.take(row, columns, partial(flow, algorithm, down=down))

    def _measure_program(self, row: str, way: Way) -> None:
        before = self._road.memory()
        self._by_program.note(row, tables.VERSION, self._road.version(way.program))
        with self._at_rest(way, way.web):
            self._measure_flows(self._by_program, row, way)
            self._measure_load(self._by_program, row, way.web)
            self._by_program.add(row, tables.MEMORY, max(0.0, self._road.memory() - before))

    def _measure_count(self, count: int) -> None:
        ports, row = self._road.set_forwards(count), f"{count:,}"
        with self._at_rest(CLIENT, ports[-1]):
            self._measure_flows(self._by_count, row, CLIENT)
            self._measure_requests(self._by_count, row, ports[-1])
            if count == max(_COUNTS):
                self._compare_places({tables.FIRST: ports[0], tables.LAST: ports[-1]})
                self._compare_rules(ports[-1])

    def _compare_places(self, ports: dict[str, int]) -> None:
        """In turns, while nothing else changes: all that is different is the place of the rule."""
        for _ in range(_PAIRS):
            for row, port in ports.items():
                self._road.settle()
                self._measure_connections(self._by_place, row, port)

    def _compare_rules(self, port: int) -> None:
        """As they are, and as they were; both now, since the machine is never the same twice."""
        for row in (PORT_FIRST, ADDRESS_FIRST):
            if row == ADDRESS_FIRST:
                self._road.ask_for_addresses_first()
            self._measure_load(self._by_rule, row, port)
