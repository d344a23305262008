"""A server that is reached through a new VPS: it must have dialled that one first."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache

import pulumi

from components.preflight.known import Known
from components.preflight.lookup import TRY, TRY_SECONDS, Seen
from components.preflight.problem import HostProblem, Warns
from reach import Login, ReachError, run_as_root
from settings import VPS, as_ip

ARRIVES_WITHIN = 120.0
"""Seconds: a server looks up its VPS's name every ten, name servers remember it for sixty."""

_TRY_EVERY = 1.0  # seconds


class ArrivalError(Exception):
    """The server has not come."""


def arriving_later(known: Known) -> Mapping[str, Seen]:
    """Servers that nobody reaches because they have not dialled the new VPS yet.

    They will, if it is found where they dial: by its name, or because the address is the same.

    Returns:
        By server, the way through that VPS, and a warning instead of an error.
    """
    # Without keepalive a server does not notice that its VPS is another one.
    vps = known.seen.get(VPS)
    if vps is None or vps.way is None or not known.settings.network.keepalive:
        return {}
    return {
        name: Seen([_will_dial(name, known.logins[name][way])], way=way)
        for name, each in known.seen.items()
        if name != VPS and each.way is None
        for way in [_way_through(known.logins[name])]
        if way is not None and _dials_anew(known, name)
    }


def _way_through(ways: Sequence[Login]) -> int | None:
    """The first way that leads through the VPS, counted from 0."""
    return next((number for number, way in enumerate(ways) if way.through), None)


def _dials_anew(known: Known, server: str) -> bool:
    """Whether a server is set up, and will find the VPS where it dials.

    The one that it dialled before is another machine, which was where this one is; or it is this
    one, which has lost the tunnel.
    """
    claim, *_ = known.record.machines.get(server, [None])
    if claim is None or claim.host_key != known.logins[server][0].host_key:
        return False
    key, before = known.logins[VPS][0].host_key, known.record.machines.get(VPS, ())
    report = known.of_vps
    is_bare = known.seen[VPS].equipped is not None and (report is None or report.role is None)
    by_name = as_ip(known.settings.endpoint) is None
    return (is_bare and key in {each.host_key for each in before}) or any(
        each.host_key != key and (by_name or each.host == known.settings.endpoint)
        for each in (claim.through, *before)
        if each is not None
    )


def _will_dial(server: str, login: Login) -> HostProblem:
    return HostProblem(
        f"{server} ({login}): is not there yet, since the VPS is another machine than before,"
        " or has lost the tunnel. `pulumi up` waits for it as soon as it can dial that one; if"
        " it dials a name (vps.endpoint), that must lead there by now.",
        warns=Warns.UNCERTAIN,
    )


async def wait(server: str, login: Login) -> None:
    """Waits until the server is there.

    Args:
        server: its name in the stack.
        login: the way through the VPS.

    Raises:
        ArrivalError: it has not come in time, or nothing can be done on it.
    """
    clock = asyncio.get_running_loop()
    deadline = clock.time() + ARRIVES_WITHIN
    while True:
        try:
            await run_as_root([login], TRY, TRY_SECONDS, again=0)
        except ReachError as error:
            is_late = clock.time() > deadline
            # Who lets in has come.
            if not error.unreachable or (is_late and not error.astray):
                raise ArrivalError(f"{server} ({login}): {error}") from None
        else:
            return
        if is_late:
            raise ArrivalError(
                f"{server} ({login}): has not dialled the new VPS within {ARRIVES_WITHIN:.0f} s."
                " Is it running, and does the name in vps.endpoint lead to the new VPS? If so, run"
                " `pulumi up` again. Otherwise do so from where another way leads to it: ssh.host,"
                " such as [192.168.1.20, {through: vps}] at home."
            )
        await asyncio.sleep(_TRY_EVERY)


def arrival(server: str, login: Login) -> pulumi.ResourceHookBinding:
    """What waits for it before a resource that it is bound to is made or updated.

    It is for every command on that server: which of them runs first, the changes tell. So it waits
    once for all of them.
    """

    @cache
    def waiting() -> asyncio.Task[None]:
        return asyncio.create_task(wait(server, login))

    async def before(_args: pulumi.ResourceHookArgs) -> None:
        await asyncio.shield(waiting())  # others wait for it, too

    hook = pulumi.ResourceHook(f"{server}-arrival", before)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
