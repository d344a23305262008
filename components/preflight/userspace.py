"""What to tell about a host whose kernel has no WireGuard, from what the look-up brought."""

from collections.abc import Iterator

from components.preflight.host_facts import HostFacts

_FAST = (0, 0, 20230223)
"""The oldest wireguard-go that takes and gives packets in batches, as it says of itself."""


def hint_at_userspace(facts: HostFacts) -> Iterator[str]:
    """That its userspace WireGuard is a slow one, and where a fast one is to be had.

    One sentence or two, to be put behind the host's name; nothing where the kernel has WireGuard,
    the program is fast, or its version says nothing.
    """
    numbers = facts.wireguard_go.split(".")
    if not all(number.isdecimal() for number in numbers):
        return
    version = tuple(map(int, numbers))
    if version < _FAST:
        will = "will run" if "wireguard-go" in facts.missing else "runs"
        yield (
            f"has no WireGuard in its kernel and {will} wireguard-go {facts.wireguard_go}, which"
            " carries a fraction of what newer ones do. How to get one, on Debian 12 by"
            " its backports: docs/operations.md, `Where the kernel has no WireGuard`."
        )
