"""Which goals are met, by made-up tables; and that everybody who takes part is there."""

from pathlib import Path
from typing import Any

import pytest

from lab.benchmark import contenders
from lab.benchmark import data_path_tables as tables
from lab.benchmark.contenders import (
    BORINGTUN,
    CHISEL,
    CLIENT,
    FRP,
    FRP_APART,
    OPENSSH,
    OPENVPN,
    RATHOLE,
    RAW,
    WIREGUARD,
)
from lab.benchmark.data_path import findings, goals
from lab.benchmark.data_path_rounds import ADDRESS_FIRST, PORT_FIRST
from lab.benchmark.figures import Cell, Column, Row, Table
from lab.benchmark.way import SCRIPTS
from lab.progress import StepError

OTHERS = (RATHOLE, OPENSSH, OPENVPN)


def table(empty: Table, rows: dict[str, dict[Column, float | str]]) -> Table:
    def cell(figure: float | str) -> Cell:
        return figure if isinstance(figure, str) else (figure,)

    filled = tuple(
        Row(name=name, cells={column.name: cell(figure) for column, figure in cells.items()})
        for name, cells in rows.items()
    )
    reference = empty.reference if empty.reference in rows else None
    return empty.model_copy(update={"rows": filled, "reference": reference})


def judged(**changes: float | str) -> list[bool]:
    """Whether each goal is met, where all are but for the changes."""
    value: dict[str, Any] = {
        "flow": 970.0,
        "p50": 1.0,
        "new": 2000.0,
        "busy": 1.0,
        "seen": "the visitor",
    }
    value |= {"rathole": 900.0, "many": 970.0, "other_seen": "127.0.0.1"} | changes
    flows: dict[Column, float | str] = dict.fromkeys(tables.FLOWS, 1000.0)
    requests = {tables.NEW: value["new"], tables.P50: value["p50"], tables.BUSY: value["busy"]}
    slower: dict[Column, float | str] = {tables.NEW: 1500.0, tables.P50: 0.5, tables.BUSY: 1.5}
    few = {**flows, tables.NEW: 1000.0, tables.P50: 1.0}
    found = {
        tables.THROUGHPUT.title: table(
            tables.THROUGHPUT,
            {
                WIREGUARD.name: {**flows},
                CLIENT.name: dict.fromkeys(tables.FLOWS, value["flow"]),
                RATHOLE.name: dict.fromkeys(tables.FLOWS, value["rathole"]),
            },
        ),
        tables.REQUESTS.title: table(
            tables.REQUESTS,
            {
                WIREGUARD.name: {tables.P50: 0.98},
                CLIENT.name: requests,
                **{way.name: {**slower} for way in OTHERS},
            },
        ),
        tables.SPENDING.title: table(
            tables.SPENDING,
            {
                CLIENT.name: {tables.SEEN: value["seen"]},
                RATHOLE.name: {tables.SEEN: value["other_seen"]},
            },
        ),
        tables.COUNTS.title: table(
            tables.COUNTS, {"1": {**few}, "1,000": {**few, tables.DOWN: value["many"]}}
        ),
    }
    return [goal.met for goal in goals(found)]


def test_all_goals_can_be_met() -> None:
    assert judged() == [True] * 7


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"flow": 969.0}, [0]),
        ({"p50": 1.02}, [1]),
        ({"new": 1500.0}, [2]),
        ({"busy": 1.6}, [3]),
        ({"rathole": 971.0}, [4]),
        ({"seen": "172.16.0.1"}, [5]),
        ({"other_seen": "the visitor"}, [5]),
        ({"many": 960.0}, [6]),
    ],
)
def test_each_goal_can_be_missed_alone(change: dict[str, float | str], missed: list[int]) -> None:
    assert [number for number, met in enumerate(judged(**change)) if not met] == missed


def test_what_was_not_measured_is_no_success() -> None:
    untouched = {
        title: table(empty, {})
        for title, empty in (
            (tables.THROUGHPUT.title, tables.THROUGHPUT),
            (tables.REQUESTS.title, tables.REQUESTS),
            (tables.SPENDING.title, tables.SPENDING),
            (tables.COUNTS.title, tables.COUNTS),
        )
    }
    assert not any(goal.met for goal in goals(untouched))


def test_everybody_has_a_program_and_ports_of_its_own() -> None:
    ports = [port for way in contenders.ALL for port in (way.flow, way.bulk, way.web)]
    assert len({*ports}) == len(ports)
    for way in contenders.ALL:
        assert (SCRIPTS / way.script).exists(), way.name


def test_who_is_on_path_takes_part_and_who_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(name: str, *_: str) -> Path:
        raise StepError(f"{name} can't be built here")

    monkeypatch.setattr(contenders, "crate", refuse)
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("frps", "chisel"):
        (tmp_path / name).write_text("#!/bin/sh\necho 1.2.3\n")
        (tmp_path / name).chmod(0o755)

    found = contenders.programs()

    assert found.had == ["chisel 1.2.3"]
    (layer,) = found.layers
    assert (layer / "usr/local/bin/chisel").stat().st_mode & 0o111
    assert "rathole can't be built here" in found.missing[RATHOLE.name]
    for way in (FRP, FRP_APART):
        assert "taken from PATH, where they are not" in found.missing[way.name]
    assert CHISEL.name not in found.missing


def test_what_was_found_slow_is_told_by_its_figures() -> None:
    requests = table(
        tables.REQUESTS, {RAW.name: {tables.NEW: 3000.0}, OPENSSH.name: {tables.NEW: 2500.0}}
    )
    programs = table(
        tables.PROGRAMS,
        {
            # As it comes where one fails at first: by their names, not by their places.
            tables.SINGLE: {tables.DOWN: 2500.0, tables.NEW: 1600.0, tables.BUSY: 3.0},
            BORINGTUN: {tables.DOWN: 500.0, tables.NEW: 2000.0, tables.BUSY: 2.0},
            tables.CURRENT: {tables.DOWN: 2000.0, tables.NEW: 1000.0, tables.MEMORY: 400.0},
            tables.DEBIANS: {tables.DOWN: 300.0, tables.MEMORY: 20.0},
            tables.LIMITED: {tables.DOWN: 1500.0, tables.MEMORY: 70.0},
            tables.BACKPORTED: {tables.DOWN: 1900.0, tables.MEMORY: 350.0},
        },
    )
    rules = table(
        tables.RULES, {PORT_FIRST: {tables.NEW: 1800.0}, ADDRESS_FIRST: {tables.NEW: 1200.0}}
    )
    places = table(
        tables.PLACES,
        {tables.FIRST: {tables.NEW: 1000.0}, tables.LAST: {tables.NEW: 940.0}},
    )
    found = (requests, programs, places, rules)
    told = [*findings({one.title: one for one in found})]

    assert len(told) == 7
    assert "1.20 times as many connections" in told[0]
    assert "carries 15% of what the current one does, that of its backports 95%" in told[1]
    assert "hold 400 MB" in told[2]
    assert "they hold 70 MB, and carry 75%" in told[2]
    assert "carries 125%, and opens 160% of the connections" in told[3]
    assert "opens 125% of the connections that wireguard-go does on one processor" in told[4]
    assert "p99 of 16 is 1.50 times as good, and it carries 20%" in told[4]
    assert "asked last opens 94%" in told[5]
    assert "in the middle 97%" in told[5]
    assert "1.50 times as many" in told[6]


def test_of_what_was_not_measured_nothing_is_told() -> None:
    kinds = (tables.REQUESTS, tables.PROGRAMS, tables.PLACES, tables.RULES)
    empty = (table(each, {}) for each in kinds)
    assert not [*findings({one.title: one for one in empty})]
