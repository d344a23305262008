"""The helper on a host, killed in the middle of a call, as by a power cut."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from lab.hosts.host import Host

_FOLDER = "/usr/local/lib/reverse-tunnel/wg0"
_PLANS = "/run/crashes"  # a file per call of the helper: the step at which it dies

# In the helper's place, and becomes the helper.
_PLANNER = f"""\
#!/bin/bash
plan="{_PLANS}/${{*:2}}"
if [[ -e $plan ]]; then
  RT_CRASH_AT=$(<"$plan")
  export RT_CRASH_AT
  rm "$plan"
fi
exec {_FOLDER}/reverse-tunnel.whole "$@"
"""


@contextmanager
def planned_crashes(host: Host, plans: dict[str, str]) -> Iterator[None]:
    """A helper that dies once at a step of each of these calls.

    Args:
        host: where the helper is installed, and is not installed anew meanwhile, as a look-up would
            have it that sees another one than the stack's.
        plans: the call, such as `put-forward https`, and the name of the step.
    """
    host.run(f"mkdir {_PLANS}; mv {_FOLDER}/reverse-tunnel {_FOLDER}/reverse-tunnel.whole")
    host.write(f"{_FOLDER}/reverse-tunnel", _PLANNER, 0o700)
    for call, step in plans.items():
        host.write(f"{_PLANS}/{call}", step)
    try:
        yield
    finally:
        helper = shlex.quote(f"{_FOLDER}/reverse-tunnel")
        host.run(f"rm -r {_PLANS}; [ ! -e {helper}.whole ] || mv {helper}.whole {helper}")
