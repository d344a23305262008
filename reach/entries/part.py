"""The kinds of entries, and those of the stack file."""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import TypeAlias

from settings import VPS, Firewall, Settings


class Part(Enum):
    """The kind of what a host is given; its words say whose it is."""

    HELPER = "its helper"
    KEYS = "its keys"
    INTERFACE = "its tunnel"
    METRICS = "its metrics"
    FIREWALL = "its firewall"
    PEER = "its peer"
    PRESHARED_KEY = "its preshared key of"
    FORWARD = "its forward"
    OPENING = "its opening for forward"


OF_EVERY_HOST = frozenset({Part.HELPER, Part.KEYS, Part.INTERFACE})
"""What the tunnel on a host is made of; everything else depends on the settings."""

Entry: TypeAlias = tuple[str, Part, str]
"""Host, kind and name, which is empty for parts of the host's own."""


def wanted_of(settings: Settings, host: str) -> Mapping[Part, Collection[str]]:
    """What the stack file has of a host, by kind: names, or the empty one of a part of its own."""
    wanted = {part: [""] if part in OF_EVERY_HOST else [] for part in Part}
    if host != VPS:
        behind = {name: settings.destination(name) for name in settings.forwards}
        openings = [name for name, to in behind.items() if to.behind and to.server == host]
        return {**wanted, Part.OPENING: openings}
    guarded = settings.vps.firewall is Firewall.DEFAULT_DENY
    return {
        **wanted,
        Part.METRICS: [""] if settings.vps.metrics else [],
        Part.FIREWALL: [""] if guarded else [],
        Part.PEER: settings.peers,
        Part.PRESHARED_KEY: [name for name, peer in settings.peers.items() if peer.preshared_key],
        Part.FORWARD: settings.forwards,
    }
