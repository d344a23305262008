"""What keeps a host from being reached, in words a user can act on."""

import base64
import errno
import os
import re
import socket
from typing import TYPE_CHECKING

from reach.login import Login
from reach.told import printable
from settings import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncssh

_TOO_MANY = "too many authentication failures"  # as OpenSSH says; there is no code for it
_UNPROVED = "hash mismatch"  # as the library says


class ReachError(Exception):
    """A host could not be asked. The text stands behind its name and a colon.

    Attributes:
        login: the way by which it was tried, to be named with it; None where the text names them.
        unreachable: nobody answered, or not in time, which may be over soon.
        somebody_else: who answered has another host key.
        astray: the way did not lead to the host at all; another one may.
        here: it is this side that lacks something, whatever host is asked.
        may_live: somebody took the connection, and nobody showed another host key; or it was the
            host that passes on which could not be reached, so of the machine nothing is known.
        dropped: the connection was taken, and ended before a host key was shown.
    """

    def __init__(
        self,
        text: str,
        *,
        unreachable: bool = False,
        somebody_else: bool = False,
        astray: bool = False,
        here: bool = False,
    ) -> None:
        super().__init__(text)
        self.login: Login | None = None
        self.unreachable = unreachable
        self.somebody_else = somebody_else
        self.astray = astray or unreachable or somebody_else
        self.here = here
        self.may_live = False
        self.dropped = False


def silent(login: Login, what: str) -> ReachError:
    """Nobody is there, or nobody answers."""
    if login.through is None:
        return unreachable(what)
    return ReachError(
        f"the host {what}, asked from {login.through}. Is it running, and is the tunnel up? Before"
        " the first `pulumi up` there is none yet: then ssh.host needs another way beside it, such"
        " as the address at home, [192.168.1.20, {through: vps}].",
        unreachable=True,
    )


def unreachable(what: str) -> ReachError:
    """The host, and what of it, asked from here."""
    return ReachError(
        f"the host {what}. Is it running, are ssh.host and ssh.port right, and does its firewall"
        " (also the one in the provider's panel) let you in?",
        unreachable=True,
    )


def ended(error: "asyncssh.Error") -> ReachError:
    """Its sshd hung up."""
    return unreachable(f"ended the SSH connection: {shown(printable(error.reason))}")


def dropped() -> ReachError:
    """It was hung up so early that sshd may just have had too many logins."""
    error = ReachError(
        "the host takes the connection and ends it before any login. Its sshd may have too many at"
        " this moment (MaxStartups): run again. Or is it something else that listens at ssh.port?",
        unreachable=True,
    )
    error.dropped = True
    return error


def failed(
    error: "asyncssh.Error",
    login: Login,
    keys: "Sequence[asyncssh.SSHKeyPair]",
    shown_keys: "Sequence[asyncssh.SSHKey]",
) -> ReachError:
    """What kept a connection from coming about, once somebody answered.

    Args:
        error: what the library says.
        login: the way.
        keys: that were to log in.
        shown_keys: the host keys that are not the pinned one.
    """
    import asyncssh  # noqa: PLC0415

    match error:
        case asyncssh.ChannelOpenError():
            return _not_passed_on(login, error)
        case asyncssh.HostKeyNotVerifiable():
            return _wrong_host_key(login, shown_keys)
        case asyncssh.KeyExchangeFailed():
            return _not_agreed(error)
        case asyncssh.PermissionDenied():
            return _refused(login, keys)
    if _TOO_MANY in error.reason.lower() and login.private_key is None:
        return _too_many(keys)
    return ended(error)


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


def network_words(joined: OSError) -> str:
    """An error of the network, behind "the host"."""
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


def _not_passed_on(login: Login, error: "asyncssh.ChannelOpenError") -> ReachError:
    import asyncssh  # noqa: PLC0415

    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return ReachError(
            f"sshd at {login.through} passes nothing on. Set `AllowTcpForwarding local` in its"
            " sshd_config.",
            astray=True,
        )
    return silent(login, "can't be reached")


def _not_agreed(error: "asyncssh.KeyExchangeFailed") -> ReachError:
    if _UNPROVED in error.reason:
        return ReachError(
            "the host shows the key that ssh.hostKey has, and can't prove that it is its own:"
            " somebody else is answering in its place.",
            somebody_else=True,
        )
    return ReachError(
        "sshd there and this side find nothing that both can do:"
        f" {shown(printable(error.reason))}. See HostKey, HostKeyAlgorithms, KexAlgorithms, Ciphers"
        " and MACs in its sshd_config.",
        astray=True,
    )


def _wrong_host_key(login: Login, shown_keys: "Sequence[asyncssh.SSHKey]") -> ReachError:
    import asyncssh  # noqa: PLC0415

    if not shown_keys:
        return ReachError("the host shows a host key that can't be read.", somebody_else=True)
    shown_key, pinned = shown_keys[-1], asyncssh.import_public_key(login.host_key)
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
    publics = " or ".join(f"`{_public_half(key)}`" for key in keys)
    other = "sshPrivateKey"
    if login.private_key is None:
        other = "what the SSH agent holds (it may have refused to sign)"
    return ReachError(
        f"the login as {login.user} is refused. Put the key's public half into"
        f" ~{login.user}/.ssh/authorized_keys on that host: {publics}; or correct ssh.user or"
        f" {other}."
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
