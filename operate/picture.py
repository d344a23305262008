"""`reverse-tunnel picture`: the stack as one drawing."""

from pathlib import Path

import click

from operate.failure import CommandError
from operate.plan import draw
from operate.stack import Stack, stack_option


@click.command()
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to FILE instead of printing it.",
)
@stack_option
def picture(output: Path | None, stack: Stack) -> None:
    """Draw the stack as an SVG picture: hosts, tunnel, forwards, and who may reach what.

    It is drawn from the stack file alone, whether that is deployed or not, and has nothing secret
    in it but the addresses.
    """
    svg = draw(stack.plan()).svg()
    if output is None:
        click.echo(svg, nl=False)
        return
    try:
        output.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{output} can't be written: {error.strerror}") from None
    click.echo(f"Written to {output}.", err=True)
