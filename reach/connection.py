"""One SSH connection to a host. What is wrong with it is said in words a user can act on."""

import asyncio
import base64
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from reach.login import Login
from reach.root import NO_SUDO, SUDO_ASKS, root_shell
from settings.problem import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncssh

CONNECT_SECONDS = 5.0
"""For the connection with the login: a host that answers takes less than one."""

_TOO_MANY = "too many authentication failures"  # as OpenSSH says; there is no code for it
_OTHER_HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")


class ReachError(Exception):
    """A host could not be asked. The text stands behind its name and a colon.

    Attributes:
        unreachable: nobody answered, which may be over soon.
    """

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


async def run_as_root(login: Login, script: str, seconds: float) -> tuple[int, str, str]:
    """Runs a script of sh as root, by a connection of its own.

    Args:
        login: how to reach the host.
        script: goes there on standard input.
        seconds: that it may take, without the login.

    Returns:
        Its exit status, what it printed, and what it printed on standard error.

    Raises:
        ReachError: the host could not be reached or runs nothing, nobody can be root there, or it
            took too long.
    """
    import asyncssh  # noqa: PLC0415

    async with await _connect(login) as connection:
        try:
            async with asyncio.timeout(seconds):
                done = await connection.run(root_shell(), input=script, check=False)
        except TimeoutError:
            raise ReachError(
                f"the login works, but looking around took more than {seconds:.0f} s."
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


async def _connect(login: Login) -> "asyncssh.SSHClientConnection":
    # Not at the top: it takes a quarter of a second that only who connects should pay.
    import asyncssh  # noqa: PLC0415

    presented: list[asyncssh.SSHKey] = []

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(
            self, host: str, addr: str, port: int, key: asyncssh.SSHKey
        ) -> bool:
            del host, addr, port  # asked only about a key that is not the pinned one
            presented.append(key)
            return False

    pinned = asyncssh.import_public_key(login.host_key)
    try:
        async with asyncio.timeout(CONNECT_SECONDS), _keys(login) as keys:
            return await asyncssh.connect(
                login.host,
                login.port,
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
        raise _unreachable(f"does not answer within {CONNECT_SECONDS:.0f} s") from None
    except asyncssh.HostKeyNotVerifiable:
        raise _wrong_host_key(pinned, presented) from None
    except asyncssh.PermissionDenied:
        raise _refused(login, keys) from None
    except asyncssh.Error as error:
        if _TOO_MANY in error.reason.lower() and login.private_key is None:
            raise _too_many(keys) from None
        raise _ended(error) from None
    except OSError as error:
        raise _unreachable(_words(error)) from None


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


def _unreachable(what: str) -> ReachError:
    return ReachError(
        f"the host {what}. Is it running, are ssh.host and ssh.port right, and does its firewall"
        " (also the one in the provider's panel) let you in?",
        unreachable=True,
    )


def _ended(error: "asyncssh.Error") -> ReachError:
    return _unreachable(f"ended the SSH connection: {shown(error.reason)}")


def _words(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "has a name that can't be found"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections to that port"
    if isinstance(error, ConnectionResetError):
        return "breaks off connections to that port"
    return f"can't be reached: {shown(os.strerror(error.errno or 0))}"


def _wrong_host_key(
    pinned: "asyncssh.SSHKey", presented: "Sequence[asyncssh.SSHKey]"
) -> ReachError:
    shown_key = presented[-1]
    if shown_key.get_algorithm() != pinned.get_algorithm():
        return ReachError(
            f"the host offers no {pinned.get_algorithm()} key, which is what ssh.hostKey has."
            f" Put its {shown_key.get_algorithm()} key there: {shown_key.get_fingerprint()}"
            " (compare the fingerprint on its console)."
        )
    return ReachError(
        f"the host shows another host key than ssh.hostKey: {shown_key.get_fingerprint()} instead"
        f" of {pinned.get_fingerprint()}. If it was reinstalled, or ssh.host is another machine"
        " now, put its new key into ssh.hostKey (compare the fingerprint on its console); if not,"
        " somebody else is answering in its place."
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
