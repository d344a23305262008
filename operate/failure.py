"""What a command could not do: what, where, and what to do, without a traceback."""

from typing import IO, Any

import click


class CommandError(click.ClickException):
    """The command could not do its work; the text says why, and what to do.

    Its exit status is 1; a wrong use of the command line has 2.
    """

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it, on standard error unless `file` is given."""
        click.echo(f"reverse-tunnel: {self.message}", file=file, err=file is None)
