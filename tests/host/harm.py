"""What a test does to a machine, and undoes however it ends: other tests have the machine, too."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.host.machine import Machine
from tests.host.tunnel import Tunnel
from tests.support import harmed

# To pass everything on, as Docker has it, and not to.
ROUTER = ("sysctl -qw net.ipv4.ip_forward=1", "sysctl -qw net.ipv4.ip_forward=0")


@contextmanager
def added(machine: Machine, *commands: str) -> Iterator[None]:
    """Rules, routes and addresses for a while, by `iptables -A`, `iptables -I` and `ip ... add`."""
    gone = [re.sub(" -[AI] ", " -D ", command, count=1) for command in reversed(commands)]
    gone = [command.replace(" add ", " del ", 1) for command in gone]
    with harmed(machine, " && ".join(commands), "; ".join(gone)):
        yield


@contextmanager
def set_otherwise(tunnel: Tunnel, more: str) -> Iterator[None]:
    """More lines of a tunnel's settings, for a while."""
    settings = tunnel.machine.read(f"{tunnel.files}/settings")
    tunnel.call("interface", stdin=settings + more)
    try:
        yield
    finally:
        tunnel.call("interface", stdin=settings)
