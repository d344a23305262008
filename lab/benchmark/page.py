"""The page that a person reads, made of nothing but the figures."""

import re
from collections.abc import Iterable, Mapping

from lab.benchmark.figures import Cell, Column, Figures, Row, Section, Table, median

_HEAD = """\
# Benchmarks

Made by `make bench` from [figures.json](figures.json), which holds what every single run gave; no
number here was written by hand. A figure is the median of its runs, with the lowest and the highest
in brackets; arrows say which are the better ones. Ratios are the result: they compare what was
measured in one run, on one machine. Absolute figures are the machine's.
"""


def page(figures: Figures, plots: Mapping[tuple[str, str], str]) -> str:
    """The page, as Markdown.

    Args:
        figures: what is known.
        plots: the pictures that there are: their files, by section and title of the table.
    """
    parts = [_HEAD]
    for name, section in figures.sections.items():
        pictures = {title: file for (of, title), file in plots.items() if of == name}
        parts += _section(name, section, pictures)
    return "\n".join(parts)


def slug(*words: str) -> str:
    """A name for a file, made of words."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def number(figure: float) -> str:
    """Three digits that count, as a person writes them; whole numbers are counts."""
    size = abs(figure)
    if size >= 100 or figure == int(figure):  # noqa: PLR2004
        return f"{figure:,.0f}"
    decimals = 0 if not size else 1 if size >= 10 else 2 if size >= 1 else 3  # noqa: PLR2004
    return f"{figure:.{decimals}f}"


def heading(column: Column) -> str:
    """A column's name and unit, and which figures are the good ones."""
    arrow = {"more": " ↑", "less": " ↓", None: ""}[column.better]
    return f"{column.name}{f', {column.unit}' if column.unit else ''}{arrow}"


def _section(name: str, section: Section, pictures: Mapping[str, str]) -> Iterable[str]:
    yield f"## {section.title}\n"
    yield f"`lab/bench {name}`, {section.taken}: {section.machine}\n"
    for paragraph in section.about:
        yield f"{paragraph}\n"
    if section.goals:
        yield _rows(
            ("goal", "found", ""),
            [_goal(goal.met, goal.text, goal.found) for goal in section.goals],
        )
    for table in section.tables:
        yield f"### {table.title}\n"
        if table.about:
            yield f"{table.about}\n"
        yield _rows(
            (table.label, *(heading(column) for column in table.columns)),
            [
                (row.name, *(_cell(table, row, column) for column in table.columns))
                for row in table.rows
            ],
        )
        if table.reference:
            yield f"Percentages: of *{table.reference}*.\n"
        if table.title in pictures:
            yield f"![{section.title}: {table.title}]({pictures[table.title]})\n"
    if section.missing:
        yield "### Not measured\n"
        yield "".join(f"- **{what}**: {why}\n" for what, why in section.missing.items())
    if section.findings:
        yield "### What came of it\n"
        yield "".join(f"- {finding}\n" for finding in section.findings)


def _goal(met: bool, text: str, found: str) -> tuple[str, str, str]:  # noqa: FBT001
    return text, found, "met" if met else "**missed**"


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(table: Table, row: Row, column: Column) -> str:
    cell: Cell = row.cells.get(column.name, ())
    if isinstance(cell, str):
        return cell
    if not cell:
        return "-"
    low, high = number(min(cell)), number(max(cell))
    spread = f" ({low}..{high})" if low != high else ""
    ratio = table.ratio(row, column)
    share = f", {ratio:.0%}" if ratio is not None else ""
    return f"{number(median(cell))}{spread}{share}"
