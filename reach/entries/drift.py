"""Drift: where a host is no longer as the last `up` made it, resource by resource.

The words are a closed vocabulary of ours: they become part of a command's text, so nothing that a
host says may ever get into them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reach.entries.host_report import HostReport
from reach.entries.part import Entry, Part, wanted_of
from reach.shell import helper_digest
from settings import VPS, Settings


@dataclass(frozen=True)
class Drift:
    """What has drifted, and how.

    Attributes:
        found: words such as `rules missing`, by entry.
    """

    found: Mapping[Entry, str] = field(default_factory=dict)

    def and_also(self, other: "Drift") -> "Drift":
        """Both; of one resource the words of both."""
        found = {
            key: ", ".join(words for drift in (self, other) if (words := drift.found.get(key)))
            for key in {**self.found, **other.found}
        }
        return Drift(found)

    def but(self, said: str) -> "Drift":
        """All of it but that of which just these words are said."""
        return Drift({key: words for key, words in self.found.items() if words != said})

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
    "link": "switched off",
    "mtu": "MTU changed",
    "addresses": "addresses changed",
    "routes": "routes missing or changed",
    "forwarding": "forwarding switched off",
    "watcher": "nobody watches over it",
}
TAKEN_BACK = "taken back"
"""Of a firewall that the last `up` put into force, and that nobody kept."""

_RESOURCE_WORDS = {
    "key": (Part.KEYS, "not the ones that it was given"),
    "firewall": (Part.FIREWALL, "rules missing or changed"),
    "taken-back": (Part.FIREWALL, TAKEN_BACK),
    "metrics": (Part.METRICS, "not renewed"),
    "conntrack": (Part.HELPER, "conntrack is gone, which ends connections"),
}

LOST = "missing"
"""Of what the last `up` has given a host, and it has no more, as after a restored backup."""

MISNAMED = "claimed by another name"
"""Of a host that was about to get another name in the stack, and has its old one again."""

SAYS_OTHERWISE = "says otherwise"
"""Of what a host has in other words than the last `up` has given it: one that was broken off had
changed it, or it is of another time, as after a restored backup."""

ANOTHER_VERSION = "another version"
"""Of a helper that is not this program's: mostly it is about to be upgraded."""

SILENT = "tells nothing"
"""Of a helper that is damaged, or of before it could tell."""

LEFT_OVER = "entries that no stack has"
"""Of a host on which an `up` that was broken off has left some."""

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
    wanted = wanted_of(settings, host)
    return Drift(
        {(host, part, name): words for part, name, words in _found(report) if name in wanted[part]}
    )


def drift_of_all(settings: Settings, reports: Mapping[str, HostReport | None]) -> Drift:
    """The same of several hosts; of those without a report nothing is known."""
    return Drift(
        {
            key: words
            for host, report in reports.items()
            if report is not None
            for key, words in drift_of(settings, host, report).found.items()
        }
    )


def _found(report: HostReport) -> Iterator[tuple[Part, str, str]]:
    if report.role is None:
        return  # half made: the next `up` makes the rest anyway
    if report.digest != helper_digest():
        yield Part.HELPER, "", ANOTHER_VERSION
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
