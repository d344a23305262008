"""What carries a visitor's bytes: this project, and what else could, on one road in one run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.benchmark import contenders
from lab.benchmark import data_path_tables as tables
from lab.benchmark.contenders import BORINGTUN, CLIENT, OPENSSH, RATHOLE, RAW, WIREGUARD
from lab.benchmark.data_path_rounds import ADDRESS_FIRST, ALGORITHMS, PORT_FIRST, Rounds
from lab.benchmark.figures import Column, Goal, Section, Table, median
from lab.benchmark.machine import machine, today
from lab.benchmark.page import number
from lab.benchmark.road import Road
from lab.benchmark.sheet import spared
from lab.benchmark.way import Way
from lab.images import systems
from lab.lab import Lab
from lab.progress import say

_ROUNDS = 5
_SILENCE = 125.0  # seconds; five keepalives of WireGuard's and one handshake
_QUICK = (1, 5.0)  # the same two for a trial
_SUITES = {tables.DEBIANS: "bookworm", tables.BACKPORTED: "bookworm-backports"}  # of Debian
_ENOUGH = 0.97  # of what it is compared with


def measure(lab: Lab, *, quick: bool) -> Section:
    """Measure all of them; takes half an hour, of which two are spent in silence."""
    rounds, silence = _QUICK if quick else (_ROUNDS, _SILENCE)
    taken, on = today(), machine()
    say("data path: setting up")
    layers, had, missing = contenders.programs()
    road = Road(lab)
    road.lay([*layers, *map(systems.debians_wireguard_go, _SUITES.values())], ALGORITHMS[0])
    run = Rounds(road, {row: way for row, way in _programs().items() if row not in missing})
    missing |= run.prepare([way for way in contenders.ALL if way.name not in missing])
    for number_of_round in range(rounds):
        say(f"data path: round {number_of_round + 1} of {rounds}")
        run.round(number_of_round)
    say(f"data path: {silence:.0f} s of silence")
    with spared("idle traffic"):
        run.idle(silence)
    found = run.tables()
    about = (
        f"{rounds} rounds, in each of which everything is measured once, each load for one second,"
        f" packets for two. The tunnels of WireGuard are made by {road.wireguard()}; beside Debian"
        f" 12's programs there are {', '.join(had)}; congestion"
        f" control is {ALGORITHMS[0]} unless it is said. Everything runs on one machine whose cores"
        " the visitor, the routers, the VPS and the home share: what costs the VPS less leaves more"
        " to the others."
    )
    return Section(
        title="Data path",
        taken=taken,
        machine=on,
        about=(about,),
        goals=(*goals({table.title: table for table in found}),),
        tables=found,
        missing=contenders.UNAVAILABLE | missing,
        findings=(*findings({table.title: table for table in found}),),
    )


def _programs() -> dict[str, Way]:
    """WireGuard alone by other programs than the current one, and by that one under limits."""
    single = replace(WIREGUARD, processors=1)
    ways = {
        tables.CURRENT: WIREGUARD,
        tables.LIMITED: replace(WIREGUARD, memory="85MiB"),
        tables.SINGLE: single,
        tables.WAITING: replace(single, policy="batch"),
    }
    for row, suite in _SUITES.items():
        ways[row] = replace(WIREGUARD, program=f"/opt/wireguard-go-{suite}")
    ways[BORINGTUN] = replace(single, program="boringtun-cli")
    return ways


def goals(found: dict[str, Table]) -> Iterator[Goal]:
    """What was to be reached, and whether it was, by the tables' titles."""
    throughput, requests = (found[t.title] for t in (tables.THROUGHPUT, tables.REQUESTS))
    counts, spending = (found[t.title] for t in (tables.COUNTS, tables.SPENDING))
    alone, ours = WIREGUARD.name, CLIENT.name
    share = f"at least {_ENOUGH:.0%} of {alone}"
    yield _keeps_up(f"throughput: {share}", throughput, ours, alone, [*tables.FLOWS])
    yield _keeps_up(f"p50: {share}", requests, ours, alone, [tables.P50])
    for column in (tables.NEW, tables.BUSY):
        yield _leads(f"{column.name}: ahead of all that encrypt", requests, column)
    yield _leads(
        f"throughput: ahead of {RATHOLE.name}", throughput, *tables.FLOWS, others=[RATHOLE.name]
    )
    seen = {row.name: row.cells.get(tables.SEEN.name, "") for row in spending.rows}
    others = [name for name in _encrypting() if seen.get(name) == "the visitor"]
    yield Goal(
        text="the service sees the visitor's address, as by none else that encrypts",
        found=f"{seen.get(ours)}; {', '.join(others) or 'none else'}",
        met=seen.get(ours) == "the visitor" and not others,
    )
    names = [row.name for row in counts.rows] or ["few", "many"]
    few, many = names[0], names[-1]
    columns = [tables.DOWN, tables.UP, tables.NEW, tables.P50]
    text = f"{many} forwards: at least {_ENOUGH:.0%} of what {few} has"
    yield _keeps_up(text, counts, many, few, columns)


def findings(found: dict[str, Table]) -> Iterator[str]:
    """What was found slow, and what was done about it, by the tables' titles."""
    yield from _about_the_road(found[tables.REQUESTS.title])
    yield from _about_programs(found[tables.PROGRAMS.title])
    places, rules = (found[t.title] for t in (tables.PLACES, tables.RULES))
    share = _better(places, tables.LAST, tables.FIRST, tables.NEW)
    if share:
        yield (
            f"With 1,000 forwards the one whose rule is asked last opens {share:.0%} of the"
            f" connections that the first one does, so one in the middle {(1 + share) / 2:.0%}:"
            " see [22](../adr/0022-one-rule-after-the-other.md)."
        )
    gain = _better(rules, PORT_FIRST, ADDRESS_FIRST, tables.NEW)
    if gain:
        yield (
            "A forward's rule asks for the port first, and searches for the address only then:"
            f" {number(gain)} times as many new connections as before with 1,000 forwards."
        )


def _about_the_road(requests: Table) -> Iterator[str]:
    share = _better(requests, RAW.name, OPENSSH.name, tables.NEW)
    if share and share > 1:
        yield (
            f"Without any tunnel {number(share)} times as many connections come about as with"
            f" {OPENSSH.name}, which answers a visitor at the VPS, and packs what many of them say"
            " into few packets. A tunnel carries each packet of a visitor's own connection, and"
            " has what is left between these two for it, on the same processors."
        )


def _about_programs(programs: Table) -> Iterator[str]:
    def better(row: str, other: str, column: Column) -> float | None:
        return _better(programs, row, other, column)

    slow, fast = (
        better(row, tables.CURRENT, tables.DOWN) for row in (tables.DEBIANS, tables.BACKPORTED)
    )
    if slow and fast:
        yield (
            f"Debian 12's wireguard-go carries {slow:.0%} of what the current one does, that of"
            f" its backports {fast:.0%}. The look-up warns of a slow one, `status` shows which"
            " one runs, and docs/operations.md says how to get a fast one."
        )
    share = better(tables.LIMITED, tables.CURRENT, tables.DOWN)
    held, less = (
        programs.row(row).samples(tables.MEMORY.name) for row in (tables.CURRENT, tables.LIMITED)
    )
    if share and held and less:
        yield (
            f"The fast ones hold {number(median(held))} MB under load, more than a small VPS"
            " has. The tunnel's unit limits them to a sixth of the memory: with that of 512 MB"
            f" they hold {number(median(less))} MB, and carry {share:.0%}."
        )
    more, faster = (
        better(tables.SINGLE, tables.CURRENT, column) for column in (tables.DOWN, tables.NEW)
    )
    if more and faster:
        yield (
            f"On one of this machine's processors alone it carries {more:.0%}, and opens"
            f" {faster:.0%} of the connections: its threads cost each other more than that."
            " The tunnel's unit gives it half of a host's processors; by hand, as compared"
            " above, it has all."
        )
    carried, opened, busy = (
        better(BORINGTUN, tables.SINGLE, c) for c in (tables.DOWN, tables.NEW, tables.BUSY)
    )
    if carried and opened and busy:
        yield (
            f"boringtun, which handles each packet by itself, opens {opened:.0%} of the connections"
            f" that wireguard-go does on one processor, its p99 of 16 is {number(busy)} times as"
            f" good, and it carries {carried:.0%}: see"
            " [18](../adr/0018-wireguard-in-userspace.md)."
        )


def _encrypting() -> list[str]:
    """Those that encrypt, but for WireGuard's."""
    mine = {WIREGUARD, *contenders.OURS}
    return [way.name for way in contenders.ALL if way.encrypts and way not in mine]


def _better(table: Table, row: str, other: str, column: Column) -> float | None:
    """How much better a row is than another: 1 is equal, 2 twice as good."""
    mine, theirs = (table.row(name).samples(column.name) for name in (row, other))
    if not mine or not theirs or not median(mine) or not median(theirs):
        return None
    ratio = median(mine) / median(theirs)
    return ratio if column.better == "more" else 1 / ratio


def _keeps_up(text: str, table: Table, row: str, other: str, columns: Sequence[Column]) -> Goal:
    ratios = [_better(table, row, other, column) for column in columns]
    told = [
        f"{column.name} {ratio:.0%}" if ratio else f"{column.name} not measured"
        for column, ratio in zip(columns, ratios, strict=True)
    ]
    return Goal(
        text=text,
        found="; ".join(told),
        met=all(ratio is not None and ratio >= _ENOUGH for ratio in ratios),
    )


def _leads(text: str, table: Table, *columns: Column, others: Sequence[str] = ()) -> Goal:
    ratios = {
        column.name if others else other: ratio
        for column in columns
        for other in others or _encrypting()
        if (ratio := _better(table, CLIENT.name, other, column)) is not None
    }
    told = [f"{name} {number(ratio)} times" for name, ratio in ratios.items()]
    return Goal(
        text=text,
        found="; ".join(told) or "not measured",
        met=bool(ratios) and all(ratio > 1 for ratio in ratios.values()),
    )
