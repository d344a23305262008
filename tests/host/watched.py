"""A tunnel with its watcher, which systemd starts on a real host."""

from collections.abc import Callable, Iterator
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
OF_ROUTES = "awk '$2 == 0 && $4 ~ /5d0$/' /proc/net/netlink"
_WATCHER = "reverse-tunnel 1 watch"
_CALLED = "pgrep -f 'reverse-tunnel 1 (restore|redial)'"
_RESTORES = "pgrep -f 'reverse-tunnel 1 restore'"


@contextmanager
def watched(tunnel: Tunnel, env: dict[str, str] | None = None) -> Iterator[None]:
    """The tunnel with its watcher, which systemd would start.

    It has put back by then what was missing when it started, and once more what went before it was
    told of anything: what comes back from now on is what it has heard of, or has looked for.
    """
    machine = tunnel.machine
    with beginning(tunnel, env=env) as go_on:
        # A rule that xtables-monitor cannot read ends it, and listening begins anew.
        while eventually(partial(_listening, machine), _LONG, "nobody listens") == "ended":
            _hold_after_restore(machine, go_on)
        _hold_after_restore(machine, go_on)
        go_on()
        yield


@contextmanager
def beginning(
    tunnel: Tunnel, look_every: float = 0.2, env: dict[str, str] | None = None
) -> Iterator[Callable[[], object]]:
    """A watcher that has put back once what was missing, and does no more until it is let go on.

    It looks every 10 s where systemd starts it.
    """
    machine = tunnel.machine
    words = f"RT_LOOK_EVERY={look_every} exec {tunnel.folder}/reverse-tunnel 1 watch"
    with ExitStack() as ending:

        def start() -> None:
            process = machine.start(words, env)
            # systemd would have ended what it has called as well.
            ending.callback(_until_restored, machine)
            ending.callback(process.communicate)
            ending.callback(process.kill)

        _hold_after_restore(machine, start)
        yield partial(machine.run, f"pkill -CONT -of '{_WATCHER}'")


def _hold_after_restore(machine: Machine, begin: Callable[[], object]) -> None:
    """Begin what leads to a restore of the watcher's, and stop the watcher when that is done."""
    with locked(machine):
        begin()
        eventually(partial(_said, machine, _RESTORES), _LONG, "it restores nothing")
        # The first is the watcher itself; another of its name may be what listens for it.
        machine.run(f"pkill -STOP -of '{_WATCHER}'")
    _until_restored(machine)


def _until_restored(machine: Machine) -> None:
    eventually(lambda: not restoring(machine), _LONG, "it is still restoring")


def _listening(machine: Machine) -> str:
    """Whether a watcher that is stopped is told of everything: "yes", "ended", or not yet."""
    if _said(machine, _OF_NETFILTER) and _said(machine, OF_ROUTES):
        return "yes"
    return "ended" if _said(machine, f"pgrep -fc '{_WATCHER}'") == "1\n" else ""


def restoring(machine: Machine) -> bool:
    """Whether a run of the helper goes on there that a watcher has called."""
    return _said(machine, _CALLED) != ""


def _said(machine: Machine, command: str) -> str:
    """What a command prints, even if it fails."""
    return machine.run(command, check=False).stdout
