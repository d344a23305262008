"""Conflicts of targets: forwards that lead to nobody, or to more or fewer ports than they have."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from settings.facts import Facts, entries
from settings.fields.names import PATTERN
from settings.fields.ports import Ports
from settings.fields.target import Target
from settings.near import perhaps
from settings.problem import Path, Problem, RefusedError, Rule, path_text
from settings.ssh import as_ip


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
        says = f"names no server{perhaps(name, servers)}"
        if name in clients:
            says = "names a client, and forwards lead to servers"
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
    server = networks[around]
    ssh = facts["servers"][server].get("ssh")
    if ssh and address in map(as_ip, ssh.get("host", ())):
        rule = Rule(
            f'"{Target(server, target.ports)}"',
            "a server is no host behind itself: nothing needs opening, and sourceAddress would do "
            "nothing",
        )
        return rule.refuse(str(target), f"is {server} itself (servers.{server}.ssh.host)")
    return None


def _led_to_by_ipv4_alone(facts: Facts) -> Iterator[Problem]:
    if facts.get("network", {}).get("ipv6") is None:
        return  # then each network of IPv6 is refused
    rule = Rule(
        "networks of IPv4, too, or a server as the target",
        "a host behind a server is led to by IPv4 alone, so nobody would get in",
    )
    for (*path, _), target, forward in _targets(facts):
        sources = forward.get("from_") or ()
        if isinstance(target.place, IPv4Address) and not any(
            isinstance(network, IPv4Network) for network in sources
        ):
            for network in sources[:1]:
                says = "is of IPv6, as all of the list is"
                yield Problem((*path, "from"), rule.refuse(str(network), says))


def _source_addresses_differ(facts: Facts) -> Iterator[Problem]:
    """Refuse two forwards to one target behind a server that say whom it sees in two ways."""
    alike: dict[tuple[IPv4Address, str], list[tuple[Ports, str, str]]] = {}
    for path, target, forward in _targets(facts):
        ports, own = target.ports or forward.get("port"), forward.get("source_address")
        if isinstance(target.place, IPv4Address) and ports and own and "protocol" in forward:
            for protocol in forward["protocol"].parts:
                alike.setdefault((target.place, protocol), []).append((ports, str(path[1]), own))
    differing: dict[str, tuple[str, str]] = {}
    for forwards in alike.values():
        farthest: dict[str, tuple[int, str]] = {}
        for ports, name, own in sorted(forwards):
            for other, (last, there) in farthest.items():
                if other != own and ports.first <= last:
                    differing.setdefault(name, (own, there))
            farthest[own] = max(farthest.get(own, (0, name)), (ports.last, name))
    rule = Rule(
        "the same sourceAddress at both",
        "the opening on the server that they lead through is one, and translates for both or none",
    )
    for name, (own, other) in differing.items():
        there = path_text(("forwards", other))
        says = f"differs from that of {there}, which leads to the same target"
        yield Problem(("forwards", name, "sourceAddress"), rule.refuse(str(own), says))


RULES = (
    _lengths_differ,
    _servers_unknown,
    _hosts_behind_nobody,
    _led_to_by_ipv4_alone,
    _source_addresses_differ,
)
