"""Drift: where a host is no longer as the last `up` made it, resource by resource.

The words are a closed vocabulary of ours: they become part of a command's text, so nothing that a
host says may ever get into them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from reach.host_report import HostReport
from reach.shell import helper_digest
from settings import Firewall, Settings
from settings.allow import VPS


class Part(Enum):
    """The kind of resource that has drifted; its words say whose it is."""

    HELPER = "its helper"
    KEYS = "its keys"
    INTERFACE = "its tunnel"
    METRICS = "its metrics"
    FIREWALL = "its firewall"
    PEER = "its peer"
    PRESHARED_KEY = "its preshared key of"
    FORWARD = "its forward"
    OPENING = "its opening for forward"


@dataclass(frozen=True)
class Drift:
    """What has drifted, and how.

    Attributes:
        found: words such as `rules missing`, by host, part and name; the name of a host's own
            parts is empty.
    """

    found: Mapping[tuple[str, Part, str], str] = field(default_factory=dict)

    def of(self, host: str, part: Part, name: str = "") -> str | None:
        """What is wrong with one resource; None if nothing is known to be."""
        return self.found.get((host, part, name))

    def lines(self) -> list[str]:
        """One line for each: `vps: its forward https: rules missing`."""
        return [
            f"{host}: {' '.join(filter(None, (part.value, name)))}: {words}"
            for (host, part, name), words in self.found.items()
        ]


_HOST_WORDS = {
    "modes": "files open to others",
    "mtu": "MTU changed",
    "addresses": "addresses changed",
    "forwarding": "forwarding switched off",
}
_RESOURCE_WORDS = {
    "key": (Part.KEYS, "not the ones that it was given"),
    "firewall": (Part.FIREWALL, "rules missing or changed"),
    "metrics": (Part.METRICS, "not renewed"),
}
_RULE_WORDS = {"missing": "rules missing", "differs": "rules changed", "stray": "file missing"}


def drift_of(settings: Settings, host: str, report: HostReport) -> Drift:
    """What has drifted on a host that a tunnel of this stack is set up on.

    What is in neither the host's files nor its firewall is not drift: it may be about to be made.
    What the stack file has no more is not drift either: it may be about to be removed.

    Args:
        settings: of the stack.
        host: its name in the stack.
        report: what it tells.
    """
    return Drift(
        {
            (host, part, name): words
            for part, name, words in _found(report)
            if name in _names(settings, part)
        }
    )


def left_over(settings: Settings, vps: HostReport, part: Part) -> list[str]:
    """The peers, or the forwards, that the VPS has and the stack file has no more, sorted."""
    there = vps.peers if part is Part.PEER else vps.forwards
    return sorted(there.keys() - {"-"} - set(_names(settings, part)))


def _names(settings: Settings, part: Part) -> Collection[str]:
    """Which of that kind the stack file has."""
    match part:
        case Part.PEER:
            return settings.peers
        case Part.PRESHARED_KEY:
            return [name for name, peer in settings.peers.items() if peer.preshared_key]
        case Part.FORWARD | Part.OPENING:
            return settings.forwards
        case Part.METRICS:
            return [""] if settings.vps.metrics else []
        case Part.FIREWALL:
            return [""] if settings.vps.firewall is Firewall.DEFAULT_DENY else []
    return [""]


def _found(report: HostReport) -> Iterator[tuple[Part, str, str]]:
    if report.role is None:
        return  # half made: the next `up` makes the rest anyway
    if report.digest != helper_digest():
        yield Part.HELPER, "", "another version"
    if words := list(_interface(report)):
        yield Part.INTERFACE, "", ", ".join(words)
    for name in sorted(report.wrong_peers):
        yield Part.PEER, name, "unknown to WireGuard or with other addresses"
    for name in sorted(report.wrong_keys):
        yield Part.PRESHARED_KEY, name, "not the one that it was given"
    for word in sorted(report.wrong & _RESOURCE_WORDS.keys()):
        part, what = _RESOURCE_WORDS[word]
        yield part, "", what
    rules = {name: forward.rules for name, forward in report.forwards.items()}
    for part, states in ((Part.FORWARD, rules), (Part.OPENING, report.openings)):
        for name, state in sorted(states.items()):
            if state in _RULE_WORDS:
                yield part, name, _RULE_WORDS[state]


def _interface(report: HostReport) -> Iterator[str]:
    if report.wireguard is None:
        yield "down"
    if not report.enabled:
        yield "does not start at boot"
    if report.chains and report.wireguard is not None:
        yield "rules missing or changed"
    if report.wireguard is not None and "-" in report.peers:
        yield "a peer that no stack gave it"
    if VPS in report.wrong_peers:
        yield "does not know the VPS as it was told"
    for word in sorted(report.wrong & _HOST_WORDS.keys()):
        yield _HOST_WORDS[word]
