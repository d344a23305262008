"""What the arguments of processes were, while something ran."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.hosts.host import Host

_PAUSE = 0.02  # seconds; the engine's processes live longer, and hosts record for themselves

# In the first folder of the PATH: each name there is, as one of two programs, which writes down how
# it was called and then becomes the program of that name.
_RECORDER = """
import pathlib

made = pathlib.Path("/usr/local/lib/lab/recorders")
made.mkdir(parents=True)
first = pathlib.Path("/usr/local/sbin")
for folder in (pathlib.Path("/usr/sbin"), pathlib.Path("/usr/bin")):
    recorder = made / folder.name
    recorder.write_text(f'''#!/bin/sh
printf '%s\\n' "$0 $*" >>/run/arguments
exec {folder}/"${{0##*/}}" "$@"
''')
    recorder.chmod(0o755)
    for program in folder.iterdir():
        if not (first / program.name).exists():
            (first / program.name).symlink_to(recorder)
arguments = pathlib.Path("/run/arguments")
arguments.touch()
arguments.chmod(0o666)
"""


def record_arguments(host: Host) -> None:
    """From now on the host writes down every command that is found by its name."""
    host.run(["python3", "-"], input=_RECORDER)


def recorded_arguments(host: Host) -> str:
    """What the host has written down, a line each."""
    return host.read("/run/arguments")


class Watch:
    """The arguments of all new processes, on this machine and so on every lab host."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._end = threading.Event()
        # Here, not when the thread begins, which may take a moment.
        self._old = set(Path("/proc").iterdir())

    @property
    def seen(self) -> bytes:
        """All of them, a line each."""
        return b"\n".join(self._seen.copy())

    def run(self) -> None:
        """Look again and again."""
        while not self._end.wait(_PAUSE):
            for process in set(Path("/proc").iterdir()) - self._old:
                try:
                    self._seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue  # it has ended

    def end(self) -> None:
        """Look no more."""
        self._end.set()


@contextmanager
def watch() -> Iterator[Watch]:
    """Look at all processes until the block ends."""
    watch = Watch()
    thread = threading.Thread(target=watch.run, name="watch")
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
