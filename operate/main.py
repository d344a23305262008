"""The command line: `reverse-tunnel COMMAND [--stack NAME]`, one file for each command."""

import io
import sys

import click

from operate.client import client
from operate.drift import drift
from operate.picture import picture
from operate.server import server
from operate.status import status


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Look after a reverse tunnel: what is not `pulumi preview`, `up` and `destroy`.

    Run it in the project's folder, with the passphrase in the environment as for `pulumi`.

    Exit status: 0, all is well; 1, something is wrong or could not be done, and it was said what;
    2, wrong usage; 3, drift has found some.
    """
    # A letter that the terminal does not have ends nothing, as on standard error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


for command in (client, drift, picture, server, status):
    main.add_command(command)
