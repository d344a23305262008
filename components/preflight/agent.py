"""The SSH agent: the command plugin dials it at each command, also where a key is given."""

import os
import socket

from components.preflight.problem import HostProblem
from settings import Settings


def absent_agent(settings: Settings) -> list[HostProblem]:
    """An agent that nobody needs, and that is not there: every command would fail of it.

    As where a shell has outlived the login that its agent came with. Who gives no key needs one:
    the look at a host asks it, and says more.
    """
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path or settings.ssh_private_key is None or _is_there(path):
        return []
    return [
        HostProblem(
            f"here: no SSH agent is at {path} (SSH_AUTH_SOCK). The command plugin dials it even"
            " with sshPrivateKey, and so every command would fail. Run `unset SSH_AUTH_SOCK`, or"
            " start an agent: `eval $(ssh-agent)`."
        )
    ]


def _is_there(path: str) -> bool:
    """Whether somebody listens there; the plugin asks for no more."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(0.0)  # such a socket is connected at once, or not at all
        try:
            agent.connect(path)
        except OSError:
            return False
    return True
