"""One SSH connection to a host, by the first of its ways that leads there."""

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reach.failure import ReachError, dropped, ended, failed, network_words, silent, unreachable
from reach.keys import keys_for
from reach.limit import limit_at
from reach.local_user import ensure_name
from reach.login import Login
from reach.loop import in_loop
from reach.root import NO_SUDO, SUDO_ASKS, root_shell
from reach.told import printable
from settings import HOST_KEY_TYPES, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncssh

CONNECT_SECONDS = 5.0
"""Until the connection is taken: a host that answers takes less than one."""

OTHERWISE_SECONDS = 3.0
"""The same where there is another way to try: nobody shall wait long whenever away from home."""

LOGIN_SECONDS = 15.0
"""For the login, once the connection is taken: a small computer under load takes several."""

AGAIN = 3
"""Further tries, about a second apart, where sshd drops the connection. While a dozen strangers
have yet to log in, it does so to one of three."""

MOST = 4_000_000
"""Characters, on standard output and on standard error each. A healthy host's longest answer is the
status of a VPS: 0.5 MB with 1,000 forwards, as many peers and the longest names. Whoever broke in
there could go on until the memory of this machine is used up."""

_LAST_LINES = 20  # of what was complained: the cause is mostly the last one

_OTHER_HOST_KEYS = (*HOST_KEY_TYPES, "rsa-sha2-512")


@dataclass(frozen=True)
class Ran:
    """A script that ran on a host.

    Attributes:
        login: the way that led there.
        status: its exit status.
        said: what it printed.
        complained: what it printed on standard error.
    """

    login: Login
    status: int
    said: str
    complained: str

    @property
    def complaint(self) -> str:
        """The last, for an error; in words of our own where it was ended without any.

        What a host says may be meant for the terminal on which it is shown.
        """
        lines = self.complained.strip().splitlines()[-_LAST_LINES:]
        told = "\n".join(map(printable, lines))
        return told or "what was run there was ended without a word. Run again."


async def run_as_root(
    ways: "Sequence[Login]",
    script: str,
    seconds: float,
    connect: float | None = None,
    *,
    again: int = AGAIN,
) -> Ran:
    """Runs a script of sh as root, by a connection of its own. Any loop may wait for it.

    Args:
        ways: how to reach the host. The first at which somebody with its host key answers is
            taken; whether the login succeeds there is the same by every other.
        script: goes there on standard input.
        seconds: that it may take, without the login.
        connect: seconds until the last way is taken; by default CONNECT_SECONDS.
        again: further tries where sshd has too many logins; 0 for who tries again by himself.

    Raises:
        ReachError: the host could not be reached or runs nothing, nobody can be root there, or it
            took too long.
    """
    last = CONNECT_SECONDS if connect is None else connect
    return await in_loop(_run_as_root(ways, script, seconds, last, again))


async def _run_as_root(
    ways: "Sequence[Login]", script: str, seconds: float, last: float, again: int
) -> Ran:
    async with _first_of(ways, last, again) as (login, connection):
        try:
            return Ran(login, *await _run(connection, login, script, seconds))
        except ReachError as error:
            error.login, error.astray = login, False
            raise


async def _run(
    connection: "asyncssh.SSHClientConnection", login: Login, script: str, seconds: float
) -> tuple[int, str, str]:
    import asyncssh  # noqa: PLC0415

    try:
        async with asyncio.timeout(seconds):
            # The login's own files may print bytes that are no text.
            done = await connection.create_process(root_shell(), input=script, errors="replace")
            said, complained = await asyncio.gather(_whole(done.stdout), _whole(done.stderr))
            await done.wait_closed()
    except TimeoutError:
        raise ReachError(
            f"the login works, but what was run there took more than {seconds:.0f} s."
            " Is the host overloaded?",
            unreachable=True,
        ) from None
    except asyncssh.ChannelOpenError as error:
        raise ReachError(
            f"the login works, but sshd there opens no session: {shown(printable(error.reason))}."
            " MaxSessions in its sshd_config must be 1 or more, and its log may say more:"
            " `journalctl -u ssh`."
        ) from None
    except asyncssh.Error as error:
        raise ended(error) from None
    except OSError as error:
        raise unreachable(network_words(error)) from None
    if done.returncode is None:  # neither a status nor a signal
        raise unreachable("ended the SSH connection before the script was done")
    if done.exit_status == NO_SUDO:
        raise ReachError(f"{login.user} is not root, and there is no sudo. Log in as root.")
    if done.exit_status == SUDO_ASKS:
        file = login.user.replace(".", "-")  # sudo passes over files with a dot in their names
        raise ReachError(
            f"sudo asks {login.user} for a password. Allow it without, on that host:"
            f" echo '{login.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{file}"
            " (as root), or log in as root."
        )
    # A script that a signal has ended has no status.
    status = 1 if done.exit_status is None else done.exit_status
    return status, said, complained


async def _whole(stream: "asyncssh.SSHReader[str]") -> str:
    """All that is said there, to its end.

    Raises:
        ReachError: there is no end to it. With the connection, what says it is ended.
    """
    try:
        await stream.readexactly(MOST + 1)
    except asyncio.IncompleteReadError as ended_before:
        return str(ended_before.partial)
    raise ReachError(
        f"the login works, but what was run there printed more than {MOST / 1e6:.0f} MB, and was"
        " not waited for. Does a file of that login (.bashrc) print so much, or is somebody else"
        " in that host?"
    )


@asynccontextmanager
async def _first_of(
    ways: "Sequence[Login]", last: float, again: int
) -> "AsyncIterator[tuple[Login, asyncssh.SSHClientConnection]]":
    """A connection by the first way that leads to the host."""
    async with AsyncExitStack() as stack:
        failures: list[ReachError] = []
        for number, login in enumerate(ways, 1):
            seconds = last if number == len(ways) else OTHERWISE_SECONDS
            try:
                connection = await stack.enter_async_context(_connected(login, seconds, again))
            except ReachError as error:
                error.login = login
                if not error.astray:
                    raise
                failures.append(error)
            else:
                yield login, connection
                return
        raise _no_way(failures)


def _no_way(failures: "Sequence[ReachError]") -> ReachError:
    if len(failures) == 1:
        return failures[0]
    tried = "".join(f"\n    {error.login}: {error}" for error in failures)
    return ReachError(
        f"none of its ways leads there:{tried}",
        unreachable=any(error.unreachable for error in failures),
        astray=True,
    )


@asynccontextmanager
async def _connected(
    login: Login, seconds: float, again: int
) -> "AsyncIterator[asyncssh.SSHClientConnection]":
    """A connection by one way; what it leads through is connected to first."""
    if login.through is None:
        async with await _connect_in_turn(login, seconds, again) as connection:
            yield connection
        return
    async with AsyncExitStack() as stack:
        try:
            jump = await stack.enter_async_context(_connected(login.through, seconds, again))
        except ReachError as error:
            if error.here:
                raise
            text = f"it is reached through {login.through}, and there {error}"
            # Of the host itself nothing is known: neither is it gone, nor somebody in its place.
            astray = ReachError(text, unreachable=error.unreachable, astray=True)
            astray.may_live = True
            raise astray from None
        connection = await _connect(login, seconds, again, jump)
        # Its orderly end would wait for a word from whoever passes it on, who may be gone.
        stack.callback(connection.abort)
        yield connection


async def _connect_in_turn(
    login: Login, seconds: float, again: int
) -> "asyncssh.SSHClientConnection":
    """One of a machine that is dialled from here; whatever passes on, all come to that one."""
    limit = limit_at(login)
    async with limit.turns:
        if silence := limit.silences.get(seconds):
            raise silence
        try:
            return await _connect(login, seconds, again)
        except ReachError as error:
            if error.unreachable and not error.dropped:
                limit.silences[seconds] = error
            raise


async def _connect(
    login: Login,
    seconds: float,
    again: int,
    jump: "asyncssh.SSHClientConnection | None" = None,
) -> "asyncssh.SSHClientConnection":
    """One that is tried again where sshd has too many logins."""
    while True:
        try:
            return await _connect_once(login, seconds, jump)
        except ReachError as error:
            if not (error.dropped and again):
                raise
        again -= 1
        await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - it keeps no secret


async def _connect_once(
    login: Login, seconds: float, jump: "asyncssh.SSHClientConnection | None"
) -> "asyncssh.SSHClientConnection":
    # Not at the top: it takes a quarter of a second that only who connects should pay.
    import asyncssh  # noqa: PLC0415

    ensure_name()
    pinned = asyncssh.import_public_key(login.host_key)
    others: list[asyncssh.SSHKey] = []
    taken: asyncssh.SSHClientConnection | None = None

    class Client(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            nonlocal taken
            taken = conn
            _wait_for_login(patience)

        def validate_host_public_key(
            self, host: str, addr: str, port: int, key: asyncssh.SSHKey
        ) -> bool:
            del host, addr, port  # asked only about a key that is not the pinned one
            others.append(key)
            return False

    async with keys_for(login) as keys:
        try:
            async with asyncio.timeout(seconds) as patience:
                return await asyncssh.connect(
                    login.host,
                    login.port,
                    # What passes on the connection passes on bytes, and sees none in clear.
                    tunnel=jump or (),
                    username=login.user,
                    client_keys=keys,
                    agent_path=None,
                    preferred_auth="publickey",
                    known_hosts=([pinned], [], []),
                    # The pinned kind first, as the command plugin asks for it alone; the others
                    # only to be able to say which key the host has.
                    server_host_key_algs=[pinned.get_algorithm(), *_OTHER_HOST_KEYS],
                    # Compressed, a few bytes could be meant to take all memory.
                    compression_algs=["none"],
                    client_factory=Client,
                    config=None,
                )
        except TimeoutError:
            error = silent(login, _silence(login, seconds, taken=taken is not None))
        except (asyncssh.Error, OSError) as cause:
            lost = isinstance(cause, asyncssh.ConnectionLost | OSError)
            if lost and taken is not None and taken.get_server_host_key() is None:
                error = dropped()
            elif isinstance(cause, OSError):
                error = silent(login, network_words(cause))
            else:
                error = failed(cause, login, keys, others)
        error.may_live = taken is not None and not error.somebody_else
        raise error from None


def _wait_for_login(patience: asyncio.Timeout) -> None:
    if not patience.expired():  # at this very moment
        patience.reschedule(asyncio.get_running_loop().time() + LOGIN_SECONDS)


def _silence(login: Login, seconds: float, *, taken: bool) -> str:
    if not taken:
        return f"does not answer within {seconds:.0f} s"
    asks = " (or the SSH agent waits for its user)" if login.private_key is None else ""
    return f"takes the connection, but no login within {LOGIN_SECONDS:.0f} s{asks}"
