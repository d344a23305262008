"""`reverse-tunnel status`: how the tunnel is doing, and what is wrong."""

import asyncio
import json
import sys
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.live import Live

from operate.judgement import Finding, judge
from operate.look import Look, look_at, looking
from operate.stack import Stack, stack_option
from operate.status_view import as_json, as_tables

_PAUSE = 5.0  # seconds between two looks: a login each, which a weak VPS feels

Seen = tuple[Look, list[Finding]]


@click.command()
@click.option("--json", "in_json", is_flag=True, help="Print it as JSON; with --watch a line each.")
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--passive", is_flag=True, help="Try neither targets nor public ports.")
@stack_option
def status(*, in_json: bool, watch: bool, passive: bool, stack: Stack) -> None:
    """Show how hosts, tunnel and forwards are doing, and what to do about what is wrong.

    It logs in to each managed host once, and changes nothing. Whether a target answers is asked
    from the VPS, and whether a public port answers from here: by a TCP connection that ends at
    once, which the service may note. UDP gives no answer that would tell.

    Exit status: 0, all is well; 1, something is wrong.
    """
    settings = stack.settings()

    def look() -> Seen:
        seen = asyncio.run(look_at(settings, connect=not passive))
        return seen, judge(settings, seen)

    def as_line(seen: Seen) -> str:
        return json.dumps(as_json(settings, *seen), indent=None if watch else 2)

    if in_json:
        seen = _watch(look, lambda seen: click.echo(as_line(seen))) if watch else look()
        if not watch:
            click.echo(as_line(seen))
    elif watch:
        with Live(console=Console(), auto_refresh=False) as live:
            seen = _watch(look, lambda seen: live.update(as_tables(settings, *seen), refresh=True))
    else:
        with looking(settings):
            seen = look()
        Console().print(as_tables(settings, *seen))
    sys.exit(1 if seen[1] else 0)


def _watch(look: Callable[[], Seen], show: Callable[[Seen], None]) -> Seen:
    """Look and show until the user has seen enough; returns the last."""
    seen = look()
    show(seen)
    try:
        while True:
            time.sleep(_PAUSE)
            seen = look()
            show(seen)
    except KeyboardInterrupt:
        return seen
