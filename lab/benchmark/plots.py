"""Pictures of the figures: SVG, the same bytes for the same figures."""

import os
from pathlib import Path
from typing import Any

from lab.benchmark.figures import Column, Figures, Table, median
from lab.benchmark.page import heading, slug
from lab.cache import cache_folder

# Where it lists the machine's fonts: else in the user's folders, which no purge would find.
os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLE: Any = {  # keys of a type that matplotlib keeps to itself
    "svg.hashsalt": "reverse-tunnel",  # identifiers inside the picture: else random
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BAR, _ACROSS = 0.32, 3.2  # inches: a bar and the gap beside it; a panel's width
_COLOURS = {True: "#1b7a4b", False: "#9aa5b1"}  # this project's rows, all others
_OURS = "this project"


def plot(figures: Figures, folder: Path) -> dict[tuple[str, str], str]:
    """Draw every table that asks for it, and remove what earlier runs have drawn besides.

    Returns:
        The files in `folder`, by section and title of the table.
    """
    drawn = {}
    for name, section in figures.sections.items():
        for table in section.tables:
            if table.plot and table.rows:
                file = f"{slug(name, table.title)}.svg"
                _draw(table, folder / file)
                drawn[name, table.title] = file
    for leftover in {*folder.glob("*.svg")} - {folder / file for file in drawn.values()}:
        leftover.unlink()
    return drawn


def _draw(table: Table, file: Path) -> None:
    columns = [
        column for column in table.columns if any(row.samples(column.name) for row in table.rows)
    ]
    with mpl.rc_context(_STYLE):
        draw, height = (
            (_bars, 1 + _BAR * len(table.rows)) if table.plot == "bars" else (_lines, 2.6)
        )
        picture = Figure(figsize=(_ACROSS * len(columns) + 1, height), layout="constrained")
        panels = picture.subplots(1, len(columns), squeeze=False, sharey=table.plot == "bars")
        for panel, column in zip(panels[0], columns, strict=True):
            panel.set_title(heading(column))
            draw(panel, table, column)
        picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def _bars(panel: Axes, table: Table, column: Column) -> None:
    rows = [*reversed(table.rows)]  # the first one on top
    for place, row in enumerate(rows):
        if samples := row.samples(column.name):
            middle = median(samples)
            spread = [[middle - min(samples)], [max(samples) - middle]]
            colour = _COLOURS[row.name.startswith(_OURS)]
            panel.barh(place, middle, xerr=spread, color=colour, ecolor="#333333", capsize=2)
    panel.set_yticks(range(len(rows)), [row.name for row in rows])
    panel.set_xlim(left=0)


def _lines(panel: Axes, table: Table, column: Column) -> None:
    points = [
        (float(row.name.replace(",", "")), samples)
        for row in table.rows
        if (samples := row.samples(column.name))
    ]
    across = [place for place, _samples in points]
    middle = [median(samples) for _place, samples in points]
    low, high = ([edge(samples) for _place, samples in points] for edge in (min, max))
    panel.fill_between(across, low, high, color=_COLOURS[False], alpha=0.4)
    panel.plot(across, middle, marker="o", color=_COLOURS[True])
    panel.set_xscale("log")
    panel.set_xticks(across, [f"{place:,.0f}" for place in across], minor=False)
    panel.minorticks_off()
    panel.set_xlabel(table.label)
    panel.set_ylim(bottom=0)
