"""How to log in to a host, all of it known."""

from dataclasses import dataclass

from pydantic import SecretStr

from settings import Settings, Ssh, is_late


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
        port = "" if self.port == _PORT else f":{self.port}"
        return f"{self.user}@{at}{port}"


_PORT = 22


def login_of(settings: Settings, ssh: Ssh) -> Login | None:
    """How to reach a host; None where something of it comes from another resource."""
    key = settings.ssh_private_key
    match ssh.host, ssh.port, ssh.user, ssh.host_key:
        case str(host), int(port), str(user), str(host_key) if not is_late(key):
            text = key.get_secret_value() if isinstance(key, SecretStr) else None
            return Login(host, port, user, host_key, text)
    return None
