"""Files with a secret in them: whole or not there, and from the first moment for their owner."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from operate.failure import CommandError

Command = TypeVar("Command", bound=Callable[..., Any])


def output_option(words: str) -> Callable[[Command], Command]:
    """Give a command the option `--output FILE`, as the argument `output`; `words` is its help."""
    return click.option(
        "--output",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help=words,
    )


def write_secret(path: Path, content: bytes) -> None:
    """Write a file with mode 0600, in the place of whatever was there.

    Raises:
        CommandError: it can't be written there.
    """
    try:
        # Made with that mode, and renamed into place: it never lies there open to others.
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink()
            raise
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}") from None
