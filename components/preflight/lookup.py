"""The look at the hosts before anything is registered: one SSH connection each, all at once.

It only reads. What it finds wrong it says in words a user can act on, for all hosts together; the
command provider's own errors for a dead host, a wrong host key or a refused login come late, one
at a time, and name no cause.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from components.preflight.advice import advise
from components.preflight.hidden import warn_of_hidden
from components.preflight.host_facts import HostFacts, parse_facts
from components.preflight.neighbours import warn_of_neighbours
from components.preflight.ping import warn_of_no_ping
from components.preflight.problem import HostProblem, Warns
from components.preflight.userspace import hint_at_userspace
from components.preflight.wanted import Wanted
from reach import Login, ReachError, helper_call, helper_path, run_as_root, run_beside
from reach.entries.host_report import HostReport, parse_report
from reach.shell import probe_text

_END = "end=yes\n"  # the probe's last line
_NO_HELPER = "none"  # what is told where there is no helper

PROBE_SECONDS = 10.0
"""For the script: seconds on the weakest VPS with its disk busy."""

TRY = "true\n"
"""The script that does nothing, by which it is tried whether anything could be done."""

TRY_SECONDS = PROBE_SECONDS
"""For that: a host under load is as slow to do nothing."""

_GO_ON = "To go on without: lookUp: false."
_GONE = "If it is gone for good, see docs/operations.md, a host that dies."

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """What the look at a host brought.

    Attributes:
        problems: what is wrong.
        report: what the tunnel on it tells of itself; None where there is none that can.
        way: by which of its ways it was reached, counted from 0; None where by none.
        equipped: whether the tunnel's helper is there, with files to tell of; None where nobody has
            looked.
    """

    problems: Sequence[HostProblem]
    report: HostReport | None = None
    way: int | None = None
    equipped: bool | None = None


def look_up(hosts: Mapping[str, tuple[Sequence[Login], Wanted]]) -> Mapping[str, Seen]:
    """Looks at all hosts at once; returns what was seen, by name.

    Takes as long as the slowest host, at most the limits of a connection and of the script. It
    may be called where an event loop is running already, as in a Pulumi program.
    """
    seen = _at_once(_look_at(name, ways, wanted) for name, (ways, wanted) in hosts.items())
    return dict(zip(hosts, seen, strict=True))


@dataclass(frozen=True)
class Closed:
    """A machine on which nothing can be done any more.

    Attributes:
        login: by which it was tried.
        why: in words.
        gone: nobody takes a connection there, or somebody else does; otherwise it may well live.
    """

    login: Login
    why: str
    gone: bool


def find_closed(logins: Mapping[str, Login]) -> Mapping[str, Closed]:
    """Which of these machines nobody can do anything on any more."""
    found = _at_once(_try(login) for login in logins.values()) if logins else []
    return {name: each for name, each in zip(logins, found, strict=True) if each is not None}


async def _try(login: Login) -> Closed | None:
    try:
        await run_as_root([login], TRY, TRY_SECONDS)
    except ReachError as error:
        why = str(error)
        if error.somebody_else:
            why = "another machine answers there, or the same one with another host key."
        gone = error.astray and (error.unreachable or error.somebody_else) and not error.may_live
        return Closed(login, why, gone)
    return None


def _at_once(tasks: Iterable[Coroutine[Any, Any, T]]) -> Sequence[T]:
    """What they return, in their order."""

    async def gather() -> Sequence[T]:
        return await asyncio.gather(*tasks)

    return run_beside(gather())


async def _look_at(name: str, ways: Sequence[Login], wanted: Wanted) -> Seen:
    try:
        login, facts, told = await _ask(ways, wanted)
    except ReachError as error:
        at = f"{name} ({error.login})" if error.login else name
        go_on = f" {_GO_ON}" if error.unreachable else ""
        # Who lets in is not gone.
        gone = f" {_GONE}" if error.unreachable and error.astray else ""
        return Seen([HostProblem(f"{at}: {error}{go_on}{gone}", unreachable=error.unreachable)])
    at = f"{name} ({login})"
    problems = [
        *(HostProblem(f"{at} {advice}") for advice in advise(facts, wanted)),
        *(
            HostProblem(f"{at} {each}", warns=kind)
            for kind, found in (
                (Warns.UNCERTAIN, warn_of_neighbours(facts, wanted)),
                (Warns.UNCERTAIN, warn_of_no_ping(facts, wanted)),
                (Warns.SLOW, hint_at_userspace(facts)),
                (Warns.HIDDEN, warn_of_hidden(facts, wanted)),
            )
            for each in found
        ),
    ]
    report = _report(told)
    # Another stack's tunnel is a problem, and none of our business otherwise.
    ours = report if report and report.owner == wanted.owner else None
    # A helper that somebody left alone has nothing to show for, and is made anew with all the rest.
    alone = report is not None and report.owner is None and report.role is None
    equipped = told != _NO_HELPER and not alone
    return Seen(problems, ours, ways.index(login), equipped=equipped)


def script(interface: str, metrics: str | None = None) -> str:
    """What is asked of a host: the probe, and then the tunnel's helper, if there is one.

    Args:
        interface: the tunnel's.
        metrics: the folder for them, which is a word of shell.
    """
    status = f"{helper_call(interface, 'status', 'uncounted')} 2>/dev/null || true"
    tell = f"if [ -e {helper_path(interface)} ]; then {status}; else echo {_NO_HELPER}; fi"
    words = f"set -- {metrics}\n" if metrics else ""
    return f"{words}{probe_text()}{tell}\n"


async def _ask(ways: Sequence[Login], wanted: Wanted) -> tuple[Login, HostFacts, str]:
    """By which way, what the probe found, and what the helper told."""
    ran = await run_as_root(ways, script(wanted.interface, wanted.metrics), PROBE_SECONDS)
    probed, end, told = ran.said.partition(_END)
    try:
        return ran.login, parse_facts(probed + end), told.strip()
    except ValueError as error:
        failed = ReachError(
            f"the look-up's script did not do its work there: {error}. Does `sudo -n sh -c true`"
            f" work there in such a login? {_GO_ON}"
        )
        failed.login = ran.login
        raise failed from None


def _report(told: str) -> HostReport | None:
    # There is no helper yet, or one of before it could tell; the next `up` brings the newest.
    try:
        return parse_report(told)
    except ValueError:
        return None
