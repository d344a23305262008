"""How to log in to a host, all of it known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from pydantic import SecretStr

from settings import SSH_PRIVATE_KEY_FIELD, VPS, Late, Settings, Through, Way, is_late


@dataclass(frozen=True)
class Login:
    """How to reach a host, all of it known.

    Attributes:
        host: name or IP address.
        port: of its sshd.
        user: who logs in.
        host_key: type and base64, the only one accepted.
        private_key: the SSH private key; None asks the SSH agent.
        through: the login at the host that passes the connection on; None where it is direct.
    """

    host: str
    port: int
    user: str
    host_key: str
    private_key: str | None
    through: Optional["Login"] = None

    def __repr__(self) -> str:
        """No private key."""
        return f"Login({self})"

    def __str__(self) -> str:
        """`root@203.0.113.10`, with the port unless it is 22, and with what is on the way."""
        at = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORT else f":{self.port}"
        through = "" if self.through is None else f" through {self.through}"
        return f"{self.user}@{at}{port}{through}"


_PORT = 22


def logins_to(settings: Settings, name: str) -> Sequence[Login] | None:
    """The ways to a host in their order; None where something of one comes from elsewhere."""
    logins = [_login(way, settings.ssh_private_key) for way in settings.ways_to(name)]
    known = [login for login in logins if login is not None]
    return known if len(known) == len(logins) else None


def late_fields(settings: Settings, name: str) -> Sequence[str]:
    """What of the ways to a host comes from elsewhere: its fields, as a stack file names them."""
    at, ssh = settings.path_of(name), settings.ssh_of(name)
    values = {"host": ssh.host, "port": [ssh.port], "user": [ssh.user], "hostKey": [ssh.host_key]}
    fields = [f"{at}.ssh.{field}" for field, given in values.items() if any(map(is_late, given))]
    if any(isinstance(place, Through) for place in ssh.host):
        fields += late_fields(settings, VPS)
    return [*fields, SSH_PRIVATE_KEY_FIELD] if is_late(settings.ssh_private_key) else fields


def _login(way: Way, key: Late[SecretStr] | None) -> Login | None:
    through = None
    if way.through is not None:
        through = _login(way.through, key)
        if through is None:
            return None
    match way.host, way.port, way.user, way.host_key:
        case str(host), int(port), str(user), str(host_key) if not is_late(key):
            text = key.get_secret_value() if isinstance(key, SecretStr) else None
            return Login(host, port, user, host_key, text, through)
    return None
