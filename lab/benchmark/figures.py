"""What was measured, as it is kept: a JSON file of sections, each of one run."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Samples = tuple[float, ...]
Cell = Samples | str  # what every run gave, or a finding that is no number


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Model):
    """What is measured of every row.

    Attributes:
        name: unique in its table.
        unit: as printed behind the name; empty for a plain number, and for findings in words.
        better: which figures are the good ones; None where neither is.
    """

    name: str
    unit: str = ""
    better: Literal["more", "less"] | None = None


class Row(_Model):
    """What was measured of one thing; a column that does not apply to it has no cell."""

    name: str
    cells: dict[str, Cell]

    def samples(self, column: str) -> Samples:
        """The figures of a column; none where it has no cell, or one in words."""
        cell = self.cells.get(column, ())
        return () if isinstance(cell, str) else cell


class Table(_Model):
    """Figures that are read beside each other.

    Attributes:
        title: a heading, unique in its section.
        label: what the rows are.
        columns: what is measured.
        rows: of what.
        reference: the row that the others are compared with, as ratios; None: they are not.
        plot: how it is drawn: a bar for each row, or a line over rows whose names are numbers;
            None: it is not.
        about: a sentence on how it was measured.
    """

    title: str
    label: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()
    reference: str | None = None
    plot: Literal["bars", "lines"] | None = None
    about: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        known = {column.name for column in self.columns}
        names = [row.name for row in self.rows]
        for row in self.rows:
            if stray := row.cells.keys() - known:
                raise ValueError(f"{self.title}: {row.name} has figures of no column: {stray}")
        if len({*names}) < len(names):
            raise ValueError(f"{self.title}: two rows have one name")
        if names and self.reference not in {None, *names}:
            raise ValueError(f"{self.title}: no row is called {self.reference!r}")
        return self

    def row(self, name: str) -> Row:
        """The row of that name; an empty one if there is none."""
        return next((row for row in self.rows if row.name == name), Row(name=name, cells={}))

    def ratio(self, row: Row, column: Column) -> float | None:
        """How much of the reference's median a row's is; None where there is nothing to compare."""
        if self.reference in {None, row.name}:
            return None
        own, other = row.samples(column.name), self.row(str(self.reference)).samples(column.name)
        return median(own) / median(other) if own and other and median(other) else None


class Goal(_Model):
    """What was to be reached, what was, and whether that is enough."""

    text: str
    found: str
    met: bool


class Section(_Model):
    """What one run of one part of the benchmark has found.

    Attributes:
        title: a heading.
        taken: the day, `YYYY-MM-DD`.
        machine: on what, in words.
        about: paragraphs on what was done.
        goals: and whether they were met.
        tables: the figures.
        missing: what should have been measured as well and could not be, with the reason.
        findings: paragraphs on what the figures have led to.
    """

    title: str
    taken: str
    machine: str
    about: tuple[str, ...] = ()
    goals: tuple[Goal, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: dict[str, str] = {}
    findings: tuple[str, ...] = ()


class Figures(_Model):
    """All that is known: each section as it was measured last."""

    sections: dict[str, Section] = {}

    def with_section(self, name: str, section: Section) -> "Figures":
        """The same, with one section measured anew."""
        return Figures(sections={**self.sections, name: section})


def read(file: Path) -> Figures:
    """What the file holds; nothing if there is none.

    Raises:
        pydantic.ValidationError: it is not one that `write` has made.
    """
    return Figures.model_validate_json(file.read_text()) if file.exists() else Figures()


def write(file: Path, figures: Figures) -> None:
    """Keep the figures in a file, in one step."""
    making = file.with_name(f".{file.name}.making")
    making.write_text(figures.model_dump_json(indent=1) + "\n")
    making.rename(file)


def median(samples: Sequence[float]) -> float:
    """The middle one; of an even number the mean of both."""
    return statistics.median(samples)
