"""Fingerprints: what tells the text of each entry, the lines that a host is given, from others.

A host tells that of each text that it has (`status`, the lines `text`). It need not tell the text
itself, which is a thing to be compared and no more; nothing in it is secret.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from reach.entries.host_report import HostReport
from reach.entries.part import Part, wanted_of
from settings import (
    Settings,
    firewall_lines,
    forward_lines,
    interface_lines,
    metrics_lines,
    opening_lines,
    peer_lines,
)

_TEXTS: Mapping[str, tuple[Part, Callable[[Settings, str, str], Sequence[str]]]] = {
    "interface": (Part.INTERFACE, lambda settings, host, _: interface_lines(settings, host)),
    "metrics": (Part.METRICS, lambda settings, _host, _: metrics_lines(settings)),
    "firewall": (Part.FIREWALL, lambda settings, _host, _: firewall_lines(settings)),
    "peer": (Part.PEER, lambda settings, _, name: peer_lines(settings, name)),
    "forward": (Part.FORWARD, lambda settings, _, name: forward_lines(settings, name)),
    "opening": (Part.OPENING, lambda settings, _, name: opening_lines(settings, name)),
}
"""By the helper's words for them, the parts that have texts, and these as the stack file has them;
made of the settings, the host and the name."""

_LEFT_OUT = frozenset({"owner", "public-key", "peer-public-key"})
"""Lines of which the stack file has not the values; the helper (texts.sh) leaves out the same."""

_LATE = "peer-endpoint"
"""The line of a text that is known only later, without its value."""

_DIGITS = 16


def fingerprint_of(lines: Iterable[str]) -> str:
    """What tells a text from others, as the helper makes it."""
    known = [line for line in lines if line.partition(" ")[0] not in _LEFT_OUT]
    return sha256("".join(f"{line}\n" for line in known).encode()).hexdigest()[:_DIGITS]


def unlike(settings: Settings, host: str, report: HostReport) -> Mapping[tuple[Part, str], str]:
    """What a host has in other words than the stack file, and the fingerprint of the latter's.

    The next `up` may be about to change it. Of what the host does not tell, or is known only
    later, nothing is known.

    Args:
        settings: of the stack.
        host: its name there.
        report: what it tells.

    Returns:
        By kind and name, which is empty for a part of the host's own.
    """
    wanted = wanted_of(settings, host)
    found: dict[tuple[Part, str], str] = {}
    for kind, (part, text) in _TEXTS.items():
        for name in wanted[part]:
            told, lines = report.fingerprints.get((kind, name)), text(settings, host, name)
            if told is not None and _LATE not in lines and told != (own := fingerprint_of(lines)):
                found[part, name] = own
    return found
