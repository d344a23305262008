"""Conflicts of public ports: two forwards at one, and those that the VPS needs itself."""

from collections.abc import Iterator
from typing import Any

from settings.facts import Facts, entries
from settings.fields.ports import Ports
from settings.fields.protocol import Protocol
from settings.problem import Problem, Rule, path_text


def _forwards(facts: Facts) -> Iterator[tuple[str, Protocol, Ports]]:
    for path, forward in entries(facts, "forwards"):
        if "protocol" in forward and "port" in forward:
            yield str(path[1]), forward["protocol"], forward["port"]


def _ports_of_the_vps_itself(facts: Facts) -> Iterator[Problem]:
    ssh: Any = facts.get("vps", {}).get("ssh", {}).get("port")
    wireguard: Any = facts.get("network", {}).get("listen_port")
    for protocol, port, owner, why in (
        (
            Protocol.TCP,
            ssh,
            "the VPS's own SSH port (vps.ssh.port)",
            "a forward of it would lock you out of the VPS",
        ),
        (
            Protocol.UDP,
            wireguard,
            "the VPS's own WireGuard port (network.listenPort)",
            "a forward of it would cut the tunnel that it leads into",
        ),
    ):
        if not isinstance(port, int):
            continue
        for name, used, ports in _forwards(facts):
            if protocol in used.parts and port in ports:
                rule = Rule(f"any {protocol} port but {port}", why)
                says = f"is {owner}" if len(ports) == 1 else f"includes {port}, {owner}"
                yield Problem(("forwards", name, "port"), rule.refuse(_bare(ports), says))


def _ports_taken_twice(facts: Facts) -> Iterator[Problem]:
    rule = Rule("a port that no other forward uses", "a public port leads to one place")
    forwards = list(_forwards(facts))
    collisions: dict[tuple[str, Ports, str, Ports], list[Protocol]] = {}
    for protocol in Protocol.BOTH.parts:
        inner = ((ports, name) for name, used, ports in forwards if protocol in used.parts)
        widest: tuple[Ports, str] | None = None
        for ports, name in sorted(inner, key=lambda item: item[0]):
            if widest and ports.first <= widest[0].last:
                collisions.setdefault((name, ports, widest[1], widest[0]), []).append(protocol)
            if widest is None or ports.last > widest[0].last:
                widest = (ports, name)
    for (name, ports, other, taken), protocols in collisions.items():
        says = f"({'+'.join(protocols)}) is taken by forwards.{_key(other)}"
        if ports != taken:
            says = f"({'+'.join(protocols)}) overlaps {taken} of forwards.{_key(other)}"
        yield Problem(("forwards", name, "port"), rule.refuse(_bare(ports), says))


def _bare(ports: Ports) -> object:
    """Return `ports` as a user writes them: a number, or a text for a range."""
    return ports.first if len(ports) == 1 else str(ports)


def _key(name: str) -> str:
    return path_text((name,))


RULES = (_ports_of_the_vps_itself, _ports_taken_twice)
