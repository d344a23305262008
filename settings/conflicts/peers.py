"""Conflicts of peers: two that can't be told apart, and names that nobody has."""

import re
from collections.abc import Iterator

from settings.allow import FROM, TO
from settings.facts import Facts, entries, reached_by_ssh
from settings.fields.names import PATTERN, VPS
from settings.near import perhaps
from settings.problem import Problem, Rule, path_text


def _names_taken_twice(facts: Facts) -> Iterator[Problem]:
    rule = Rule(
        "a name that no server has", "servers and clients are peers of one VPS, known by their name"
    )
    servers = facts.get("servers", {})
    for name in facts.get("clients", {}):
        if name in servers:
            yield Problem(("clients", name), rule.refuse(name, "is the name of a server, too"))


def _machines_listed_twice(facts: Facts) -> Iterator[Problem]:
    rule = Rule(
        "the host key of a machine of its own; new ones are made on a cloned machine by "
        "`rm /etc/ssh/ssh_host_*; ssh-keygen -A`",
        "the host key identifies the machine, and one machine has one place in the tunnel",
    )
    seen: dict[str, str] = {}
    for path, ssh in reached_by_ssh(facts):
        key = ssh.get("host_key")
        if isinstance(key, str):
            if key in seen:
                yield Problem((*path, "hostKey"), rule.refuse(key, f"is the key of {seen[key]}"))
            seen.setdefault(key, path_text(path[:-1]))


def _public_keys_taken_twice(facts: Facts) -> Iterator[Problem]:
    rule = Rule(
        "a key pair for each device", "WireGuard knows a peer by its key, and keeps the last one"
    )
    seen: dict[str, str] = {}
    for path, peer in entries(facts, "servers", "clients"):
        key = peer.get("public_key")
        if isinstance(key, str):
            if key in seen:
                says = f"is the key of {seen[key]}"
                yield Problem((*path, "publicKey"), rule.refuse(key, says))
            seen.setdefault(key, path_text(path))


def _keys_of_others_rotated(facts: Facts) -> Iterator[Problem]:
    for path, peer in entries(facts, "servers", "clients"):
        if peer.get("public_key") is not None and peer.get("key_generation", 1) != 1:
            rule = Rule(
                "1 beside publicKey; to change the keys make new ones on the device (`(umask 077; "
                "wg genkey | tee private.key) | wg pubkey`) and write the new public half as "
                "publicKey",
                "the private key never leaves that device, so nobody else can make it another one",
            )
            yield Problem((*path, "keyGeneration"), rule.refuse(peer["key_generation"]))


def _allowed_unknown(facts: Facts) -> Iterator[Problem]:
    if "servers" not in facts or "clients" not in facts:
        return
    peers = [name for kind in ("servers", "clients") for name in facts[kind]]
    known = [name for name in peers if re.fullmatch(PATTERN, name)]
    listed = ", ".join(known) if known else "none yet"
    for name, allow in facts.get("vps", {}).get("allow", {}).items():
        here = ("vps", "allow", name)
        sources, to = allow.get("from_", ()), allow.get("to")
        for source in sources:
            if source not in known:
                rule = Rule(f"a list of servers and clients: {listed}", FROM.why)
                yield Problem(
                    (*here, "from"), rule.refuse(source, f"names no peer{perhaps(source, known)}")
                )
        if to is not None and to not in {VPS, *known}:
            rule = Rule(f"{VPS}, or one of the servers and clients: {listed}", TO.why)
            yield Problem((*here, "to"), rule.refuse(to, f"names no peer{perhaps(to, known)}"))
        elif to in sources:
            rule = Rule("two that differ", "no firewall stands between a peer and itself")
            yield Problem((*here, "to"), rule.refuse(to, "is in from, too"))


def _ports_of_any_protocol(facts: Facts) -> Iterator[Problem]:
    for name, allow in facts.get("vps", {}).get("allow", {}).items():
        if allow.get("port") is not None and allow.get("protocol", "unknown") is None:
            rule = Rule("port beside protocol", "only tcp and udp have ports")
            says = "is given without protocol"
            yield Problem(("vps", "allow", name, "port"), rule.refuse_hidden(says))


RULES = (
    _names_taken_twice,
    _machines_listed_twice,
    _public_keys_taken_twice,
    _keys_of_others_rotated,
    _allowed_unknown,
    _ports_of_any_protocol,
)
