"""A look at a whole stack: every managed host, and the public ports; all at once, read only."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from operate.progress import waiting
from operate.public_port import answer_of
from reach import Login, ReachError, helper_call, logins_to, run_as_root
from reach.entries.host_report import HostReport, parse_report
from settings import VPS, Protocol, Settings

_SECONDS = 30.0
"""For a host's report: the targets' patience, and a weak VPS with many forwards."""

_PORTS_AT_ONCE = 20
_BEGIN = "begin=status\n"  # behind whatever the login's own files print, such as .bashrc
_FORGOTTEN = "is forgotten (`forget: true`), so nobody asks it."
_NOT_FOUND = 127
_REFUSED = 32


HALF_MADE = "is not set up yet: run `pulumi up`."
"""What to say of a host that has a helper, and no tunnel yet."""


class Lost(str):
    """That a host has no tunnel at all, in words."""

    __slots__ = ()


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        hosts: by name, what each host tells, or, as text, why it tells nothing and what to do.
        ports: by forward, whether its first public port `answers`, `refuses` or is `silent`; only
            of those that can be tested by a connection from here.
    """

    hosts: Mapping[str, HostReport | str]
    ports: Mapping[str, str]


def looking(settings: Settings) -> AbstractContextManager[None]:
    """What is said while it goes on."""
    return waiting(f"looking at {', '.join(settings.managed_hosts)}")


async def look_at(settings: Settings, owner: str, *, connect: bool) -> Look:
    """Look at everything once, by one SSH connection for each host.

    Args:
        settings: of the stack, with the SSH key.
        owner: the stack, `project/stack`; of another one's tunnel nothing is told.
        connect: whether targets and public ports are tried by connections that end at once.
    """
    asked = [name for name in settings.managed_hosts if not settings.is_forgotten(name)]
    tunnel = (settings.network.interface, owner)
    ports = ports_to_try(settings) if connect else {}
    reports, answers = await asyncio.gather(
        asyncio.gather(
            *(
                _ask(logins_to(settings, name), *tunnel, connect=connect and name == VPS)
                for name in asked
            )
        ),
        _answers(str(settings.endpoint), ports),
    )
    told = dict(zip(asked, reports, strict=True))
    return Look({name: told.get(name, _FORGOTTEN) for name in settings.managed_hosts}, answers)


def ports_to_try(settings: Settings) -> Mapping[str, int]:
    """The first public port of each forward for which a connection from anywhere would tell."""
    return {
        name: forward.port.first
        for name, forward in settings.forwards.items()
        if forward.enabled and forward.from_ is None and forward.protocol is not Protocol.UDP
    }


def script(interface: str, *words: str) -> str:
    """What is asked of a host: its helper's `status WORDS`, and a line where that begins."""
    return f"echo {_BEGIN}exec {helper_call(interface, 'status', *words)}\n"


async def _ask(
    ways: Sequence[Login] | None, interface: str, owner: str, *, connect: bool
) -> HostReport | str:
    assert ways is not None, "a stack file has no values of other resources"  # noqa: S101
    words = ["connect"] if connect else []
    try:
        ran = await run_as_root(ways, script(interface, *words), _SECONDS)
    except ReachError as error:
        by = f" (by {error.login})" if error.login and len(ways) > 1 else ""
        return f"can't be asked{by}: {error}"
    if ran.status == _NOT_FOUND:
        return Lost(f"has no tunnel {interface}: run `pulumi up`.")
    if ran.status == _REFUSED and "is not known to this helper" in ran.complained:
        return "has a helper that is older than this program: run `pulumi up`."
    try:
        report = parse_report(ran.said.partition(_BEGIN)[2])
    except ValueError as error:
        return f"did not tell how its tunnel is: {error}. Run `pulumi up`, which mends the helper."
    if report.owner not in {None, owner}:
        return (
            f"has a tunnel {interface} of another stack, {report.owner}, and none of {owner}."
            " `pulumi preview` says what to do."
        )
    return report


async def _answers(host: str, ports: Mapping[str, int]) -> Mapping[str, str]:
    few = asyncio.Semaphore(_PORTS_AT_ONCE)

    async def ask(port: int) -> str:
        async with few:
            return await answer_of(host, port)

    answers = await asyncio.gather(*map(ask, ports.values()))
    return dict(zip(ports, answers, strict=True))
