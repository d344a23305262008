"""The look at the hosts before anything is registered: one SSH connection each, all at once.

It only reads. What it finds wrong it says in words a user can act on, for all hosts together; the
command provider's own errors for a dead host, a wrong host key or a refused login come late, one
at a time, and name no cause.
"""

import asyncio
import base64
import os
import socket
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components import remote
from components.advice import Wanted, advise
from components.facts import Facts, parse_facts
from components.helper import probe_text
from settings.problem import shown

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 5.0
"""For the connection with the login: a host that answers takes less than one."""

PROBE_SECONDS = 10.0
"""For the script: seconds on the weakest VPS with its disk busy."""


@dataclass(frozen=True)
class Login:
    """How to reach a host, all of it known.

    Attributes:
        host: name or IP address.
        port: of its sshd.
        user: who logs in.
        host_key: type and base64, the only one accepted.
        private_key: the SSH private key; None asks the SSH agent.
    """

    host: str
    port: int
    user: str
    host_key: str
    private_key: str | None

    def __repr__(self) -> str:
        """No private key."""
        return f"Login({self})"

    def __str__(self) -> str:
        """`root@203.0.113.10`, with the port unless it is 22."""
        at = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _SSH_PORT else f":{self.port}"
        return f"{self.user}@{at}{port}"


_SSH_PORT = 22
_OTHER_HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")


@dataclass(frozen=True)
class Problem:
    """Something that keeps a host from being part of the tunnel.

    Attributes:
        text: which host, what is wrong, and what to do.
        unreachable: nobody answered, which may be over soon: a preview goes on without.
    """

    text: str
    unreachable: bool = False


def look_up(hosts: Mapping[str, tuple[Login, Wanted]]) -> list[Problem]:
    """Looks at all hosts at once; returns what is wrong, in the hosts' order.

    Takes as long as the slowest host, at most the two limits above. It may be called where an
    event loop is running already, as in a Pulumi program.
    """
    found: list[Sequence[Problem]] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            found.extend(asyncio.run(_look_at_all(hosts)))
        except BaseException as failure:  # noqa: BLE001 - raised again by the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=run, name="look-up")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return [problem for problems in found for problem in problems]


async def _look_at_all(
    hosts: Mapping[str, tuple[Login, Wanted]],
) -> Sequence[Sequence[Problem]]:
    return await asyncio.gather(
        *(_look_at(name, login, wanted) for name, (login, wanted) in hosts.items())
    )


async def _look_at(name: str, login: Login, wanted: Wanted) -> Sequence[Problem]:
    try:
        facts = await _ask(login)
    except _LookUpError as error:
        return [Problem(f"{name} ({login}): {error}", unreachable=error.unreachable)]
    return [Problem(f"{name} ({login}) {advice}") for advice in advise(facts, wanted)]


class _LookUpError(Exception):
    """The facts could not be had. Its text stands behind the host's name and a colon."""

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


async def _ask(login: Login) -> Facts:
    async with await _connect(login) as connection:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                done = await connection.run(remote.probe(), input=probe_text(), check=False)
        except TimeoutError:
            raise _LookUpError(
                f"the login works, but looking around took more than {PROBE_SECONDS:.0f} s."
                " Is the host overloaded?"
            ) from None
    if done.exit_status == remote.NO_SUDO:
        raise _LookUpError(f"{login.user} is not root, and there is no sudo. Log in as root.")
    if done.exit_status == remote.SUDO_ASKS:
        raise _LookUpError(
            f"sudo asks {login.user} for a password. Allow it without, on that host:"
            f" echo '{login.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{login.user}"
            " (as root), or log in as root."
        )
    try:
        return parse_facts(str(done.stdout))
    except ValueError as error:
        raise _LookUpError(
            f"the look-up's script did not do its work there: {error}. Does"
            f" `ssh {login} sudo -n sh -c true` work? To go on without: lookUp: false."
        ) from None


async def _connect(login: Login) -> "asyncssh.SSHClientConnection":
    # Not at the top: it takes a quarter of a second that only a look-up should pay.
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
        raise _unreachable(f"ended the SSH connection: {shown(error.reason)}") from None
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
        raise _LookUpError(
            "no SSH agent answers (SSH_AUTH_SOCK), and there is no sshPrivateKey. Start one"
            " (`ssh-agent`, `ssh-add`), or set sshPrivateKey as a secret."
        ) from None
    async with agent:
        yield await agent.get_keys()


def _unreachable(what: str) -> _LookUpError:
    return _LookUpError(
        f"the host {what}. Is it running, are ssh.host and ssh.port right, and does its firewall"
        " (also the one in the provider's panel) let you in? To go on without: lookUp: false.",
        unreachable=True,
    )


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
) -> _LookUpError:
    shown_key = presented[-1]
    if shown_key.get_algorithm() != pinned.get_algorithm():
        return _LookUpError(
            f"the host offers no {pinned.get_algorithm()} key, which is what ssh.hostKey has."
            f" Put its {shown_key.get_algorithm()} key there: {shown_key.get_fingerprint()}"
            " (compare the fingerprint on its console)."
        )
    return _LookUpError(
        f"the host shows another host key than ssh.hostKey: {shown_key.get_fingerprint()} instead"
        f" of {pinned.get_fingerprint()}. If it was reinstalled, or ssh.host is another machine"
        " now, put its new key into ssh.hostKey (compare the fingerprint on its console); if not,"
        " somebody else is answering in its place."
    )


def _refused(login: Login, keys: "Sequence[asyncssh.SSHKeyPair]") -> _LookUpError:
    if not keys:
        return _LookUpError("the SSH agent holds no key. Add yours: `ssh-add`.")
    publics = " or ".join(f"`{_public_half(key)}`" for key in keys)
    return _LookUpError(
        f"the login as {login.user} is refused. Put the key's public half into"
        f" ~{login.user}/.ssh/authorized_keys on that host: {publics}; or correct ssh.user or"
        " sshPrivateKey."
    )


def _public_half(key: "asyncssh.SSHKeyPair") -> str:
    kind = key.get_algorithm()
    return f"{kind} {base64.b64encode(key.public_data).decode()}"
