"""What a stack wants of its hosts, against which what is found there is held."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network

from components.preflight.host_facts import HostFacts, PublicPorts
from settings import VPS, Egress, Packages, Settings


@dataclass(frozen=True)
class Wanted:
    """What a stack wants of a host.

    Attributes:
        interface: the tunnel's name.
        owner: this stack, `project/stack`.
        network: the tunnel's network.
        ipv6: that of IPv6; None if it has none.
        packages: who installs what is missing.
        listen_port: the UDP port to listen on; None on a server.
        public_interface: of the VPS, as configured; None where the default route's is taken, and
            on a server.
        forwards: on the VPS, those that are not paused.
        metrics: the folder on the VPS that they are written to; None where there are none.
        behind: on the VPS, the networks behind servers, each with the server's name.
        asks: whether it asks the VPS through the tunnel, again and again, whether that answers: a
            server, unless it is to be silent.
        passes_on: whether more than visitors passes through the host: from one peer to another or
            to the internet on the VPS, to what is behind a server.
    """

    interface: str
    owner: str
    network: IPv4Network
    packages: Packages
    ipv6: IPv6Network | None = None
    listen_port: int | None = None
    public_interface: str | None = None
    forwards: tuple[PublicPorts, ...] = ()
    metrics: str | None = None
    behind: tuple[tuple[IPv4Network, str], ...] = ()
    asks: bool = False
    passes_on: bool = False


def wanted_of_hosts(settings: Settings, owner: str) -> Iterator[tuple[str, Wanted]]:
    """Yields each host that Pulumi sets up, by name, and what is wanted of it.

    Args:
        settings: of the stack.
        owner: the stack, `project/stack`.
    """
    network, vps = settings.network, settings.vps
    egresses = [server.egress for server in settings.servers.values()]
    egresses += [client.egress for client in settings.clients.values()]

    def wanted(packages: Packages) -> Wanted:
        return Wanted(network.interface, owner, network.cidr, packages, network.ipv6)

    on_vps = replace(
        wanted(vps.packages),
        listen_port=network.listen_port,
        public_interface=vps.public_interface,
        forwards=tuple(
            PublicPorts(name, forward.protocol, forward.port)
            for name, forward in settings.forwards.items()
            if forward.enabled
        ),
        metrics=vps.metrics,
        behind=tuple(
            (behind, name)
            for name, server in settings.servers.items()
            for behind in server.networks
        ),
        passes_on=len(egresses) > 1 or Egress.TUNNEL in egresses,
    )
    yield VPS, on_vps
    for name in settings.managed_servers:
        server = settings.servers[name]
        yield (
            name,
            replace(
                wanted(server.packages),
                asks=network.keepalive > 0,
                passes_on=bool(server.networks),
            ),
        )


def public_interface(facts: HostFacts, wanted: Wanted) -> str:
    """Where visitors come in; empty where that can't be found."""
    mine = facts.tunnels.get(wanted.interface)
    # Once it is there, it keeps to the interface that it has found.
    return wanted.public_interface or (mine and mine.public) or facts.default_interface
