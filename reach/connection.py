"""One SSH connection to a host. What is wrong with it is said in words a user can act on."""

import asyncio
import base64
import errno
import os
import re
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reach.login import Login
from reach.root import NO_SUDO, SUDO_ASKS, root_shell
from settings.problem import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncssh

CONNECT_SECONDS = 5.0
"""Until the connection is taken: a host that answers takes less than one."""

OTHERWISE_SECONDS = 3.0
"""The same where there is another way to try: nobody shall wait long whenever away from home."""

LOGIN_SECONDS = 15.0
"""For the login, once the connection is taken: a small computer under load takes several."""

_TOO_MANY = "too many authentication failures"  # as OpenSSH says; there is no code for it
_OTHER_HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")


class ReachError(Exception):
    """A host could not be asked. The text stands behind its name and a colon.

    Attributes:
        login: the way by which it was tried, to be named with it; None where the text names them.
        unreachable: nobody answered, which may be over soon.
        somebody_else: who answered has another host key.
        astray: the way did not lead to the host at all; another one may.
    """

    def __init__(
        self,
        text: str,
        *,
        unreachable: bool = False,
        somebody_else: bool = False,
        astray: bool = False,
    ) -> None:
        super().__init__(text)
        self.login: Login | None = None
        self.unreachable = unreachable
        self.somebody_else = somebody_else
        self.astray = astray or unreachable or somebody_else


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
        """The last, for an error; in words of our own where it was ended without any."""
        return self.complained.strip() or "what was run there was ended without a word. Run again."


async def run_as_root(
    ways: "Sequence[Login]", script: str, seconds: float, connect: float | None = None
) -> Ran:
    """Runs a script of sh as root, by a connection of its own.

    Args:
        ways: how to reach the host. The first at which somebody with its host key answers is
            taken; whether the login succeeds there is the same by every other.
        script: goes there on standard input.
        seconds: that it may take, without the login.
        connect: seconds until the last way is taken; by default CONNECT_SECONDS.

    Raises:
        ReachError: the host could not be reached or runs nothing, nobody can be root there, or it
            took too long.
    """
    last = CONNECT_SECONDS if connect is None else connect
    async with _first_of(ways, last) as (login, connection):
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
            done = await connection.run(root_shell(), input=script, check=False, errors="replace")
    except TimeoutError:
        raise ReachError(
            f"the login works, but what was run there took more than {seconds:.0f} s."
            " Is the host overloaded?"
        ) from None
    except asyncssh.ChannelOpenError as error:
        raise ReachError(
            f"the login works, but sshd there opens no session: {shown(error.reason)}."
            " MaxSessions in its sshd_config must be 1 or more, and its log may say more:"
            " `journalctl -u ssh`."
        ) from None
    except asyncssh.Error as error:
        raise _ended(error) from None
    except OSError as error:
        raise _unreachable(_words(error)) from None
    if done.returncode is None:  # neither a status nor a signal
        raise _unreachable("ended the SSH connection before the script was done")
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
    return status, str(done.stdout), str(done.stderr)


@asynccontextmanager
async def _first_of(
    ways: "Sequence[Login]", last: float
) -> "AsyncIterator[tuple[Login, asyncssh.SSHClientConnection]]":
    """A connection by the first way that leads to the host."""
    async with AsyncExitStack() as stack:
        failures: list[ReachError] = []
        for number, login in enumerate(ways, 1):
            seconds = last if number == len(ways) else OTHERWISE_SECONDS
            try:
                connection = await stack.enter_async_context(_connected(login, seconds))
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
async def _connected(login: Login, seconds: float) -> "AsyncIterator[asyncssh.SSHClientConnection]":
    """A connection by one way; what it leads through is connected to first."""
    if login.through is None:
        async with await _connect(login, seconds) as connection:
            yield connection
        return
    async with AsyncExitStack() as stack:
        try:
            jump = await stack.enter_async_context(_connected(login.through, seconds))
        except ReachError as error:
            text = f"it is reached through {login.through}, and there {error}"
            raise ReachError(
                text,
                unreachable=error.unreachable,
                somebody_else=error.somebody_else,
                astray=True,
            ) from None
        connection = await _connect(login, seconds, jump)
        # Its orderly end would wait for a word from whoever passes it on, who may be gone.
        stack.callback(connection.abort)
        yield connection


async def _connect(
    login: Login, seconds: float, jump: "asyncssh.SSHClientConnection | None" = None
) -> "asyncssh.SSHClientConnection":
    # Not at the top: it takes a quarter of a second that only who connects should pay.
    import asyncssh  # noqa: PLC0415

    presented: list[asyncssh.SSHKey] = []
    patience = asyncio.timeout(seconds)
    silence = f"does not answer within {seconds:.0f} s"

    class Client(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            nonlocal silence
            del conn
            _wait_for_login(patience)
            silence = f"takes the connection, but no login within {LOGIN_SECONDS:.0f} s"

        def validate_host_public_key(
            self, host: str, addr: str, port: int, key: asyncssh.SSHKey
        ) -> bool:
            del host, addr, port  # asked only about a key that is not the pinned one
            presented.append(key)
            return False

    pinned = asyncssh.import_public_key(login.host_key)
    try:
        async with patience, _keys(login) as keys:
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
                # The pinned kind first, as the command plugin asks for it alone; the others only
                # to be able to say which key the host has.
                server_host_key_algs=[pinned.get_algorithm(), *_OTHER_HOST_KEYS],
                client_factory=Client,
                config=None,
            )
    except TimeoutError:
        raise _silent(login, silence) from None
    except asyncssh.ChannelOpenError as error:
        raise _not_passed_on(login, error) from None
    except asyncssh.HostKeyNotVerifiable:
        raise _wrong_host_key(pinned, presented) from None
    except asyncssh.PermissionDenied:
        raise _refused(login, keys) from None
    except asyncssh.Error as error:
        if _TOO_MANY in error.reason.lower() and login.private_key is None:
            raise _too_many(keys) from None
        raise _ended(error) from None
    except OSError as error:
        raise _silent(login, _words(error)) from None


def _wait_for_login(patience: asyncio.Timeout) -> None:
    if not patience.expired():  # at this very moment
        patience.reschedule(asyncio.get_running_loop().time() + LOGIN_SECONDS)


@asynccontextmanager
async def _keys(login: Login) -> "AsyncIterator[Sequence[asyncssh.SSHKeyPair]]":
    """The keys to log in with; those of the agent can be used while it is connected to."""
    import asyncssh  # noqa: PLC0415

    if login.private_key is not None:
        yield asyncssh.load_keypairs(asyncssh.import_private_key(login.private_key))
        return
    socket = os.environ.get("SSH_AUTH_SOCK", "")
    try:
        agent = await asyncssh.connect_agent(socket)
    except (OSError, asyncssh.Error):
        raise ReachError(
            "no SSH agent answers (SSH_AUTH_SOCK), and there is no sshPrivateKey. Start one"
            " (`ssh-agent`, `ssh-add`), or set sshPrivateKey as a secret."
        ) from None
    async with agent:
        yield await agent.get_keys()


def _silent(login: Login, what: str) -> ReachError:
    """Nobody is there, or nobody answers."""
    if login.through is None:
        return _unreachable(what)
    return ReachError(
        f"the host {what}, asked from {login.through}. Is it running, and is the tunnel up? Before"
        " the first `pulumi up` there is none yet: then ssh.host needs another way beside it, such"
        " as the address at home, [192.168.1.20, {through: vps}].",
        unreachable=True,
    )


def _not_passed_on(login: Login, error: "asyncssh.ChannelOpenError") -> ReachError:
    import asyncssh  # noqa: PLC0415

    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return ReachError(
            f"sshd at {login.through} passes nothing on. Set `AllowTcpForwarding local` in its"
            " sshd_config.",
            astray=True,
        )
    return _silent(login, "can't be reached")


def _unreachable(what: str) -> ReachError:
    return ReachError(
        f"the host {what}. Is it running, are ssh.host and ssh.port right, and does its firewall"
        " (also the one in the provider's panel) let you in?",
        unreachable=True,
    )


def _ended(error: "asyncssh.Error") -> ReachError:
    return _unreachable(f"ended the SSH connection: {shown(error.reason)}")


def most_telling(error: OSError) -> OSError:
    """The error itself; of a name with several addresses, that of the one which tells most.

    asyncio joins their errors to one that has no number, and theirs only in its text. Addresses of
    IPv6 come first, and where there is none, they tell nothing.
    """
    numbers = [int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))]
    if error.errno is not None or not numbers:
        return error
    number = errno.ECONNREFUSED if errno.ECONNREFUSED in numbers else numbers[-1]
    return OSError(number, os.strerror(number))


def _words(joined: OSError) -> str:
    error = most_telling(joined)
    if isinstance(error, socket.gaierror):
        return "has a name that can't be found"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections to that port"
    if isinstance(error, ConnectionResetError):
        return "breaks off connections to that port"
    if error.errno is None:
        return "can't be reached"
    return f"can't be reached: {shown(os.strerror(error.errno))}"


def _wrong_host_key(
    pinned: "asyncssh.SSHKey", presented: "Sequence[asyncssh.SSHKey]"
) -> ReachError:
    shown_key = presented[-1]
    if shown_key.get_algorithm() != pinned.get_algorithm():
        return ReachError(
            f"the host offers no {pinned.get_algorithm()} key, which is what ssh.hostKey has."
            f" Put its {shown_key.get_algorithm()} key there: {shown_key.get_fingerprint()}"
            " (compare the fingerprint on its console).",
            somebody_else=True,
        )
    return ReachError(
        f"the host shows another host key than ssh.hostKey: {shown_key.get_fingerprint()} instead"
        f" of {pinned.get_fingerprint()}. If it was reinstalled, or ssh.host is another machine"
        " now, put its new key into ssh.hostKey (compare the fingerprint on its console); if not,"
        " somebody else is answering in its place.",
        somebody_else=True,
    )


def _refused(login: Login, keys: "Sequence[asyncssh.SSHKeyPair]") -> ReachError:
    if not keys:
        return ReachError("the SSH agent holds no key. Add yours: `ssh-add`.")
    publics = " or ".join(f"`{_public_half(key)}`" for key in keys)
    return ReachError(
        f"the login as {login.user} is refused. Put the key's public half into"
        f" ~{login.user}/.ssh/authorized_keys on that host: {publics}; or correct ssh.user or"
        " sshPrivateKey."
    )


def _too_many(keys: "Sequence[asyncssh.SSHKeyPair]") -> ReachError:
    return ReachError(
        f"sshd there gave up before it had been shown all {len(keys)} keys of the SSH agent"
        " (MaxAuthTries). Set sshPrivateKey as a secret, or hold fewer keys in the agent:"
        " `ssh-add -D`, then `ssh-add` with the right one."
    )


def _public_half(key: "asyncssh.SSHKeyPair") -> str:
    kind = key.get_algorithm()
    return f"{kind} {base64.b64encode(key.public_data).decode()}"
