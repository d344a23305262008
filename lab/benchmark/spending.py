"""What a host spends on logins while something is done."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.hosts.host import Host


@dataclass
class Spent:
    """At one moment, the most: SSH connections, and megabytes above what was in use before."""

    connections: int = 0
    megabytes: float = 0


@contextmanager
def watched(host: Host) -> Iterator[Spent]:
    """Watch `host`; what is yielded is filled in at the end."""
    spent = Spent()
    watch = host.popen("exec python3 /usr/local/lib/lab/logins.py")
    assert watch.stdout is not None  # noqa: S101  # popen makes pipes
    watch.stdout.readline()
    try:
        yield spent
    finally:
        said, _ = watch.communicate()
    found = json.loads(said)
    spent.connections, spent.megabytes = found["connections"], found["kib"] * 1024 / 1e6
