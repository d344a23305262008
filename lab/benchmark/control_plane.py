"""What a user waits for, and what the VPS spends on it."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from lab.benchmark.figures import Column, Goal, Row, Section, Table, median
from lab.benchmark.machine import machine, today
from lab.lab import Lab
from lab.progress import say
from lab.stack import stack_file, write_stack

_RUNS = 3  # of everything that leaves things as they were
_MANY = 150  # forwards in one `up`
_FORWARDS = "reverse-tunnel:forwards"

_EXAMPLE: dict[str, object] = {
    "http": {"port": 80, "to": "homelab:8080"},
    "https": {"port": 443, "to": "homelab:8081"},
}


def measure(lab: Lab, *, quick: bool) -> Section:
    """Measure with the stack of the example."""
    write_stack(lab)
    run = _Run(lab, runs=1 if quick else _RUNS)
    on, taken = machine(), today()
    rows = [*run.waits()]
    many, spent = run.many()
    rows += [
        many,
        Row(name=f"`destroy` with {_MANY + 2} forwards", cells={"time": (run.time("destroy"),)}),
    ]
    return Section(
        title="Control plane",
        taken=taken,
        machine=on,
        about=(f"With {_plugins(lab)}.",),
        goals=(*_goals(rows, spent),),
        tables=(
            Table(
                title="What a user waits for",
                label="what",
                columns=(Column(name="time", unit="s", better="less"),),
                rows=(*rows,),
            ),
            Table(
                title="What the VPS spends",
                label="what",
                columns=(Column(name="most at once", better="less"),),
                rows=(*spent,),
                about=f"While {_MANY} forwards are added in one `up`. Memory is the PSS of all"
                " processes above that at the start.",
            ),
        ),
    )


class _Run:
    """One run through everything."""

    def __init__(self, lab: Lab, runs: int) -> None:
        self._lab = lab
        self._runs = runs

    def waits(self) -> list[Row]:
        """What leaves the example as it was."""
        first = self.time("up")
        say("previews without changes")
        previews = self._repeat(lambda: self.time("preview"))
        say("one forward more")
        added = self._repeat(self._add)
        return [
            Row(name="first `up` of the example", cells={"time": (first,)}),
            Row(name="preview without changes, look-up included", cells={"time": previews}),
            Row(name="one more forward: `up`", cells={"time": added}),
        ]

    def many(self) -> tuple[Row, list[Row]]:
        """Many forwards in one `up`."""
        say(f"{_MANY} forwards more, in one up")
        many = {f"f{n}": {"port": 10000 + n, "to": "homelab:8080"} for n in range(_MANY)}
        self._configure(_EXAMPLE | many)
        took, spent = self._watched_up()
        state = len(self._lab.operator.run(["pulumi", "stack", "export"]).stdout)
        return Row(name=f"{_MANY} more forwards: `up`", cells={"time": (took,)}), [
            Row(name="SSH connections", cells={"most at once": (spent["connections"],)}),
            Row(name="memory, MB", cells={"most at once": (spent["kib"] * 1024 / 1e6,)}),
            Row(name="state with them, MB", cells={"most at once": (state / 1e6,)}),
        ]

    def time(self, verb: str) -> float:
        """How long a command of pulumi takes, in seconds."""
        options = {"preview": [], "up": ["--yes", "--skip-preview"]}.get(verb, ["--yes"])
        began = time.monotonic()
        self._lab.operator.run(["pulumi", "--non-interactive", verb, *options], timeout=None)
        return time.monotonic() - began

    def _repeat(self, once: Callable[[], float]) -> tuple[float, ...]:
        return tuple(once() for _ in range(self._runs))

    def _add(self) -> float:
        self._configure(_EXAMPLE | {"more": {"port": 2222, "to": "homelab:22"}})
        took = self.time("up")
        self._configure(_EXAMPLE)
        self.time("up")
        return took

    def _configure(self, forwards: Mapping[str, object]) -> None:
        file = stack_file(self._lab)
        stack = yaml.safe_load(file.read_text())
        stack["config"][_FORWARDS] = dict(forwards)
        file.write_text(yaml.safe_dump(stack))

    def _watched_up(self) -> tuple[float, dict[str, Any]]:
        watch = self._lab.host("vps").popen("exec python3 /usr/local/lib/lab/logins.py")
        assert watch.stdout is not None  # noqa: S101  # popen makes pipes
        watch.stdout.readline()
        took = self.time("up")
        spent, _ = watch.communicate()
        return took, json.loads(spent)


def _goals(waits: list[Row], spent: list[Row]) -> list[Goal]:
    def goal(row: Row, column: str, limit: float, unit: str) -> Goal:
        found = median(row.samples(column))
        text = f"{row.name}: at most {limit:g}{unit}"
        return Goal(text=text, found=f"{found:.1f}{unit}", met=found <= limit)

    first, preview, added, *_rest = waits
    connections, memory, *_rest = spent
    return [
        goal(first, "time", 30, " s"),
        goal(preview, "time", 3, " s"),
        goal(added, "time", 3, " s"),
        goal(connections, "most at once", 20, ""),
        goal(memory, "most at once", 40, ""),
    ]


def _plugins(lab: Lab) -> str:
    """The plugins in use, since the command plugin may be the stand-in."""
    listed = lab.operator.run(["pulumi", "plugin", "ls"]).stdout.splitlines()
    return ", ".join(" ".join(line.split()[:3:2]) for line in listed[1:] if "resource" in line)
