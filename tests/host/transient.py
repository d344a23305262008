"""Units that the helper lets systemd start, on test machines, which have none.

Not systemd: that is tested in the lab.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.host.machine import Machine
from tests.support import harmed

# Starts units of such names, at once or after a while; all others are left to the other stand-in.
_KILLING = """#!/bin/bash
given=("$@") after=0 restart='' unit=''
while [[ $1 == -* ]]; do
  case $1 in
    --unit=*) unit=${{1#*=}} ;;
    --on-active=*) after=${{1#*=}} ;;
    --property=Restart=*) restart=${{1##*=}} ;;
  esac
  shift
done
[[ $unit == {units} ]] || exec /usr/bin/systemd-run "${{given[@]}}"
mkdir -p /run/standin
[[ $after == 0 ]] || : >/run/standin/$unit.timer
(
  # Not with the lock, which its caller has.
  for file in /proc/$BASHPID/fd/*; do
    file=${{file##*/}}
    ((file < 3)) || exec {{file}}>&-
  done
  sleep "$after"
  echo "$unit" >>{killed}
  [[ $restart != on-failure ]] || exec "$@"
) </dev/null >/dev/null 2>&1 &
"""
_KILLED = "/run/killed"


@contextmanager
def killed_at_first(machine: Machine, units: str) -> Iterator[None]:
    """What is started as a unit whose name is like this pattern of bash's is killed at once.

    As by the kernel, for want of memory. It starts again if systemd would see to that.
    """
    place = "/usr/local/sbin/systemd-run"
    machine.write(place, _KILLING.format(units=units, killed=_KILLED))
    with harmed(machine, f"chmod 755 {place}", f"rm {place} {_KILLED}"):
        yield


def killed(machine: Machine) -> str:
    """The names of those units so far, a line each."""
    return machine.run(f"cat {_KILLED}", check=False).stdout
