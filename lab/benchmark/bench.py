"""The program lab/bench: measures, keeps the figures, and makes the page of them."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from lab.benchmark import before_and_after, control_plane, data_path, faults, figures
from lab.benchmark.figures import Figures, Section
from lab.benchmark.page import page
from lab.benchmark.plots import plot
from lab.checkout import CHECKOUT
from lab.lab import Lab
from lab.preparation import prepare
from lab.progress import say
from lab.requirements import require_machine

FOLDER = CHECKOUT / "docs" / "benchmarks"


class Measure(Protocol):
    """Measures one section, in a lab that is up and goes afterwards."""

    def __call__(self, lab: Lab, *, quick: bool) -> Section:
        """Measure; `quick`: as fast as it goes, to see that everything works."""


SECTIONS: dict[str, Measure] = {
    "data-path": data_path.measure,
    "control-plane": control_plane.measure,
    "faults": faults.measure,
}


def benchmark(lab: Lab, words: Sequence[str]) -> int:
    """Measure the named sections, or all, each in a lab of its own beside `lab`.

    The figures of the others stay as they are. With `--quick` nothing is kept, the page is printed.
    """
    parser = argparse.ArgumentParser(
        "lab/bench", description="Measures, and writes docs/benchmarks/."
    )
    parser.add_argument("section", nargs="*", help=f"of {', '.join(SECTIONS)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a trial: prints and writes nothing")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="nothing but this program beside the one of an older commit",
    )
    wanted = parser.parse_args(words)
    if unknown := {*wanted.section} - {*SECTIONS}:
        parser.error(f"no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    measures = {name: SECTIONS[name] for name in wanted.section or SECTIONS}
    if wanted.before:
        if wanted.section or not (wanted.before / "__main__.py").is_file():
            parser.error("--before takes a checkout of this project, and no section beside it")
        before = wanted.before.resolve()
        measures = {"--before CHECKOUT": partial(before_and_after.measure, before=before)}
    require_machine()
    prepare()
    known = Figures() if wanted.quick else figures.read(FOLDER / "figures.json")
    for name, measure in measures.items():
        say(f"benchmark: {name}")
        known = known.with_section(name, _measured(measure, lab, quick=wanted.quick))
        if not wanted.quick:  # at once: what fails later costs nothing of it
            publish(known, FOLDER)
    if wanted.quick:
        print(page(known, {}))
    return 0


def publish(known: Figures, folder: Path) -> None:
    """Write the figures, the pictures and the page into `folder`."""
    folder.mkdir(exist_ok=True)
    figures.write(folder / "figures.json", known)
    (folder / "README.md").write_text(page(known, plot(known, folder)))


def _measured(measure: Measure, lab: Lab, *, quick: bool) -> Section:
    with Lab(f"{lab.name}-bench").standing() as own:
        return measure(own, quick=quick)
