"""Progress: what is being waited for, shown on a terminal and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console

_silent = ContextVar("_silent", default=False)


@contextmanager
def silence() -> Iterator[None]:
    """Until the block ends nothing is said: something else has the terminal."""
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is going on until the block ends; on standard error, if that is a terminal."""
    console = None if _silent.get() else Console(stderr=True)
    if console is None or not console.is_terminal:
        yield
        return
    with console.status(f"{what} ..."):
        yield
