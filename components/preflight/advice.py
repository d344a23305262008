"""What to tell a user about a host, from the facts that the look-up brought: plain functions.

The words are ours; of the host's own words only names appear in them (of the system, packages,
interfaces and stacks).
"""

import shlex
from collections.abc import Iterator

from components.preflight.host_facts import HostFacts, PublicPorts
from components.preflight.wanted import Wanted, public_interface
from reach.told import few
from settings import Packages, Protocol

_FILES_NEED = 8
_PACKAGES_NEED = 200
"""MB: the packages take about 20, apt's lists the rest; as much as the helper asks for."""

_BASH = (5, 0)
"""The oldest that can run the helper, which asks it for the time."""


def advise(facts: HostFacts, wanted: Wanted) -> list[str]:
    """What keeps this host from being part of the tunnel, each with what to do; empty if nothing.

    One sentence or two each, to be put behind the host's name.
    """
    return [
        *_system(facts, wanted),
        *_taken(facts, wanted),
        *_public_interface_missing(facts, wanted),
    ]


def _system(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    packages = _packages(facts)
    if facts.missing and wanted.packages is Packages.MANUAL:
        yield f"lacks what the tunnel needs. Install there: {packages}."
    elif facts.missing and not facts.apt:
        yield (
            f"runs {facts.system}, where packages can't be installed (only apt is known)."
            f" Install there by hand: {packages}; then say `packages: manual` for this host."
        )
    if facts.bash is None:
        yield f"runs {facts.system} without bash, which the tunnel needs. Install it there."
    elif facts.bash < _BASH:
        yield (
            f"runs {facts.system} with bash {_dotted(facts.bash)}, and the tunnel needs"
            f" {_dotted(_BASH)} or newer, as Debian has since 10. A newer system must be installed"
            " there."
        )
    if not facts.systemd:
        yield (
            f"runs {facts.system} without systemd, which starts the tunnel after a reboot."
            " Another system must be installed there."
        )
    if not facts.tun:
        yield (
            "has no TUN device, and no WireGuard in its kernel. Switch on TUN/TAP in the"
            " provider's panel, or ask for a machine with a kernel of its own (KVM)."
        )
    need = _PACKAGES_NEED if facts.missing else _FILES_NEED
    if facts.disk < need:
        yield (
            f"has {facts.disk} MB of disk space left, {need} MB are needed. Make room, for"
            " instance by `apt-get clean` and `journalctl --vacuum-size=50M`."
        )
    if not facts.metrics_folder:
        yield (
            f"has no folder {wanted.metrics} (vps.metrics). Install node_exporter there, or name"
            " what its --collector.textfile.directory says."
        )


def _packages(facts: HostFacts) -> str:
    """What is missing, and that others may call it otherwise than Debian does."""
    packages = few(facts.missing)
    if facts.apt:
        return packages
    elsewhere = "; conntrack is mostly conntrack-tools" if "conntrack" in facts.missing else ""
    return f"{packages} (Debian's names{elsewhere})"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _taken(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    mine = facts.tunnels.get(wanted.interface)
    if mine is not None and mine.owner not in {None, wanted.owner}:
        yield (
            f"already has a tunnel {wanted.interface}, of the stack {mine.owner}."
            f" Choose another name: network.interface.{_if_renamed(mine.owner, wanted)}"
        )
        return
    if mine is None and wanted.interface in facts.interfaces:
        # The look-up knows tunnels by their settings, which one by the script has not.
        by_script = (
            " If it was set up by the script of `reverse-tunnel server`, the one of"
            " `reverse-tunnel server NAME --uninstall` removes it."
        )
        yield (
            f"already has an interface {wanted.interface}, which `pulumi up` has not made."
            " Choose another name (network.interface), or remove it there."
            f"{by_script if wanted.listen_port is None else ''}"
        )
        return
    for name, fact in facts.tunnels.items():
        # It goes after the new one is made, which till then would find the forwards' ports taken.
        if name != wanted.interface and fact.owner == wanted.owner:
            yield (
                f"already has this stack's own tunnel {name}. Run `pulumi destroy` first, or set"
                f" network.interface back to {name}. If it is another stack's of the same name,"
                " give this one another: `pulumi stack rename`."
            )
            return
    yield from _port_taken(facts, wanted)
    yield from _network_taken(facts, wanted)
    yield from _behind_taken(facts, wanted)
    if taken := list(_public_ports_taken(facts, wanted)):
        yield (
            "already has public ports of these forwards in use for others:"
            f" {few(taken)}. Choose other ones (forwards.NAME.port), or remove those there."
        )


def _if_renamed(owner: str, wanted: Wanted) -> str:
    """What to do if that stack is this one, under its name of before."""
    project, _, stack = owner.rpartition("/")
    if project != wanted.owner.rpartition("/")[0]:
        return ""
    back = f"pulumi stack rename {shlex.quote(stack)}"
    return f" If it is this very stack, renamed: `{back}` takes that back."


def _port_taken(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    port = wanted.listen_port
    if port is None:
        return
    others = {name: fact for name, fact in facts.tunnels.items() if name != wanted.interface}
    for name, fact in others.items():
        if fact.port == port:
            yield (
                f"already uses UDP port {port} for {_other(name, fact.owner)}."
                " Choose another one: network.listenPort."
            )
            return
    for name, theirs in _their_forwards(facts, wanted):
        if Protocol.UDP in theirs.protocol.parts and port in theirs.ports:
            yield (
                f"already forwards UDP port {port}: {theirs.name} of"
                f" {_other(name, facts.tunnels[name].owner)}. Choose another one:"
                " network.listenPort."
            )
            return
    who = facts.udp_ports.get(port)
    if who is not None and who not in {wanted.interface, *others}:
        # Our own tunnel's port may be shown without a name: the kernel's sockets have no program.
        if not who and wanted.interface in facts.tunnels:
            return
        by = f" ({who})" if who else ""
        yield (
            f"already uses UDP port {port} for another program{by}."
            " Choose another one (network.listenPort), or stop that program."
        )


def _network_taken(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    for name, fact in facts.tunnels.items():
        if name == wanted.interface or fact.network is None:
            continue
        if fact.network.overlaps(wanted.network):
            yield (
                f"already uses the network {fact.network} for"
                f" {_other(name, fact.owner)}, and {wanted.network} overlaps it."
                " Choose another one: network.cidr."
            )
    for route in facts.routes:
        tunnel = facts.tunnels.get(route.interface)
        if route.interface == wanted.interface or (tunnel and tunnel.has(route.network)):
            continue
        by = _other(route.interface, tunnel.owner) if tunnel else f"its interface {route.interface}"
        for mine, key in ((wanted.network, "cidr"), (wanted.ipv6, "ipv6")):
            if mine is not None and route.collides_with(mine):
                yield (
                    f"already reaches the network {route.network} by {by}, and the tunnel's {mine}"
                    f" overlaps it. Choose another one: network.{key}."
                )


def _behind_taken(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    routes = [route for route in facts.routes if route.interface != wanted.interface]
    for behind, server in wanted.behind:
        for route in routes:
            if route.collides_with(behind):
                yield (
                    f"already reaches the network {route.network} by its interface"
                    f" {route.interface}, and {behind} of servers.{server}.networks overlaps it."
                    " List there only what this host has not, such as single hosts"
                    " (192.168.1.30/32), or renumber one of the two."
                )


def _public_ports_taken(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    """The forwards that the helper (ports.sh) would refuse, each with what it runs into."""
    for forward in wanted.forwards:
        for name, fact in facts.tunnels.items():
            if name == wanted.interface:
                continue
            other = _other(name, fact.owner)
            if fact.port and fact.port in forward.ports and Protocol.UDP in forward.protocol.parts:
                yield f"{forward.name} (udp {fact.port}: WireGuard of {other})"
        for name, theirs in _their_forwards(facts, wanted):
            if shared := forward.shares_with(theirs):
                ports = f"{'+'.join(shared)} {theirs.ports}"
                other = _other(name, facts.tunnels[name].owner)
                yield f"{forward.name} ({ports}: the forward {theirs.name} of {other})"


def _their_forwards(facts: HostFacts, wanted: Wanted) -> Iterator[tuple[str, PublicPorts]]:
    """The forwards of other tunnels at the same public interface, each with its tunnel."""
    public = public_interface(facts, wanted)
    for name, fact in facts.tunnels.items():
        if name != wanted.interface and fact.public == public:
            yield from ((name, forward) for forward in fact.forwards)


def _other(name: str, owner: str | None) -> str:
    return f"the tunnel {name} of the stack {owner or '(unknown)'}"


def _public_interface_missing(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    if wanted.listen_port is None:
        return
    if wanted.public_interface is None:
        if not facts.default_interface:
            yield (
                "has no default route, so its public interface can't be found."
                " Name it: vps.publicInterface."
            )
    elif wanted.public_interface not in facts.interfaces:
        names = few(sorted(facts.interfaces - {"lo", *facts.tunnels}))
        yield (
            f"has no interface {wanted.public_interface} (vps.publicInterface). It has: {names}."
        )
