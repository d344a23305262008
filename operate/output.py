"""Where a command's work goes: standard output, or a file that is whole or not there."""

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from operate.failure import CommandError

Command = TypeVar("Command", bound=Callable[..., Any])

STDOUT = Path("-")


def on_terminal() -> bool:
    """Whether standard output is one; else a program reads it, or a file keeps it."""
    return sys.stdout.isatty()


def output_option(words: str, default: Path | None = STDOUT) -> Callable[[Command], Command]:
    """Give a command the option `--output FILE`, as the argument `output`; `words` is its help."""
    return click.option(
        "--output",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        default=default,
        help=words,
    )


def write(path: Path, content: bytes) -> None:
    """Print it, or write it to a file and say so.

    Raises:
        CommandError: it can't be written there.
    """
    _write(path, content, Path.write_bytes)


def write_secret(path: Path, content: bytes) -> None:
    """The same; a file has mode 0600 from the first moment.

    Raises:
        CommandError: it can't be written there.
    """
    _write(path, content, _put_in_place)


def _write(path: Path, content: bytes, put: Callable[[Path, bytes], object]) -> None:
    if path == STDOUT:
        click.echo(content, nl=False)
        return
    try:
        # A file that is renamed over /dev/stdout stays there for every program after this one.
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise CommandError(
                f"{path} is no regular file, and was left as it is: name a file, or print it"
                " (`--output -`)"
            )
        put(path, content)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}") from None
    click.echo(f"Written to {path}.", err=True)


def _put_in_place(path: Path, content: bytes) -> None:
    # Made with mode 0600, and renamed into place: it never lies there open to others.
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink()
        raise
