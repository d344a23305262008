"""What a host is like at one moment, so that two moments can be compared."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from lab.hosts.host import Host
from tests.support import eventually

_LOOK = (Path(__file__).parent / "look.py").read_text()

# For a moment, whenever a tunnel or its watcher finds out what the kernel can.
_ON_TRIAL = re.compile(r"^:RT-\S+-TRY |^\S+ -A RT-\S+-TRY ")
_CHAIN = re.compile(r"(ipv6 )?\S+ (-A )?\S+")
_COUNTED = re.compile(r"\[(\d+):(\d+)\] (.*)")
# Whatever its conditions are, and in whatever order a version has them.
_FORWARD = re.compile(
    r"-p (?P<protocol>\w+) (?=.*--dport (?P<port>[\d:]+) )"
    r"(?=.*--comment \"?rt:\w+:(?P<name>[\w-]+)\"? )"
    r".*-j DNAT --to-destination (?P<to>[\d.:/-]+)"
)


class Counter(NamedTuple):
    """What a rule has seen."""

    packets: int
    bytes: int


class ForwardRule(NamedTuple):
    """One DNAT rule of a forward."""

    name: str
    protocol: str
    port: str
    to: str


class WireGuardPeer(NamedTuple):
    """A peer as a running interface has it."""

    endpoint: str
    networks: str
    handshake: int


@dataclass(frozen=True)
class Snapshot:
    """What of a host a tunnel could change.

    Attributes:
        files: by path: kind, mode, owner, and a hash of what is in it. Places that change by
            themselves (logs, caches, what packages bring) are left out.
        rules: see `rules`; those of IPv6 with that word before them.
        routes: rules, routes, links and addresses.
        sysctls: those that do not change by themselves.
        units: systemd's, with their states.
        users: with their groups.
    """

    files: dict[str, str]
    rules: list[str]
    routes: list[str]
    sysctls: dict[str, str]
    units: dict[str, str]
    users: list[str]


def snapshot(host: Host) -> Snapshot:
    """What the host is like now, or as soon as it has its IPv6 addresses for good."""
    eventually(lambda: _has_ipv6(host), 30, f"{host.name} does not get its IPv6 addresses")
    seen = json.loads(host.run(["python3", "-"], input=_LOOK).stdout)
    rules6 = [f"ipv6 {line}" for line, _ in _read_rules(host, "ip6tables-save")]
    return Snapshot(rules=rules(host) + rules6, **seen)


def _has_ipv6(host: Host) -> bool:
    """Whether none is still being tried out, and what is advertised has come."""
    is_advertised = any(
        port.segment == "public" and port.ipv6 is None for port in host.facts.interfaces
    )
    has_come = host.run(["ip", "-6", "route", "show", "default"]).stdout or not is_advertised
    return bool(has_come) and not host.run(["ip", "-6", "address", "show", "tentative"]).stdout


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not the same, a line each; empty if nothing. Rules have an order in their chain."""
    was, now = _lines(before), _lines(after)
    gone, come = [*was - now], [*now - was]
    first, second = _by_chain(before.rules), _by_chain(after.rules)
    for what, i, j, k, n in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if what != "equal":
            gone += (f"rules: {line}" for line in first[i:j])
            come += (f"rules: {line}" for line in second[k:n])
    return [f"- {line}" for line in sorted(gone)] + [f"+ {line}" for line in sorted(come)]


def _lines(one: Snapshot) -> set[str]:
    return {
        f"{part}: {line}"
        for part, seen in asdict(one).items()
        if part != "rules"
        for line in (seen if isinstance(seen, list) else (f"{k} = {v}" for k, v in seen.items()))
    }


def _by_chain(rules: list[str]) -> list[str]:
    """In their order; but which table or chain comes first is nobody's choice."""
    return sorted(rules, key=lambda line: _CHAIN.match(line)[0])  # type: ignore[index] # always


def logins(host: Host) -> int:
    """How often somebody has logged in so far."""
    return host.run(["journalctl", "--output=cat", "--unit=ssh"]).stdout.count("Accepted")


def rules(host: Host) -> list[str]:
    """The firewall in its order, a line each, with the table before it: `nat -A PREROUTING ...`.

    A built-in chain is there if its policy is not to accept: iptables leaves empty ones behind.
    """
    return [line for line, _ in _read_rules(host)]


def counters(host: Host) -> dict[str, Counter]:
    """What each rule has seen so far, by the line that `rules` has for it."""
    return {line: counter for line, counter in _read_rules(host) if counter}


def forward_rules(host: Host) -> list[ForwardRule]:
    """The rules of the forwards on the VPS, sorted; one that is there twice stands here twice."""
    found = (_FORWARD.search(line) for line in rules(host) if "-DNAT -" in line)
    return sorted(
        ForwardRule(match["name"], match["protocol"], match["port"], match["to"])
        for match in found
        if match
    )


def wireguard_peers(host: Host) -> dict[str, WireGuardPeer]:
    """By public key."""
    peers = (line.split() for line in host.run("wg show wg0 dump").stdout.splitlines()[1:])
    return {key: WireGuardPeer(words[1], words[2], int(words[3])) for key, *words in peers}


def assert_no_handshake_lost(
    before: dict[str, WireGuardPeer], after: dict[str, WireGuardPeer]
) -> None:
    """And no peer, endpoint or network."""
    assert after.keys() == before.keys()
    for key, peer in before.items():
        assert after[key][:2] == peer[:2]
        assert after[key].handshake >= peer.handshake


def _read_rules(host: Host, program: str = "iptables-save") -> Iterator[tuple[str, Counter | None]]:
    table = ""
    for line in host.run([program, "-c"]).stdout.splitlines():
        if _ON_TRIAL.search(line):
            continue
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            if policy != "ACCEPT":
                yield f"{table} {chain} {policy}", None
        elif match := _COUNTED.fullmatch(line):
            yield f"{table} {match[3]}", Counter(int(match[1]), int(match[2]))
