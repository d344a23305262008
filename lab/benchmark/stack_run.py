"""Stacks with as many forwards as one likes, and how long Pulumi takes with them."""

import copy
import json
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.benchmark.forwards import set_forwards
from lab.lab import Lab
from lab.stack import write_stack

_FIRST_PORT = 10000
_WITHOUT = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
_ROOM = {"GOGC": "400"}
_BARE = Path(__file__).parent / "bare"

# Runs a command, and prints the most memory that one process of it had, in KiB, at the end.
_WEIGHED = """\
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def _with(environment: Mapping[str, str]) -> list[str]:
    """The words before a command that has this beside what its environment has anyway."""
    return ["env", *(f"{name}={value}" for name, value in environment.items())]


@dataclass(frozen=True)
class Up:
    """What one `up` took: seconds, and megabytes of its largest process, the engine."""

    seconds: float
    megabytes: float


class Run(ABC):
    """A stack in a lab that is up, as it is run.

    Attributes:
        lab: where it is.
        switches: that are set in the engine's environment.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.switches: dict[str, str] = {}

    def eased(self) -> Self:
        """The same stack, run by an engine that keeps no log, and has more room for its memory.

        As docs/operations.md has it, but in a home of its own: this one is all labs'.
        """
        home = self.lab.state / "home-without-log"
        if not home.exists():
            home.mkdir()
            (home / "logs").touch()
            engine = Path(self.lab.operator.environment()["PULUMI_HOME"])
            (home / "plugins").symlink_to(engine / "plugins")
        eased = copy.copy(self)
        eased.switches = {**_ROOM, "PULUMI_HOME": str(home)}
        return eased

    @abstractmethod
    def configure(self, forwards: int) -> None:
        """Let it have so many forwards from the next `up` on."""

    @abstractmethod
    def _pulumi(self) -> list[str]:
        """The words before a verb of Pulumi's."""

    def time(self, verb: str) -> float:
        """How long `up`, `preview` or `destroy` takes, in seconds."""
        began = time.monotonic()
        self.lab.operator.run(self._words(verb), timeout=None)
        return time.monotonic() - began

    def watched_up(self, *options: str, checkpoints: bool = True) -> Up:
        """An `up`, with its memory; without checkpoints it writes its state once, at the end."""
        without = {} if checkpoints else _WITHOUT
        weighed = [sys.executable, "-c", _WEIGHED, *self._words("up"), *options]
        words = [*_with(without), *weighed]
        began = time.monotonic()
        done = self.lab.operator.run(words, timeout=None)
        return Up(time.monotonic() - began, int(done.stdout) * 1024 / 1e6)

    def _words(self, verb: str) -> list[str]:
        options = {"preview": [], "up": ["--yes", "--skip-preview"]}.get(verb, ["--yes"])
        return [*_with(self.switches), *self._pulumi(), "--non-interactive", verb, *options]


class StackRun(Run):
    """The example's stack `lab`, made anew, without forwards."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        write_stack(lab)
        self.configure(0)

    def configure(self, forwards: int, target: int = 8080) -> None:
        """Write so many forwards into the stack's file; `target` is the last one's port."""
        written = {
            f"f{n}": {"port": _FIRST_PORT + n, "to": "homelab:8080"} for n in range(forwards)
        }
        if forwards:
            written[f"f{forwards - 1}"]["to"] = f"homelab:{target}"
        set_forwards(self.lab, written)

    def state_size(self) -> int:
        """The state's size, in bytes, as the backend has it."""
        exported = self.lab.operator.run(["pulumi", "stack", "export"]).stdout
        return len(json.dumps(json.loads(exported), separators=(",", ":")))

    def _pulumi(self) -> list[str]:
        return ["pulumi"]


class BareRun(Run):
    """A stack of a program that is nothing but the resources: what the engine takes by itself.

    It has its own name, so that it is new however many there were before.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        super().__init__(lab)
        folder = lab.state / name
        shutil.copytree(_BARE, folder)
        vps = lab.host("vps")
        self._given = {
            "PULUMI_STACK": name,
            "BARE_HOST": vps.address,
            "BARE_HOST_KEY": vps.host_key,
            "BARE_KEY_FILE": str(lab.ssh_key),
        }
        self._folder = folder
        self.configure(0)
        lab.operator.run([*self._pulumi(), "stack", "init", name])

    def configure(self, forwards: int) -> None:
        """Let it have so many forwards from the next `up` on."""
        self._given["BARE_FORWARDS"] = str(forwards)

    def remove(self) -> None:
        """The stack and the program; on the hosts there is nothing of it."""
        self.lab.operator.run(
            [*self._pulumi(), "stack", "rm", "--yes", "--force", self._folder.name]
        )
        shutil.rmtree(self._folder)

    def _pulumi(self) -> list[str]:
        return [*_with(self._given), "pulumi", "-C", str(self._folder)]
