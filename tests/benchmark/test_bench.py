"""What is published is a page of the figures; what is asked for must exist."""

from pathlib import Path

import pytest

from lab.benchmark import bench, figures
from lab.benchmark.page import page
from lab.benchmark.plots import plot
from lab.checkout import lay_project
from lab.lab import Lab
from tests.benchmark.made_up import FIGURES


def test_publishing_writes_figures_page_and_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"

    bench.publish(FIGURES, folder)

    assert figures.read(folder / "figures.json") == FIGURES
    text = (folder / "README.md").read_text()
    assert "![Data path: Throughput](data-path-throughput.svg)" in text
    assert (folder / "data-path-throughput.svg").exists()


def test_an_unknown_section_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        bench.benchmark(Lab("never-up"), ["control-plain"])

    said = capsys.readouterr().err
    assert f"no section is called control-plain; there are {', '.join(bench.SECTIONS)}" in said


@pytest.mark.parametrize("words", [["faults"], []], ids=["a section", "no checkout"])
def test_another_program_is_measured_alone_and_must_be_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    if words:
        (tmp_path / "__main__.py").touch()
    with pytest.raises(SystemExit):
        bench.benchmark(Lab("never-up"), ["--before", str(tmp_path), *words])

    assert "--before takes a checkout of this project" in capsys.readouterr().err


def test_a_lab_has_the_program_of_the_checkout_that_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "older").mkdir()
    (tmp_path / "older/__main__.py").write_text("older = True")
    (tmp_path / "older/stacks").mkdir()

    lay_project(tmp_path / "project", tmp_path / "older")

    assert (tmp_path / "project/__main__.py").read_text() == "older = True"
    assert not (tmp_path / "project/stacks").is_symlink()


def test_the_page_in_the_repository_is_made_of_the_figures_in_it(tmp_path: Path) -> None:
    known = figures.read(bench.FOLDER / "figures.json")

    assert (bench.FOLDER / "README.md").read_text() == page(known, plot(known, tmp_path))
    for picture in tmp_path.iterdir():
        assert (bench.FOLDER / picture.name).exists(), picture.name
