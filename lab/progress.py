"""Long steps say that they live: one line every few seconds, on stderr."""

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

from lab.failure import LabError

_EVERY = 5.0  # seconds between two lines of one step
_KEPT = 20  # last lines of output shown when a step fails


class StepError(LabError):
    """A step of the set-up failed; the message carries the end of its output."""


def say(text: str) -> None:
    """One line for the person who waits."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run_step(
    name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str = "/"
) -> None:
    """Run `command`, showing its last line of output and the time it has taken now and then.

    Raises:
        StepError: it failed; its last lines are in the message.
    """
    say(f"{name} ...")
    began = time.monotonic()
    lines: deque[str] = deque(maxlen=_KEPT)
    done = threading.Event()

    def report() -> None:
        while not done.wait(_EVERY):
            last = lines[-1] if lines else "started"
            say(f"{name} ... {time.monotonic() - began:.0f} s: {last[:100]}")

    # It ends with the thread that waits for it here, also if this program is killed.
    tied = ["setpriv", "--pdeathsig", "KILL", "--"]
    with subprocess.Popen(
        [*tied, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        cwd=cwd,
        close_fds=False,  # it keeps the lock of what it makes, see cache.py
    ) as process:
        reporter = threading.Thread(target=report, daemon=True)
        reporter.start()
        try:
            assert process.stdout is not None  # noqa: S101  # asked for above
            for line in process.stdout:
                if line.strip():
                    lines.append(line.strip())
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            done.set()
            reporter.join()
    if status:
        shown = "\n  ".join(lines)
        raise StepError(f"{name} failed (status {status}); its last lines:\n  {shown}")
    say(f"{name}: done in {time.monotonic() - began:.0f} s")
