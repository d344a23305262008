"""This program beside an older one, in alternation: what has been mended, and by how much."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.benchmark.figures import Column, Section, Table
from lab.benchmark.machine import machine, today
from lab.benchmark.sheet import Sheet
from lab.benchmark.stack_run import StackRun
from lab.checkout import CHECKOUT
from lab.lab import Lab
from lab.progress import say

_SIZES = {100: 3, 300: 1}  # forwards: rounds, of which each takes one or three minutes
_QUICK = {10: 1}

_COLUMNS = tuple(
    Column(name=name, unit="s", better="less")
    for name in ("create", "preview", "one more", "none left")
)

_ABOUT = """\
What measuring the control plane has led to is told by the decisions
[12](../adr/0012-a-lean-state.md), [19](../adr/0019-what-the-engine-costs.md) and
[17](../adr/0017-who-has-its-turn-does-the-work-of-those-who-wait.md)."""


def measure(lab: Lab, before: Path, *, quick: bool) -> Section:
    """Measure what a user waits for with both programs.

    Args:
        lab: that runs this checkout's program; another one stands beside it meanwhile.
        before: a checkout of an older commit. Of its own it uses the program alone: the lab, the
            engine and the Python packages are this checkout's.
        quick: as fast as it goes.
    """
    on, taken = machine(), today()
    with Lab(f"{lab.name}-before", program=before).standing() as older:
        programs = {
            f"before ({_commit(before)})": StackRun(older),
            f"after ({_commit(CHECKOUT)})": StackRun(lab),
        }
        for stack in programs.values():
            stack.time("up")
        tables = [
            _at(size, rounds, programs) for size, rounds in (_QUICK if quick else _SIZES).items()
        ]
    return Section(
        title="Before and after",
        taken=taken,
        machine=on,
        about=(_ABOUT,),
        tables=(*tables,),
    )


def _at(size: int, rounds: int, programs: dict[str, StackRun]) -> Table:
    first = next(iter(programs))
    sheet = Sheet(
        Table(title=f"{size} forwards", label="program", columns=_COLUMNS, reference=first)
    )
    for _ in range(rounds):
        for name, stack in programs.items():
            say(f"{size} forwards, {name}")
            for column, seconds in zip(_COLUMNS, _waits(stack, size), strict=True):
                sheet.add(name, column, seconds)
    return sheet.table()


def _waits(stack: StackRun, size: int) -> Iterator[float]:
    """From no forwards to none, one for each column."""
    stack.configure(size)
    yield stack.time("up")
    yield stack.time("preview")
    stack.configure(size + 1)
    yield stack.time("up")
    stack.configure(0)
    yield stack.time("up")


def _commit(checkout: Path) -> str:
    """The commit of a checkout, short; with a sign where files of it have changed since."""
    words = ["git", "-C", str(checkout), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
