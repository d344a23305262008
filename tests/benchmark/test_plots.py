import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lab.benchmark.figures import Column, Figures, Row
from lab.benchmark.plots import plot
from tests.benchmark.made_up import FIGURES, SECTION, SPEED

BARS, LINES = "data-path-throughput.svg", "data-path-by-number.svg"


def words_of(file: Path) -> set[str]:
    return {text.strip() for text in ET.parse(file).getroot().itertext()}  # noqa: S314  # ours


def test_every_table_that_asks_for_it_is_drawn(tmp_path: Path) -> None:
    drawn = plot(FIGURES, tmp_path)

    assert drawn == {("data-path", "Throughput"): BARS, ("data-path", "By number"): LINES}
    assert {
        "bare tunnel",
        "this project",
        "other",
        "down, Mbit/s ↑",
        "first byte, ms ↓",
    } <= words_of(tmp_path / BARS)
    assert {"forwards", "up, s ↓", "1", "100", "1,000"} <= words_of(tmp_path / LINES)


def test_findings_in_words_have_no_panel(tmp_path: Path) -> None:
    plot(FIGURES, tmp_path)

    assert "address seen" not in words_of(tmp_path / BARS)


def test_a_table_that_asks_for_none_is_not_drawn(tmp_path: Path) -> None:
    silent = SPEED.model_copy(update={"plot": None})
    figures = Figures(
        sections={"data-path": SECTION.model_copy(update={"tables": (silent,)})},
    )

    assert plot(figures, tmp_path) == {}
    assert [*tmp_path.iterdir()] == []


def test_the_same_figures_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    plot(FIGURES, tmp_path)
    first = (tmp_path / BARS).read_bytes()
    plot(FIGURES, tmp_path)
    again = (tmp_path / BARS).read_bytes()
    slower = SPEED.model_copy(
        update={"columns": (Column(name="down"),), "rows": (Row(name="a", cells={"down": (1.0,)}),)}
        | {"reference": None}
    )
    plot(
        Figures(sections={"data-path": SECTION.model_copy(update={"tables": (slower,)})}), tmp_path
    )

    assert first == again
    assert first != (tmp_path / BARS).read_bytes()
    assert not re.search(rb"\d{4}-\d\d-\d\dT", first), "no time of day"


def test_pictures_of_tables_that_are_gone_go_too(tmp_path: Path) -> None:
    (tmp_path / "data-path-of-old.svg").touch()
    (tmp_path / "notes.txt").touch()

    plot(FIGURES, tmp_path)

    assert {file.name for file in tmp_path.iterdir()} == {BARS, LINES, "notes.txt"}


@pytest.mark.parametrize("chosen", [False, True])
def test_drawing_leaves_nothing_in_the_users_folders(tmp_path: Path, *, chosen: bool) -> None:
    """But for one that they have chosen for it."""
    home, cache, own = (tmp_path / name for name in ("home", "cache", "own"))
    home.mkdir()
    ours = {"MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"HOME": str(home), "REVERSE_TUNNEL_CACHE": str(cache)}
    environment |= {"MPLCONFIGDIR": str(own)} if chosen else {}
    words = "from lab.benchmark import plots; plots.Figure().savefig('/dev/null', format='svg')"
    subprocess.run(
        [sys.executable, "-c", words], cwd=Path(__file__).parents[2], env=environment, check=True
    )
    assert not [*home.iterdir()]
    assert own.exists() == chosen
    assert (cache / "matplotlib").exists() != chosen
