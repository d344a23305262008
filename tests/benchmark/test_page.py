import pytest

from lab.benchmark.figures import Figures
from lab.benchmark.page import number, page, slug
from tests.benchmark.made_up import FIGURES

PAGE = page(FIGURES, {("data-path", "Throughput"): "data-path-throughput.svg"})


@pytest.mark.parametrize(
    "line",
    [
        "## Data path",
        "`lab/bench data-path`, 2026-11-28: two cores",
        "A visitor, a VPS, a server.",
        "| as fast as the tunnel | 98 % | met |",
        "| half the time | three quarters | **missed** |",
        "### Throughput",
        "| way | down, Mbit/s ↑ | first byte, ms ↓ | address seen |",
        "| bare tunnel | 2,000 (1,900..2,100) | 0.500 | yes |",
        "| this project | 1,950 (1,940..1,960), 98% | - | yes |",
        "| other | 1,000, 50% | 1.25, 250% | no |",
        "Percentages: of *bare tunnel*.",
        "![Data path: Throughput](data-path-throughput.svg)",
        "| 1,000 | 150 (100..200) |",
        "- **another**: no registry has it",
        "- A queue was too short.",
    ],
)
def test_the_page_shows_what_was_measured(line: str) -> None:
    assert line in PAGE.splitlines()


def test_the_page_shows_no_picture_that_there_is_none_of() -> None:
    assert PAGE.count("![") == 1


def test_a_page_of_nothing_has_no_section() -> None:
    assert "##" not in page(Figures(), {})


@pytest.mark.parametrize(
    ("figure", "written"),
    [
        (0, "0"),
        (0.0123, "0.012"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1e6, "1,000,000"),
    ],
)
def test_a_number_has_the_digits_that_count(figure: float, written: str) -> None:
    assert number(figure) == written


def test_a_files_name_has_no_characters_that_need_quoting() -> None:
    assert slug("data-path", "UDP, 50 packets/s (game)") == "data-path-udp-50-packets-s-game"
