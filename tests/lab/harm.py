"""What a test does to a host, and undoes however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from lab.host import Host


@contextmanager
def harmed(host: Host, harm: str, cure: str) -> Iterator[None]:
    """A line of bash, and at the end another one."""
    host.run(harm)
    try:
        yield
    finally:
        host.run(cure)
