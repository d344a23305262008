"""What a host tells of its tunnel: the lines of the helper's `status`, read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reach.told import is_plain, number


@dataclass(frozen=True)
class PeerReport:
    """How a host sees one end of the tunnel.

    Attributes:
        endpoint: where it was last heard from, `address:port`; None if it never was.
        handshake: seconds since the last one; None if there was none.
        received: bytes from it, since the tunnel started.
        sent: bytes to it.
    """

    endpoint: str | None
    handshake: int | None
    received: int
    sent: int


@dataclass(frozen=True)
class ForwardReport:
    """What the VPS has of one forward.

    Attributes:
        rules: `ok`, `missing`, `differs`, `paused`, or `stray` where no file has it.
        connections: that are open now; None where that was not asked.
        sent_packets, sent_bytes: that these have carried to its target; None where the host does
            not count, or was not asked.
        answered_packets, answered_bytes: from it.
    """

    rules: str
    connections: int | None
    sent_packets: int | None
    sent_bytes: int | None
    answered_packets: int | None
    answered_bytes: int | None


@dataclass(frozen=True)
class HostReport:
    """A host as it tells of itself.

    Attributes:
        helper: the version of its helper.
        digest: SHA-256 of the helper, in hex; empty where it is too old to tell.
        claimant: who has the tunnel there, see reach/helper.py; None where it is too old to tell.
        owner: the stack it belongs to, `project/stack`; None while it is half made.
        role: `vps` or `server`; None while it is not set up.
        enabled: whether the tunnel starts with the host.
        wireguard: `kernel` or `userspace`; None while the tunnel is down.
        wireguard_go: the version of the program in userspace; None where it does not tell.
        peers: by name; `vps` on a server.
        forwards: on the VPS, by name.
        openings: on a server, the state of the rules that forwards have there, by name.
        targets: whether the TCP targets that were asked `answers`, `refuses` or are `silent`; of
            very many that are silent, the rest is `not tested`.
        chains: those whose rules are not as they shall be, with what is wrong.
        metrics: whether it writes any, on the VPS.
        shares: whom it has preshared keys of, on the VPS; None where it does not tell.
        unguarded: whether there is no firewall, neither a kept one nor one on trial.
        wrong: what else of it is not as it was made: `modes`, `link`, `mtu`, `addresses`,
            `routes`, `forwarding`, `metrics`, `firewall`, `taken-back`, `key`, `conntrack`.
        wrong_peers: peers that WireGuard does not know as their files say.
        wrong_keys: peers whose preshared key is not that of their file.
        fingerprints: of the text of each entry, see fingerprints.py; by the helper's word for its
            kind, and by name, which is empty for a part of the host's own. Empty where it is too
            old to tell.
    """

    helper: int
    owner: str | None
    role: str | None = None
    enabled: bool = False
    wireguard: str | None = None
    wireguard_go: str | None = None
    peers: Mapping[str, PeerReport] = field(default_factory=dict)
    forwards: Mapping[str, ForwardReport] = field(default_factory=dict)
    openings: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[tuple[str, int], str] = field(default_factory=dict)
    chains: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    claimant: str | None = None
    metrics: bool = False
    shares: frozenset[str] | None = None
    unguarded: bool = False
    wrong: frozenset[str] = frozenset()
    wrong_peers: frozenset[str] = frozenset()
    wrong_keys: frozenset[str] = frozenset()
    fingerprints: Mapping[tuple[str, str], str] = field(default_factory=dict)


NOT_TESTED = "not tested"
"""Of what nobody asked whether it answers."""


def parse_report(text: str) -> HostReport:
    """The report in the helper's output. Lines of another kind are a newer helper's, and left out.

    Raises:
        ValueError: the output is incomplete or garbled. Its text is not part of the message: what
            a host says is not repeated.
    """
    lines = [line.split(" ") for line in text.splitlines()]
    if not lines or lines[-1][0] != "end":
        raise ValueError("it was cut short")
    # Its words are shown on a terminal, which must not be steered by them.
    if not all(is_plain(word) for line in lines for word in line):
        raise ValueError("a line is garbled")
    try:
        return _report(lines, now=number(lines[-1][1]))
    except (KeyError, IndexError, ValueError, TypeError):
        raise ValueError("a line is garbled") from None


def _report(lines: list[list[str]], now: int) -> HostReport:
    single = {line[0]: line[1:] for line in lines}
    of: dict[str, list[list[str]]] = {}
    for kind, *words in lines:
        of.setdefault(kind, []).append(words)
    interface = single.get("interface", ["down", "-"])
    return HostReport(
        helper=number(single["helper"][0]),
        owner=_given(single["owner"][0]),
        role=single.get("role", [None])[0],
        enabled=single.get("unit") == ["enabled"],
        wireguard=interface[1] if interface[0] == "up" else None,
        wireguard_go=_given(interface[2]) if len(interface) > 2 else None,  # noqa: PLR2004
        peers={words[0]: _peer(words[1:], now) for words in of.get("peer", ())},
        forwards={
            name: ForwardReport(rules, *map(_number, numbers))
            for name, rules, *numbers in of.get("forward", ())
        },
        openings=_pairs(of.get("opening", [])),
        targets={
            (address, number(port)): NOT_TESTED if answer == "untested" else answer
            for address, port, answer in of.get("target", ())
        },
        chains={
            chain: state for chain, state in _pairs(of.get("chain", [])).items() if state != "ok"
        },
        digest=single.get("digest", [""])[0],
        claimant=_given(single.get("claimant", ["-"])[0]),
        metrics="metrics" in single,
        shares=frozenset(single["shares"]) if "shares" in single else None,
        unguarded=single.get("firewall") == ["none"],
        wrong=frozenset(words[0] for words in of.get("wrong", ()) if len(words) == 1),
        wrong_peers=_named(of, "peer"),
        wrong_keys=_named(of, "preshared-key"),
        fingerprints={(kind, _given(name) or ""): own for kind, name, own in of.get("text", ())},
    )


def _named(of: Mapping[str, list[list[str]]], kind: str) -> frozenset[str]:
    """The names of what is wrong of that kind."""
    return frozenset(
        words[1] for words in of.get("wrong", ()) if words[0] == kind and len(words) > 1
    )


def _pairs(lines: list[list[str]]) -> dict[str, str]:
    return {name: state for name, state in lines}  # noqa: C416 - dict() takes no list of lists


def _peer(words: list[str], now: int) -> PeerReport:
    endpoint, handshake, received, sent = words
    # A clock that was set back meanwhile makes no handshake of the future.
    age = max(0, now - last) if (last := number(handshake)) else None
    return PeerReport(_given(endpoint), age, number(received), number(sent))


def _number(word: str) -> int | None:
    return None if word == "-" else number(word)


def _given(word: str) -> str | None:
    return None if word == "-" else word
