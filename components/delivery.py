"""The helper's way to a host, just before the command that installs it, by a login of its own.

As the standard input of that command it would stand in the state twice for each host, and the
engine writes the whole state at every step. So the command has its digest alone.
"""

import asyncio

import pulumi
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import get_monitor

from components.remote import DIAL_RETRIES, login_of
from reach import Login, ReachError, run_as_root
from reach.shell import delivery_text

_CONNECT_SECONDS = 15.0
"""As patient as the command plugin (`perDialTimeout`), which connects next."""

_SECONDS = 60.0
"""For some ninety kilobytes, by the slowest line at home."""


class DeliveryError(Exception):
    """The helper has not come to the host."""


async def deliver(host: str, login: Login, folder: str) -> None:
    """Brings the helper to a host, where it lies beside the one that is installed.

    Args:
        host: its name in the stack.
        login: how to reach it.
        folder: of the tunnel's helper, as a word of shell.

    Raises:
        DeliveryError: it could not be reached, or has no room.
    """
    for retries in reversed(range(DIAL_RETRIES + 1)):
        try:
            ran = await run_as_root(
                [login], delivery_text(folder), _SECONDS, _CONNECT_SECONDS, again=0
            )
        except ReachError as error:
            if not (retries and error.unreachable):
                raise DeliveryError(f"{host} ({login}): {error}") from None
            await asyncio.sleep(1.0)
        else:
            if ran.status:
                raise DeliveryError(f"{host} ({login}): {ran.complaint}")
            return


def delivery(host: str, folder: str) -> pulumi.ResourceHookBinding | None:
    """What delivers it before the command that it is bound to is run, by that one's connection.

    None in the unit tests of a program: Pulumi's mocks run no command, and know no hooks.
    """
    if isinstance(get_monitor(), MockMonitor):
        return None

    async def before(args: pulumi.ResourceHookArgs) -> None:
        assert args.new_inputs is not None  # noqa: S101  # of creates and updates
        connection = await pulumi.Output.from_input(args.new_inputs["connection"]).future()
        assert connection is not None  # noqa: S101  # the command is about to use it
        await deliver(host, login_of(connection), folder)

    hook = pulumi.ResourceHook(f"{host}-helper", before)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
