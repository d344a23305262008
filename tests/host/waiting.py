"""Runs of the helper that wait for each other on a host."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.host.machine import Machine
from tests.host.tunnel import Tunnel
from tests.support import eventually

if TYPE_CHECKING:
    import subprocess

LIB = "/usr/local/lib/reverse-tunnel"
LONG = 30.0  # seconds

# How far the waiting runs have read their script, one number a line.
HOW_FAR = r"""
for run in $(pgrep -f 'reverse-tunnel 1 [a-z]*-forward'); do
  ! pgrep -P "$run" -x flock >/dev/null || sed -n 's/^pos:[[:space:]]*//p' /proc/$run/fdinfo/255
done
"""


@contextmanager
def locked(machine: Machine) -> Iterator[None]:
    """Another run has the lock, for a while."""
    holder = machine.start(f"exec flock --no-fork {LIB} sleep 60")
    try:
        eventually(
            lambda: machine.run(f"flock --nonblock {LIB} true", check=False).status != 0,
            LONG,
            "no lock",
        )
        yield
    finally:
        holder.kill()
        holder.communicate()


class Waiting:
    """Runs that wait for the lock, which is held until `go`."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._machine = tunnel.machine
        self._runs: list[tuple[str, subprocess.Popen[str]]] = []
        self._held = ExitStack()
        self._held.enter_context(locked(self._machine))

    def call(self, verb: str, name: str, line: str = "", crash_at: str = "") -> None:
        """Start a run, and wait until it waits."""
        helper = f"{self._tunnel.folder}/reverse-tunnel"
        run = self._machine.start(
            f"RT_CRASH_AT={crash_at} exec {helper} 1 {verb} {name} <<<'{line}' 2>&1"
        )
        self._runs.append((name, run))
        eventually(lambda: len(self.read_so_far()) == len(self._runs), LONG, "it does not wait")

    def read_so_far(self) -> list[int]:
        return [int(far) for far in self._machine.run(HOW_FAR).stdout.split()]

    def go(self) -> dict[str, tuple[int, str]]:
        """Let go; how each run ended and what it said, by its forward; of several, its last."""
        self._held.close()
        said = [run.communicate()[0] for _, run in self._runs]
        return {
            name: (run.returncode, words)
            for (name, run), words in zip(self._runs, said, strict=True)
        }
