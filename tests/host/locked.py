"""Another apt, which renews its lists meanwhile."""

from tests.host.machine import Machine

_LISTS = "/var/lib/apt/lists"

_HOLDER = """
import fcntl, os, sys
lock = open(sys.argv[1] + "/lock", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print(os.getpid(), flush=True)
sys.stdin.read()
"""

# In the place of the program, before it on the path.
_LETTING_GO = """#!/bin/sh
/usr/bin/apt-get "$@"
status=$?
case " $* " in *" update "*) kill {holder} 2>/dev/null ;; esac
exit $status
"""


def let_go_of_lists_after_first_update(machine: Machine) -> None:
    """Hold the lock of apt's lists until somebody has tried to renew them."""
    holder = machine.start(f"exec python3 -c '{_HOLDER}' {_LISTS}")
    assert holder.stdout is not None
    machine.write(
        "/usr/local/bin/apt-get", _LETTING_GO.format(holder=int(holder.stdout.readline()))
    )
    machine.run("chmod 755 /usr/local/bin/apt-get")
