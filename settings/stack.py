"""All settings of one stack, and what follows from them: the address plan, who is managed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import Field, SecretStr

from settings.client import Client
from settings.conflicts import conflicts
from settings.facts import facts_of
from settings.fields.check import Check
from settings.fields.keys import SSH_PRIVATE_KEY, check_ssh_private_key
from settings.fields.names import VPS, Name, PeerName
from settings.fields.ports import Ports
from settings.fields.switch import Switch
from settings.forward import Forward
from settings.late import Late, is_late
from settings.model import Model
from settings.network import Network, same_number
from settings.problem import SettingsError
from settings.server import Server
from settings.ssh import Ssh, Through
from settings.vps import Vps
from settings.way import Way

_PADDING = 16  # bytes


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a forward really leads: a server by name, an address, and its ports.

    The address is the server's own in the tunnel or, `behind` it, that of a host in its networks.
    Visitors of IPv6 are led to `ipv6`, if the tunnel has it; nobody leads them on behind a server.
    """

    server: str
    address: IPv4Address
    ports: Ports
    behind: bool = False
    ipv6: IPv6Address | None = None


class Settings(Model):
    """What a stack file says. An instance is complete and free of contradictions.

    Only `settings.load` makes one, and reports every mistake in what it is made from. The models
    do not compare fields with each other.
    """

    network: Network = Network()
    """What all hosts of the tunnel have in common."""

    vps: Vps
    """The VPS, which has the public address."""

    servers: dict[PeerName, Server] = Field(default_factory=dict)
    """The servers at home, by name."""

    clients: dict[PeerName, Client] = Field(default_factory=dict)
    """The client devices, by name."""

    forwards: dict[Name, Forward] = Field(default_factory=dict)
    """The forwarded ports, by name."""

    ssh_private_key: Annotated[
        Late[SecretStr] | None,
        Check(
            check_ssh_private_key,
            SSH_PRIVATE_KEY,
            {
                "type": "object",
                "required": ["secure"],
                "additionalProperties": False,
                "properties": {"secure": {"type": "string"}},
            },
            late=True,
        ),
    ] = None
    """The SSH key to log in with, for every host; default: the SSH agent."""

    look_up: Switch = True
    """Whether the hosts are looked at before each preview and up."""

    @property
    def vps_address(self) -> IPv4Address:
        """The VPS's address in the tunnel."""
        return self.vps.address or self.network.cidr[1]

    @cached_property  # of one `apply`, since each that fails would report the same mistake
    def endpoint(self) -> Late[str]:
        """What peers dial and visitors use, without a port.

        A late one is compared with the rest when it is known, as a plain one has been.
        """
        endpoint = self.vps.endpoint
        if endpoint is None:
            endpoint = next(place for place in self.vps.ssh.host if not isinstance(place, Through))
        return endpoint.apply(self._compared) if is_late(endpoint) else endpoint

    def _compared(self, endpoint: str) -> str:
        facts = facts_of(self)
        if self.vps.endpoint is None:
            facts["vps"]["ssh"]["host"] = (endpoint,)
        else:
            facts["vps"]["endpoint"] = endpoint
        problems = list(conflicts(facts))
        if problems:
            raise SettingsError(problems)
        return endpoint

    @property
    def peers(self) -> Mapping[str, Server | Client]:
        """The peers of the VPS, servers first, by name; no name occurs twice."""
        return {**self.servers, **self.clients}

    @property
    def managed_servers(self) -> Mapping[str, Ssh]:
        """The servers that Pulumi sets up, those with ssh: how to reach them, by name."""
        return {name: server.ssh for name, server in self.servers.items() if server.ssh is not None}

    @property
    def managed_hosts(self) -> Sequence[str]:
        """The names of the hosts that Pulumi sets up: `vps`, and the managed servers."""
        return (VPS, *self.managed_servers)

    @property
    def forgotten(self) -> Sequence[str]:
        """Those among them that are gone for good."""
        return [name for name in self.managed_hosts if self.is_forgotten(name)]

    def path_of(self, name: str) -> str:
        """Return where a stack file has the server of that name, or `vps`."""
        return name if name == VPS else f"servers.{name}"

    def ssh_of(self, name: str) -> Ssh:
        """Return how the managed server of that name, or `vps`, is reached."""
        return self.vps.ssh if name == VPS else self.managed_servers[name]

    def ways_to(self, name: str) -> tuple[Way, ...]:
        """Return the ways in to the managed server of that name, or to `vps`, in their order."""
        ssh = self.ssh_of(name)
        ways: list[Way] = []
        for place in ssh.host:
            if isinstance(place, Through):
                at = str(self.address_of(name))
                ways += (
                    Way(at, ssh.port, ssh.user, ssh.host_key, through)
                    for through in self.ways_to(VPS)
                )
            else:
                ways.append(Way(place, ssh.port, ssh.user, ssh.host_key))
        return tuple(ways)

    def is_forgotten(self, name: str) -> bool:
        """Return whether the server of that name, or `vps`, is gone for good."""
        return self.vps.forget if name == VPS else self.servers[name].forget

    def address_of(self, name: str) -> IPv4Address:
        """Return the address in the tunnel of the server or client of that name, or of `vps`."""
        return self.vps_address if name == VPS else self.peers[name].address

    def ipv6_of(self, name: str) -> IPv6Address | None:
        """Return the same of IPv6, if the tunnel has that; by default the one of that number."""
        host = self.vps if name == VPS else self.peers[name]
        network, own = self.network, host.ipv6
        if network.ipv6 is None or own is not None:
            return own
        return same_number(self.address_of(name), network.cidr, network.ipv6)

    def generation_of(self, name: str) -> str | None:
        """Return what tells the keys of that name from those that it had; None for the first ones.

        Args:
            name: a server's or a client's, or `vps`.
        """
        of_all = self.network.key_generation
        own = self.vps.key_generation if name == VPS else self.peers[name].key_generation
        return None if of_all == own == 1 else f"{of_all}.{own}"

    def mtu_of(self, peer: str) -> int:
        """Return the largest packet, in bytes, between the VPS and the peer of that name.

        WireGuard pads what it carries to a multiple of 16 bytes, up to its interface's MTU. On the
        VPS that is the network's, so a packet that just fits a peer's smaller one would not.
        """
        most, own = self.network.mtu, self.peers[peer].mtu
        return most if own in {None, most} else own - own % _PADDING

    def destination(self, forward: str) -> Destination:
        """Return where the forward of that name leads."""
        wanted = self.forwards[forward]
        place, ports = wanted.to.place, wanted.to.ports or wanted.port
        if isinstance(place, str):
            return Destination(place, self.servers[place].address, ports, ipv6=self.ipv6_of(place))
        server = next(
            name
            for name, server in self.servers.items()
            if any(place in network for network in server.networks)
        )
        return Destination(server, place, ports, behind=True)
