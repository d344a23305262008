"""The benchmark: what a user waits for, and what the VPS spends, on this machine.

Absolute figures are this machine's; what is compared is compared within one run.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lab.lab import Lab
from lab.preparation import prepare
from lab.progress import say
from lab.stack import stack_file, write_stack

_RUNS = 3  # of everything that leaves things as they were; the median counts
_MANY = 150  # forwards in one `up`
_FORWARDS = "reverse-tunnel:forwards"

_EXAMPLE: dict[str, object] = {
    "http": {"port": 80, "to": "homelab:8080"},
    "https": {"port": 443, "to": "homelab:8081"},
}


class Benchmark:
    """One run, in a lab of its own."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def run(self) -> list[tuple[str, str, str]]:
        """Measure everything.

        Returns:
            Rows of what, the figure and what is expected.
        """
        rows = [("first `up` of the example", _seconds(self._up()), "< 30 s")]
        say("previews without changes")
        rows.append(
            (
                "preview without changes, look-up included",
                _seconds(_median([self._time("preview") for _ in range(_RUNS)])),
                "< 3 s",
            )
        )
        say("one forward more")
        added = []
        for _ in range(_RUNS):
            self._configure(_EXAMPLE | {"more": {"port": 2222, "to": "homelab:22"}})
            added.append(self._up())
            self._configure(_EXAMPLE)
            self._up()
        rows.append(("one more forward: `up`", _seconds(_median(added)), "< 3 s"))
        say(f"{_MANY} forwards more, in one up")
        many = {f"f{n}": {"port": 10000 + n, "to": "homelab:8080"} for n in range(_MANY)}
        self._configure(_EXAMPLE | many)
        took, spent = self._watched_up()
        rows += [
            (f"{_MANY} more forwards: `up`", _seconds(took), ""),
            ("SSH connections to the VPS at once", str(spent["connections"]), "<= 20"),
            ("memory held there", f"{spent['kib'] * 1024 / 1e6:.1f} MB", "<= 40 MB"),
            ("state with them", f"{len(self._state()) / 1e6:.1f} MB", ""),
        ]
        say("destroy")
        rows.append((f"destroy with {_MANY + 2} forwards", _seconds(self._time("destroy")), ""))
        return rows

    def _state(self) -> str:
        return self._lab.operator.run(["pulumi", "stack", "export"]).stdout

    def _configure(self, forwards: Mapping[str, object]) -> None:
        file = stack_file(self._lab)
        stack = yaml.safe_load(file.read_text())
        stack["config"][_FORWARDS] = dict(forwards)
        file.write_text(yaml.safe_dump(stack))

    def _time(self, verb: str) -> float:
        options = {"preview": [], "up": ["--yes", "--skip-preview"]}.get(verb, ["--yes"])
        began = time.monotonic()
        self._lab.operator.run(["pulumi", "--non-interactive", verb, *options], timeout=None)
        return time.monotonic() - began

    def _up(self) -> float:
        return self._time("up")

    def _watched_up(self) -> tuple[float, dict[str, Any]]:
        watch = self._lab.host("vps").popen("exec python3 /usr/local/lib/lab/logins.py")
        assert watch.stdout is not None  # noqa: S101  # popen makes pipes
        watch.stdout.readline()
        took = self._up()
        spent, _ = watch.communicate()
        return took, json.loads(spent)


def benchmark(lab: Lab, _words: Sequence[str]) -> int:
    """Measure in a lab of its own beside `lab`, and print the figures as a Markdown table."""
    prepare()
    own = Lab(f"{lab.name}-bench")
    own.up(survives=False)
    try:
        write_stack(own)
        say(f"with {_plugin(own)}")
        rows = Benchmark(own).run()
    finally:
        own.down()
    print("\n| what | measured | expected |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 0


def _plugin(lab: Lab) -> str:
    """The plugins in use, since the command plugin may be the stand-in."""
    listed = lab.operator.run(["pulumi", "plugin", "ls"]).stdout.splitlines()
    return ", ".join(" ".join(line.split()[:3:2]) for line in listed[1:] if "resource" in line)


def _seconds(figure: float) -> str:
    return f"{figure:.1f} s"


def _median(figures: Sequence[float]) -> float:
    return sorted(figures)[len(figures) // 2]
