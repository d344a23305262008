"""What a broken-off `up` has left on a host, in no stack file and no state: it is removed.

The names of such entries come from the host. They may not stand in a command's text, which is
recorded and run again for years. So they are told to the helper by a connection of its own, at
the moment when the host's resource is updated.
"""

from collections.abc import Sequence

import pulumi

from reach import Login, helper_call, run_as_root
from reach.entries.part import Part

_SECONDS = 300.0
"""For the helper, which waits so long for the runs before it."""

_VERBS = {
    Part.FORWARD: ("remove-forward",),
    # An older helper does not tell whose preshared keys it has.
    Part.PEER: ("remove-preshared-key", "remove-peer"),
    Part.PRESHARED_KEY: ("remove-preshared-key",),
    Part.OPENING: ("remove-opening",),
}


class LeftOverError(Exception):
    """Something is still there."""


async def remove(
    host: str, ways: Sequence[Login], interface: str, entries: Sequence[tuple[Part, str]]
) -> None:
    """Removes entries from a host.

    Args:
        host: its name in the stack.
        ways: how to reach it.
        interface: the tunnel's name.
        entries: what to remove, by kind and name.

    Raises:
        LeftOverError: the helper could not.
        ReachError: the host could not be asked.
    """
    calls = [helper_call(interface, verb, name) for part, name in entries for verb in _VERBS[part]]
    ran = await run_as_root(ways, "\n".join(["set -e", *calls, ""]), _SECONDS)
    if ran.status:
        raise LeftOverError(f"{host} ({ran.login}): {ran.complaint}")


def removal(
    host: str, ways: Sequence[Login], interface: str, entries: Sequence[tuple[Part, str]]
) -> pulumi.ResourceHookBinding:
    """What removes them when the resource that it is bound to has been made or updated."""

    async def then(_args: pulumi.ResourceHookArgs) -> None:
        await remove(host, ways, interface, entries)

    hook = pulumi.ResourceHook(f"{host}-left-over", then)
    return pulumi.ResourceHookBinding(after_create=[hook], after_update=[hook])
