"""A tunnel with its watcher, which systemd starts on a real host."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from tests.host.machine import Machine
from tests.host.tunnel import Tunnel
from tests.host.waiting import locked
from tests.support import eventually

_LONG = 30.0  # seconds

# The sockets that wait for events of the kernel: of netfilter; and of addresses and routes of both
# families, which nobody else does there, by the groups that they have joined.
_OF_NETFILTER = r"""awk '$2 == 12 && $4 != "00000000"' /proc/net/netlink"""
_CALLED = "pgrep -f 'reverse-tunnel 1 (restore|redial)'"
OF_ROUTES = "awk '$2 == 0 && $4 ~ /5d0$/' /proc/net/netlink"


@contextmanager
def watched(
    tunnel: Tunnel, look_every: float = 0.2, env: dict[str, str] | None = None
) -> Iterator[None]:
    """The tunnel with its watcher, which systemd would start, and which looks every 10 s there.

    It has put back by then what was missing when it started: what comes back from now on is what it
    has heard of, or has looked for.
    """
    machine = tunnel.machine
    held_up = ExitStack()
    held_up.enter_context(locked(machine))
    process = machine.start(
        f"RT_LOOK_EVERY={look_every} exec {tunnel.folder}/reverse-tunnel 1 watch", env
    )
    try:
        with held_up:
            eventually(partial(_said, machine, _CALLED), _LONG, "it restores nothing")
        for waiting in (_OF_NETFILTER, OF_ROUTES):
            eventually(partial(_said, machine, waiting), _LONG, "nobody listens")
        eventually(lambda: not _said(machine, _CALLED), _LONG, "it is still restoring")
        yield
    finally:
        process.kill()
        process.communicate()
        # systemd would have ended what it has called as well.
        eventually(lambda: not _said(machine, _CALLED), _LONG, "it is still restoring")


def _said(machine: Machine, command: str) -> str:
    """What a command prints, even if it fails."""
    return machine.run(command, check=False).stdout
