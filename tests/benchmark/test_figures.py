from pathlib import Path

import pytest
from pydantic import ValidationError

from lab.benchmark import figures
from lab.benchmark.figures import Column, Figures, Row, Table
from tests.benchmark.made_up import FIGURES, SECTION, SPEED


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"

    figures.write(file, FIGURES)

    assert figures.read(file) == FIGURES
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]


def test_before_the_first_run_nothing_is_known(tmp_path: Path) -> None:
    assert figures.read(tmp_path / "figures.json") == Figures()


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text('{"sections": {"data-path": {"title": "Data path"}}}')

    with pytest.raises(ValidationError, match="taken"):
        figures.read(file)


def test_a_section_measured_anew_leaves_the_others_as_they_were() -> None:
    known = FIGURES.with_section("faults", SECTION)
    anew = SECTION.model_copy(update={"taken": "2026-11-29"})

    known = known.with_section("data-path", anew)

    assert known.sections == {"data-path": anew, "faults": SECTION}


def test_a_ratio_compares_medians_with_the_reference() -> None:
    down, first_byte, seen = SPEED.columns

    assert SPEED.ratio(SPEED.row("this project"), down) == pytest.approx(0.975)
    assert SPEED.ratio(SPEED.row("other"), first_byte) == pytest.approx(2.5)
    assert SPEED.ratio(SPEED.row("bare tunnel"), down) is None, "the reference itself"
    assert SPEED.ratio(SPEED.row("this project"), first_byte) is None, "not measured"
    assert SPEED.ratio(SPEED.row("other"), seen) is None, "words"


def test_what_was_not_measured_has_no_figures() -> None:
    assert SPEED.row("nobody").samples("down") == ()
    assert SPEED.row("other").samples("address seen") == ()


@pytest.mark.parametrize(
    ("rows", "reference", "complaint"),
    [
        ([Row(name="a", cells={"sideways": (1.0,)})], None, "figures of no column: {'sideways'}"),
        ([Row(name="a", cells={}), Row(name="a", cells={})], None, "two rows have one name"),
        ([Row(name="a", cells={})], "b", "no row is called 'b'"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(
    rows: list[Row], reference: str | None, complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Table(
            title="Speed",
            label="way",
            columns=(Column(name="down"),),
            rows=(*rows,),
            reference=reference,
        )
