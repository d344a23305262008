"""`reverse-tunnel picture`: the stack as one drawing."""

from pathlib import Path

import click

from operate.layout import draw
from operate.output import output_option, write
from operate.stack import Stack, stack_option


@click.command(short_help="Draw the stack as an SVG picture.")
@output_option("Write it to FILE instead of printing it.")
@stack_option
def picture(output: Path, stack: Stack) -> None:
    """Draw the stack as an SVG picture: hosts, tunnel, forwards, and who may reach what.

    It is drawn from the stack file alone, whether that is deployed or not, and has nothing secret
    in it but the addresses.
    """
    write(output, draw(stack.settings_without_key()).svg().encode())
