"""The keys to log in with: the one that is given, or those that the SSH agent holds."""

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from reach.failure import ReachError
from reach.login import Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncssh

AGENT_SECONDS = 5.0
"""Until the agent has told which keys it holds. Its user is asked, if at all, when one signs."""


@asynccontextmanager
async def keys_for(login: Login) -> "AsyncIterator[Sequence[asyncssh.SSHKeyPair]]":
    """The keys, one at least; those of the agent can be used while it is connected to.

    Raises:
        ReachError: there is no key given, and no agent that holds one.
    """
    import asyncssh  # noqa: PLC0415

    if login.private_key is not None:
        yield asyncssh.load_keypairs(asyncssh.import_private_key(login.private_key))
        return
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(AGENT_SECONDS):
                agent = await asyncssh.connect_agent(os.environ.get("SSH_AUTH_SOCK", ""))
                keys = await (await stack.enter_async_context(agent)).get_keys()
        except (OSError, ValueError, asyncssh.Error):  # ValueError: it answered something else
            raise ReachError(
                "no SSH agent answers (SSH_AUTH_SOCK), and there is no sshPrivateKey. Start one"
                " (`ssh-agent`, `ssh-add`), or set sshPrivateKey as a secret.",
                here=True,
            ) from None
        if not keys:
            # The library would take the keys in ~/.ssh then, which the command plugin never does.
            raise ReachError("the SSH agent holds no key. Add yours: `ssh-add`.", here=True)
        yield keys
