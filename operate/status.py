"""`reverse-tunnel status`: how the tunnel is doing, and what is wrong."""

import json
import sys
import time
from collections.abc import Callable, Iterator

import click
from rich.console import Console
from rich.live import Live

from operate.current_settings import CurrentSettings
from operate.judgement import Finding, judge
from operate.look import Look, look_at, looking
from operate.output import on_terminal
from operate.progress import silence
from operate.stack import Stack, stack_option
from operate.status_view import UNFOLDED, as_json, as_tables
from reach import run_in_loop
from settings import Settings

_PAUSE = 5.0  # seconds between two looks: a login each, which a weak VPS feels

Seen = tuple[Settings, Look, list[Finding]]


@click.command(short_help="Show how all is doing, and what to do about what is wrong.")
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
    stack = stack.pinned()
    current, owner = CurrentSettings(stack), stack.owner()

    def look() -> Seen:
        wrong = current.follow()
        settings = current.settings
        seen = run_in_loop(look_at(settings, owner, connect=not passive))
        return settings, seen, [*_unread(wrong), *judge(settings, seen)]

    console = Console(width=None if on_terminal() else UNFOLDED)

    def show(seen: Seen) -> None:
        if in_json:
            click.echo(json.dumps(as_json(*seen), indent=None if watch else 2))
        else:
            console.print(as_tables(*seen))

    if watch and on_terminal() and not in_json:
        with Live(console=console, auto_refresh=False) as live, silence():
            # First what is wrong: of what has no room, the lower part is left out.
            seen = _watch(
                look,
                lambda seen: live.update(as_tables(*seen, findings_first=True), refresh=True),
            )
    elif watch:
        seen = _watch(look, show)
    else:
        with looking(current.settings):
            seen = look()
        show(seen)
    *_, findings = seen
    sys.exit(1 if findings else 0)


def _unread(wrong: str | None) -> Iterator[Finding]:
    """That the stack file has changed, and can't be read now."""
    if wrong is not None:
        yield Finding(
            "stack file",
            f"has changed, and can't be read; all else is judged by what it said before: {wrong}",
        )


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
