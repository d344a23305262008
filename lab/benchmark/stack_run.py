"""The example's stack, with as many forwards as one likes, and how long Pulumi takes with it."""

import json
import sys
import time
from dataclasses import dataclass

from lab.lab import Lab
from lab.stack import set_forwards, write_stack

_FIRST_PORT = 10000
_WITHOUT = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}

# Runs a command, and prints the most memory that one process of it had, in KiB, at the end.
_WEIGHED = """\
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@dataclass(frozen=True)
class Up:
    """What one `up` took: seconds, and megabytes of its largest process, the engine."""

    seconds: float
    megabytes: float


class StackRun:
    """The stack `lab` of a lab that is up, made anew, without forwards.

    Attributes:
        lab: where it is.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
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

    def time(self, verb: str) -> float:
        """How long `up`, `preview` or `destroy` takes, in seconds."""
        began = time.monotonic()
        self.lab.operator.run(_words(verb), timeout=None)
        return time.monotonic() - began

    def watched_up(self, *options: str, checkpoints: bool = True) -> Up:
        """An `up`, with its memory; without checkpoints it writes its state once, at the end."""
        switches = () if checkpoints else (f"{name}={value}" for name, value in _WITHOUT.items())
        words = ["env", *switches, sys.executable, "-c", _WEIGHED, *_words("up"), *options]
        began = time.monotonic()
        done = self.lab.operator.run(words, timeout=None)
        return Up(time.monotonic() - began, int(done.stdout) * 1024 / 1e6)

    def state_size(self) -> int:
        """The state's size, in bytes, as the backend has it."""
        exported = self.lab.operator.run(["pulumi", "stack", "export"]).stdout
        return len(json.dumps(json.loads(exported), separators=(",", ":")))

    def plugins(self) -> str:
        """The plugins in use, since the command plugin may be the stand-in."""
        listed = self.lab.operator.run(["pulumi", "plugin", "ls"]).stdout.splitlines()
        return ", ".join(" ".join(line.split()[:3:2]) for line in listed[1:] if "resource" in line)


def _words(verb: str) -> list[str]:
    options = {"preview": [], "up": ["--yes", "--skip-preview"]}.get(verb, ["--yes"])
    return ["pulumi", "--non-interactive", verb, *options]
