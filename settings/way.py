"""A way in to a host: where the SSH connection goes, and as whom."""

from dataclasses import dataclass
from typing import Optional

from settings.late import Late


@dataclass(frozen=True)
class Way:
    """One way to a host, as far as it is known yet.

    Attributes:
        host: name or IP address that is connected to.
        port: of its sshd.
        user: who logs in.
        host_key: type and base64; whoever has another one is another machine.
        through: the way to the host whose sshd passes the connection on, none where it is direct.
            That host sees no more of it than a router would.
    """

    host: Late[str]
    port: Late[int]
    user: Late[str]
    host_key: Late[str]
    through: Optional["Way"] = None
