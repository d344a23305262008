"""`reverse-tunnel drift`: where hosts are no longer as the last `up` made them, for cron."""

import json
import sys
from collections.abc import Collection, Iterator

import click

from operate.look import HALF_MADE, Look, Lost, look_at, looking
from operate.output import on_terminal
from operate.stack import Stack, stack_option
from reach import run_in_loop
from reach.entries.drift import LOST, Drift, drift_of
from reach.entries.fingerprints import unlike
from reach.entries.host_report import HostReport
from reach.entries.inventory import left_over
from reach.entries.part import Part
from settings import Settings

DRIFTED = 3
"""The exit status where something has drifted."""


@click.command(short_help="Say where hosts are no longer as `pulumi up` made them.")
@click.option("--json", "in_json", is_flag=True, help="Print it as a JSON list of lines.")
@stack_option
def drift(*, in_json: bool, stack: Stack) -> None:
    """Say where hosts are no longer as the last `pulumi up` made them; `pulumi up` puts it right.

    It logs in to each managed host once, and changes nothing. A host that can't be asked, or has
    no tunnel yet, is named on standard error, and no drift is reported of it. Where the stack file
    has been changed since, that is named, too, as what it says otherwise.

    Exit status: 0, nothing has drifted; 3, something has; else 1, some host tells nothing.
    """
    settings = stack.settings()
    with looking(settings):
        look = run_in_loop(look_at(settings, stack.owner(), connect=False))
    without = {name: text for name, report in look.hosts.items() if (text := _without(report))}
    lost = without.keys() & stack.set_up() if without else set[str]()
    untold = {
        name: without.get(name, report)
        for name, report in look.hosts.items()
        if name not in lost and (name in without or isinstance(report, str))
    }
    for name, report in untold.items():
        click.echo(f"{name} {report}", err=True)
    missed = not all(map(settings.is_forgotten, untold))
    lines = list(drift_lines(settings, look, lost))
    if in_json:
        click.echo(json.dumps(lines))
    elif lines:
        click.echo("\n".join(lines))
    elif on_terminal() and not missed:
        click.echo("nothing has drifted")
    sys.exit(DRIFTED if lines else int(missed))


def _without(report: HostReport | str) -> str | None:
    """What to say of a host that has no tunnel, or half of one; None of any other."""
    if isinstance(report, HostReport):
        return None if report.role else HALF_MADE
    return report if isinstance(report, Lost) else None


def drift_lines(settings: Settings, look: Look, lost: Collection[str]) -> Iterator[str]:
    """What has drifted, a line each; what no stack file names is among it.

    Args:
        settings: of the stack.
        look: what was seen.
        lost: the hosts that had a tunnel, and have none.
    """
    for name, report in look.hosts.items():
        if name in lost:
            part = Part.HELPER if isinstance(report, str) else Part.INTERFACE
            yield f"{name}: {part.value}: {LOST}"
        if isinstance(report, str):
            continue
        others = dict.fromkeys(
            ((name, *each) for each in unlike(settings, name, report)),
            "the stack file says otherwise",
        )
        yield from drift_of(settings, name, report).and_also(Drift(others)).lines()
        for part, left in left_over(settings, name, report):
            yield f"{name}: {part.value} {left}: the stack file has no such thing"
