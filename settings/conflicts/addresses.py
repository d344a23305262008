"""Conflicts of addresses and networks: the tunnel's own, those behind servers, and the VPS's."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from settings.facts import Facts, entries, reached_by_ssh, tunnel_ends
from settings.network import ADDRESS, ADDRESS6, LEAST_OF_IPV6, same_number
from settings.problem import Path, Problem, RefusedError, Rule, path_text
from settings.ssh import HOST, Through, as_ip
from settings.vps import ENDPOINT, undialled


def _taken(address: IPv4Address | IPv6Address, network: object, by: str) -> RefusedError:
    rule = Rule(
        f"a free address of {network}", "two hosts with one address get each other's packets"
    )
    return rule.refuse(str(address), f"is taken by {by}")


def _addresses_off_the_plan(facts: Facts) -> Iterator[Problem]:
    cidr: IPv4Network | None = facts.get("network", {}).get("cidr")
    vps = facts.get("vps", {})
    taken: dict[IPv4Address, str] = {}
    if "address" in vps and vps["address"] is None and cidr:
        taken[cidr[1]] = "vps (the network's first host)"
    for path, host in tunnel_ends(facts):
        address = host.get("address")
        if not isinstance(address, IPv4Address):
            continue
        here = (*path, "address")
        if cidr and (says := _off_network(address, cidr)):
            rule = Rule(f"a free address from {cidr[1]} to {cidr[-2]}", ADDRESS.why)
            yield Problem(here, rule.refuse(str(address), says))
        elif address in taken:
            yield Problem(here, _taken(address, cidr or "the network", taken[address]))
        else:
            taken[address] = path_text(path)


def _ipv6_addresses_off_the_plan(facts: Facts) -> Iterator[Problem]:
    network: IPv6Network | None = facts.get("network", {}).get("ipv6")
    if network is None:
        return
    ends = [*tunnel_ends(facts)]
    taken = {
        address: path_text(path)
        for path, host in ends
        if host.get("ipv6", "refused") is None and (address := _ipv6_by_number(facts, path, host))
    }
    for path, host in ends:
        address = host.get("ipv6")
        if address is None:
            continue
        here = (*path, "ipv6")
        if address not in network or address == network.network_address:
            says = f"is not a host's in {network}"
            yield Problem(here, ADDRESS6.refuse(str(address), says))
        elif address in taken:
            yield Problem(here, _taken(address, network, taken[address]))
        else:
            taken[address] = path_text(path)


def _ipv6_by_number(facts: Facts, path: Path, host: Facts) -> IPv6Address | None:
    """Return the address that a host has if none is given; None where its IPv4 one is wrong."""
    network = facts["network"]
    if "cidr" not in network or "address" not in host:
        return None
    cidr: IPv4Network = network["cidr"]
    address = cidr[1] if path == ("vps",) and host["address"] is None else host["address"]
    return same_number(address, cidr, network["ipv6"]) if address in cidr else None


def _ipv6_without_a_network(facts: Facts) -> Iterator[Problem]:
    if facts.get("network", {}).get("ipv6", "unknown") is not None:
        return
    rule = Rule(
        "IPv6 beside network.ipv6, such as fd5c:91e2:7a3b::/64",
        "without it the tunnel has IPv4 alone, and no visitor of IPv6 gets in",
    )
    for path, host in tunnel_ends(facts):
        if host.get("ipv6") is not None:
            yield Problem((*path, "ipv6"), rule.refuse_hidden("is given without network.ipv6"))
    for path, forward in entries(facts, "forwards"):
        for network in forward.get("from_") or ():
            if isinstance(network, IPv6Network):
                says = "is of IPv6, which the tunnel has not"
                yield Problem((*path, "from"), rule.refuse(str(network), says))


def _mtu_too_small_for_ipv6(facts: Facts) -> Iterator[Problem]:
    if facts.get("network", {}).get("ipv6") is None:
        return
    rule = Rule(
        f"{LEAST_OF_IPV6} or more; or leave network.ipv6 out",
        "every line of IPv6 carries packets of that size, by its standard",
    )
    here = ((("network",), facts["network"]), *entries(facts, "servers", "clients"))
    for path, entry in here:
        mtu = entry.get("mtu")
        if mtu is not None and mtu < LEAST_OF_IPV6:
            yield Problem((*path, "mtu"), rule.refuse(mtu, "is too small for IPv6"))


def _off_network(address: IPv4Address, cidr: IPv4Network) -> str | None:
    if address not in cidr:
        return f"is not in the network {cidr}"
    if address == cidr.network_address:
        return f"is the address of the network {cidr} itself"
    if address == cidr.broadcast_address:
        return f"is the broadcast address of the network {cidr}"
    return None


def _hosts_inside_the_tunnel(facts: Facts) -> Iterator[Problem]:
    for key in ("cidr", "ipv6"):
        network: IPv4Network | IPv6Network | None = facts.get("network", {}).get(key)
        if network is None:
            continue
        rule = Rule(
            f"an address outside {network}, or another network.{key} that overlaps no LAN of "
            "yours; a server's end of the tunnel is written as {through: vps}",
            "once the tunnel is up, packets to that address go into the tunnel and not to the LAN",
        )
        for path, ssh in reached_by_ssh(facts):
            for address in map(as_ip, ssh.get("host", ())):
                if address and address in network:
                    says = f"is inside the tunnel's network {network}"
                    yield Problem((*path, "host"), rule.refuse(str(address), says))


def _vps_through_itself(facts: Facts) -> Iterator[Problem]:
    if Through() in facts.get("vps", {}).get("ssh", {}).get("host", ()):
        rule = Rule(f"{HOST.allowed}, or a list of these", "it is servers that are behind the VPS")
        yield Problem(("vps", "ssh", "host"), rule.refuse_hidden("leads through the VPS itself"))


def _endpoint_unfit(facts: Facts) -> Iterator[Problem]:
    cidr: IPv4Network | None = facts.get("network", {}).get("cidr")
    vps = facts.get("vps", {})
    if "endpoint" not in vps:
        return
    endpoint = vps["endpoint"]
    address = as_ip(endpoint)
    if address and cidr and address in cidr:
        rule = Rule(f"an address outside {cidr}", "the tunnel cannot be dialled through itself")
        says = f"is inside the tunnel's network {cidr}"
        yield Problem(("vps", "endpoint"), rule.refuse(endpoint, says))
    host = next(iter(vps.get("ssh", {}).get("host", ())), None)
    if endpoint is None and isinstance(host, str) and (why := undialled(host)):
        says = f"is missing, and ssh.host, {host}, {why}"
        yield Problem(("vps", "endpoint"), ENDPOINT.refuse_hidden(says))


def _networks_overlap(facts: Facts) -> Iterator[Problem]:
    """Yield networks behind servers that hold addresses which packets must find elsewhere.

    Two networks overlap only if one holds the other, so in their order it is enough to know the
    last one that nothing before it holds.
    """
    cidr: IPv4Network | None = facts.get("network", {}).get("cidr")
    listed = [
        (network, path)
        for path, server in entries(facts, "servers")
        for network in server.get("networks", ())
    ]
    widest: tuple[IPv4Network, Path] | None = None
    for network, path in sorted(listed, key=lambda item: item[0]):
        here = (*path, "networks")
        if cidr and network.overlaps(cidr):
            rule = Rule(f"networks outside {cidr}", "the tunnel's own addresses are its hosts'")
            says = f"overlaps the tunnel's network {cidr}"
            yield Problem(here, rule.refuse(str(network), says))
        if host := _address_of_vps(facts, network):
            rule = Rule(f"networks without {host}", "the VPS can't be reached through itself")
            yield Problem(here, rule.refuse(str(network), f"holds {host}, the VPS's address"))
        if not (widest and network.overlaps(widest[0])):
            widest = (network, path)
        elif path == widest[1]:
            rule = Rule("each address once", "the wider network has it already")
            yield Problem(here, rule.refuse(str(network), f"is a part of {widest[0]}, beside it"))
        else:
            rule = Rule(
                "networks that no other entry has a part of; hosts may be listed one by one, such "
                "as 192.168.1.30/32",
                "the VPS reaches each address by one server",
            )
            says = f"overlaps {widest[0]} of {path_text(widest[1])}"
            yield Problem(here, rule.refuse(str(network), says))


def _address_of_vps(facts: Facts, network: IPv4Network) -> IPv4Address | None:
    vps = facts.get("vps", {})
    for written in (vps.get("endpoint"), *vps.get("ssh", {}).get("host", ())):
        address = as_ip(written)
        if isinstance(address, IPv4Address) and address in network:
            return address
    return None


def _mtu_above_the_networks(facts: Facts) -> Iterator[Problem]:
    most = facts.get("network", {}).get("mtu")
    for path, peer in entries(facts, "servers", "clients"):
        mtu = peer.get("mtu")
        if most is not None and mtu is not None and mtu > most:
            rule = Rule(
                f"{most} (network.mtu) or less; or raise that one",
                "the VPS sends no larger packet into the tunnel",
            )
            yield Problem((*path, "mtu"), rule.refuse(mtu, "is more than network.mtu"))


def _interface_taken(facts: Facts) -> Iterator[Problem]:
    name = facts.get("network", {}).get("interface")
    if name is not None and name == facts.get("vps", {}).get("public_interface"):
        other = "wg1" if name == "wg0" else "wg0"
        rule = Rule(f"another name, such as {other}", "the tunnel's interface is one of its own")
        yield Problem(("network", "interface"), rule.refuse(name, "is vps.publicInterface"))


RULES = (
    _addresses_off_the_plan,
    _ipv6_addresses_off_the_plan,
    _ipv6_without_a_network,
    _mtu_too_small_for_ipv6,
    _hosts_inside_the_tunnel,
    _vps_through_itself,
    _endpoint_unfit,
    _networks_overlap,
    _mtu_above_the_networks,
    _interface_taken,
)
