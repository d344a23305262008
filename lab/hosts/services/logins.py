"""Watches what this host spends on logins: logins.py.

Prints `watching`; when standard input ends, one line of JSON: `connections`, the most SSH
connections at one moment; `kib`, the most memory of all processes (PSS) above that at the start.
"""

import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path

_EVERY = 0.1  # seconds between two looks
_ESTABLISHED, _SSH = "01", "0016"  # as /proc/net/tcp writes them


def _connections() -> int:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(entry[1].endswith(f":{_SSH}") and entry[3] == _ESTABLISHED for entry in fields)


def _memory() -> int:
    kib = 0
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid():
            with suppress(OSError):
                rollup = (process / "smaps_rollup").read_text()
                kib += next(int(li.split()[1]) for li in rollup.splitlines() if li[:4] == "Pss:")
    return kib


def _main() -> None:
    before, connections, kib = _memory(), 0, 0
    print("watching", flush=True)
    while not select.select([sys.stdin], [], [], _EVERY)[0]:
        connections = max(connections, _connections())
        kib = max(kib, _memory() - before)
    print(json.dumps({"connections": connections, "kib": kib}), flush=True)


_main()
