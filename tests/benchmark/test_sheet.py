import pytest

from lab.benchmark.sheet import Sheet
from lab.benchmark.visitor import LoadError
from tests.benchmark.made_up import SPEED

EMPTY = SPEED.model_copy(update={"rows": ()})
DOWN, FIRST_BYTE, SEEN = SPEED.columns


def fail() -> tuple[float, ...]:
    raise LoadError("the server is busy")


def test_what_loads_find_is_collected_by_row_and_column() -> None:
    sheet = Sheet(EMPTY)
    sheet.take("bare tunnel", (DOWN, FIRST_BYTE), lambda: (3.0, 30.0))
    sheet.take("bare tunnel", (DOWN, FIRST_BYTE), lambda: (1.0, 10.0))
    sheet.note("bare tunnel", SEEN, "yes")
    sheet.add("other", DOWN, 5.0)

    table = sheet.table()

    assert [row.name for row in table.rows] == ["bare tunnel", "other"]
    assert table.row("bare tunnel").cells == {
        "down": (3.0, 1.0),
        "first byte": (30.0, 10.0),
        "address seen": "yes",
    }
    assert table.row("other").samples("down") == (5.0,)


def test_a_load_that_fails_leaves_no_figure_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet(EMPTY)
    sheet.add("bare tunnel", DOWN, 1.0)
    sheet.take("other", (DOWN,), fail)

    assert [row.name for row in sheet.table().rows] == ["bare tunnel"]
    assert "other, down: the server is busy" in capsys.readouterr().err


def test_without_the_row_of_reference_nothing_is_compared() -> None:
    sheet = Sheet(EMPTY)
    sheet.add("other", DOWN, 1.0)
    assert sheet.table().reference is None
