"""What other firewalls on a host need to be told, from the facts that the look-up brought.

The tunnel opens nothing in somebody else's firewall: that is its owner's to do. Whether it lets
something in can't be told for certain from outside, so these are warnings.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from components.preflight.host_facts import HostFacts
from components.preflight.wanted import Wanted

_PORTS = re.compile(r"\d{1,5}(-\d{1,5})?", re.ASCII)  # of nftables

_OPEN = {
    "ufw": "ufw allow {port}/udp",
    "firewalld": "firewall-cmd --permanent --add-port={port}/udp && firewall-cmd --reload",
}
_TRUST = (
    "firewall-cmd --permanent --zone=trusted --add-interface={interface} && firewall-cmd --reload"
)


def warn_of_neighbours(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    """What firewalls on this host may keep from passing, each with the command that opens it.

    One sentence or two each, to be put behind the host's name.
    """
    for firewall, opened in facts.firewalls.items():
        port = wanted.listen_port
        if port is not None and not any(_covers(words, port) for words in opened):
            yield (
                f"has {firewall}, which does not seem to let in WireGuard ({port}/udp)."
                f" Run there: {_OPEN[firewall].format(port=port)}"
            )
    # Its chains are its own, and what ours accept is judged by it once more.
    if "firewalld" in facts.firewalls and wanted.passes_on and wanted.interface not in facts.zoned:
        what = "from peer to peer" if wanted.listen_port else "to what is behind this server"
        yield (
            f"has firewalld, which rejects what passes {what} unless the tunnel's interface is"
            f" in a zone that allows it. Run there: {_TRUST.format(interface=wanted.interface)}"
        )
    yield from _dropping(facts, wanted)


def _dropping(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    port, interface = wanted.listen_port, wanted.interface
    for chain in facts.dropping:
        here = f"has the chain `{chain.place}` of nftables, which drops what it does not know"
        if chain.hook == "forward":
            passes = any(word == "dnat" or fnmatchcase(interface, word) for word in chain.words)
            if (port or wanted.passes_on) and not passes:
                ways = " && ".join(
                    f"nft insert rule {chain.place} {way} {interface} accept"
                    for way in ("iifname", "oifname")
                )
                yield f"{here}, so visitors may not pass. Run there: {ways}"
        elif port and not any(_names(word, port) for word in chain.words):
            yield (
                f"{here}, so WireGuard may not get in. Run there:"
                f" nft insert rule {chain.place} udp dport {port} accept"
            )


def _names(word: str, port: int) -> bool:
    """Whether a word of a chain is this port, or a range that has it; not the name of something."""
    return bool(_PORTS.fullmatch(word)) and _covers(f"{word.replace('-', ':')}/udp", port)


def _covers(words: str, port: int) -> bool:
    """Whether `51820/udp`, `51000:52000/udp` or `any/any` lets in this UDP port."""
    ports, _, protocol = words.partition("/")
    if protocol not in {"udp", "any"}:
        return False
    first, _, last = ports.partition(":")
    return ports == "any" or int(first) <= port <= int(last or first)
