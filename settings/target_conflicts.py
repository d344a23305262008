"""Conflicts of targets: forwards that lead to nobody, or to more or fewer ports than they have."""

import difflib
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from .facts import Facts, entries
from .names import PATTERN
from .ports import Ports
from .problem import Path, Problem, RefusedError, Rule
from .target import Target


def _targets(facts: Facts) -> Iterator[tuple[Path, Target, Facts]]:
    for path, forward in entries(facts, "forwards"):
        target = forward.get("to")
        if isinstance(target, Target):
            yield (*path, "to"), target, forward


def _lengths_differ(facts: Facts) -> Iterator[Problem]:
    for path, target, forward in _targets(facts):
        port = forward.get("port")
        if isinstance(port, Ports) and target.ports and len(target.ports) != len(port):
            ports = "one port" if len(port) == 1 else f"a range of {len(port)}"
            rule = Rule(
                f'"{target.place}" for the same as outside, or {ports} behind the colon',
                "each port outside leads to one inside",
            )
            says = f"has {_count(target.ports)} for the {_count(port)} of {port}"
            yield Problem(path, rule.refuse(str(target), says))


def _count(ports: Ports) -> str:
    return "one port" if len(ports) == 1 else f"{len(ports)} ports"


def _servers_unknown(facts: Facts) -> Iterator[Problem]:
    if "servers" not in facts:
        return
    servers = [name for name in facts["servers"] if re.fullmatch(PATTERN, name)]
    clients = facts.get("clients", {})
    known = ", ".join(servers) if servers else "none yet; add one under servers"
    rule = Rule(f"one of the servers: {known}", "a forward leads to a server of this stack")
    for path, target, _ in _targets(facts):
        name = target.place
        if isinstance(name, IPv4Address) or name in servers:
            continue
        says = "names no server"
        if name in clients:
            says = "names a client, and forwards lead to servers"
        elif near := difflib.get_close_matches(name, servers, n=1):
            says += f" (perhaps {near[0]})"
        yield Problem(path, rule.refuse(str(target), says))


def _hosts_behind_nobody(facts: Facts) -> Iterator[Problem]:
    servers = facts.get("servers")
    if servers is None or not all("networks" in server for server in servers.values()):
        return
    networks = {network: name for name, server in servers.items() for network in server["networks"]}
    for path, target, _ in _targets(facts):
        if isinstance(target.place, IPv4Address) and (
            refused := _not_behind(target, target.place, networks, facts)
        ):
            yield Problem(path, refused)


def _not_behind(
    target: Target, address: IPv4Address, networks: dict[IPv4Network, str], facts: Facts
) -> RefusedError | None:
    cidr: IPv4Network | None = facts.get("network", {}).get("cidr")
    if cidr and address in cidr:
        rule = Rule(
            'the server\'s name, such as "homelab:8080"',
            "its address in the tunnel stands at the server, in one place",
        )
        return rule.refuse(str(target), f"is in the tunnel's network {cidr}")
    listed = ", ".join(f"{network} ({name})" for network, name in networks.items())
    rule = Rule(
        f"a host in the networks of a server: {listed or 'none yet; add some at a server'}",
        "it is reached through the server whose networks it is in",
    )
    around = next((network for network in networks if address in network), None)
    if around is None:
        return rule.refuse(str(target), "is in the networks of no server")
    if around.num_addresses > 2 and address in {  # noqa: PLR2004 - /31 and /32 have hosts alone
        around.network_address,
        around.broadcast_address,
    }:
        return rule.refuse(str(target), f"is the network {around} itself, or all of its hosts")
    return None


RULES = (_lengths_differ, _servers_unknown, _hosts_behind_nobody)
