"""A server that is reached through a new VPS: it must have dialled that one first."""

import asyncio

import pulumi

from components.lookup import PROBE_SECONDS, TRY
from reach import Login, ReachError, run_as_root

ARRIVES_WITHIN = 120.0
"""Seconds: a server looks up its VPS's name every ten, name servers remember it for sixty."""

_TRY_EVERY = 1.0  # seconds


class ArrivalError(Exception):
    """The server has not come."""


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
            await run_as_root([login], TRY, PROBE_SECONDS)
        except ReachError as error:
            if not error.unreachable:
                raise ArrivalError(f"{server} ({login}): {error}") from None
        else:
            return
        if clock.time() > deadline:
            raise ArrivalError(
                f"{server} ({login}): has not dialled the new VPS within {ARRIVES_WITHIN:.0f} s."
                " Is it running, and does the name in vps.endpoint lead to the new VPS? If so, run"
                " `pulumi up` again. Otherwise do so from where another way leads to it: ssh.host,"
                " such as [192.168.1.20, {through: vps}] at home."
            )
        await asyncio.sleep(_TRY_EVERY)


def arrival(server: str, login: Login) -> pulumi.ResourceHookBinding:
    """What waits for it before the resource that it is bound to is made or updated."""

    async def before(_args: pulumi.ResourceHookArgs) -> None:
        await wait(server, login)

    hook = pulumi.ResourceHook(f"{server}-arrival", before)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
