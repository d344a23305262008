"""The words in which forwards are shown to people."""

import json
from collections.abc import Iterator

from settings.forward import Forward, SourceAddress
from settings.limit import Limit
from settings.stack import Settings


def forward_words(settings: Settings, name: str, public_address: str) -> str:
    """Return a forward in words, the unusual after a comma each, its comment at the end.

    `tcp 203.0.113.10:80 -> homelab 172.16.0.4:8080`, or
    `tcp 203.0.113.10:2222 -> 192.168.1.30:22 behind homelab, as the tunnel "to the NAS"`.
    """
    forward = settings.forwards[name]
    there = settings.destination(name)
    place = f"{there.address}:{there.ports}"
    if there.ipv6 is not None:
        place += f" and [{there.ipv6}]:{there.ports}"
    place = f"{place} behind {there.server}" if there.behind else f"{there.server} {place}"
    words = ", ".join(
        [f"{forward.protocol} {public_address}:{forward.port} -> {place}", *_restrictions(forward)]
    )
    comment = forward.comment
    return words if comment is None else f"{words} {json.dumps(comment, ensure_ascii=False)}"


def _restrictions(forward: Forward) -> Iterator[str]:
    if not forward.enabled:
        yield "paused"
    if forward.from_ is not None:
        yield f"from {' or '.join(map(str, forward.from_))}"
    if forward.limit is not None:
        yield f"at most {limit_words(forward.limit)} per visitor"
    if forward.source_address is SourceAddress.TUNNEL:
        yield "as the tunnel"


def limit_words(limit: Limit) -> str:
    """Return a limit in words: `10 new connections a second and 50 at once`."""
    return " and ".join(_limits(limit))


def _limits(limit: Limit) -> Iterator[str]:
    if limit.new_per_second is not None:
        connections = "connection" if limit.new_per_second == 1 else "connections"
        yield f"{limit.new_per_second} new {connections} a second"
    if limit.concurrent is not None:
        yield f"{limit.concurrent} at once"
