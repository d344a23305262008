"""The WireGuard files of machines that nobody logs in to; of clients there is nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from settings import LEAST_OF_IPV6, Egress

ANYWHERE = "0.0.0.0/0"
ANYWHERE_IPV6 = "::/0"

# Private (RFC 4193), so that of a name's addresses those of IPv4 are taken first (RFC 6724).
_NOWHERE = IPv6Address("fd00::")


@dataclass(frozen=True)
class Machine:
    """What the file of one machine says.

    Attributes:
        name: the user's name for it.
        address: its address in the tunnel.
        ipv6: that of IPv6, where the tunnel has it.
        private_key: base64; None where the machine keeps its own, which gives a line to fill in.
        mtu: of its tunnel, in bytes.
        preshared_key: base64, the one that it shares with the VPS; None for none.
        egress: its way out.
    """

    name: str
    address: IPv4Address
    private_key: str | None
    mtu: int
    preshared_key: str | None = None
    egress: Egress = Egress.OWN
    ipv6: IPv6Address | None = None


@dataclass(frozen=True)
class Gateway:
    """What every machine must know of the VPS and the network.

    Attributes:
        public_key: of the VPS, base64.
        endpoint: `host:port` that peers dial.
        address: its own in the tunnel.
        network: the tunnel's network.
        ipv6: that of IPv6, if it has one.
        keepalive: seconds between packets that keep a NAT's mapping open; 0 sends none.
    """

    public_key: str
    endpoint: str
    address: IPv4Address
    network: IPv4Network
    keepalive: int
    ipv6: IPv6Network | None = None

    @property
    def networks(self) -> Sequence[IPv4Network | IPv6Network]:
        """The tunnel's network of each family that it has, IPv4 first."""
        return [self.network] if self.ipv6 is None else [self.network, self.ipv6]


def own_key(name: str) -> str:
    """What stands in the place of a private key that its machine keeps to itself."""
    return f"PUT-THE-PRIVATE-KEY-OF-{name}-HERE"


def client_config(machine: Machine, gateway: Gateway) -> str:
    """The file of a client: what it routes into the tunnel is the tunnel's network, or all.

    All is IPv6, too, where the tunnel has none: it then ends there, and programs take IPv4. Else
    most of what a device does would leave beside the tunnel wherever a network has IPv6. For
    that it has a private address there: with one of a network's it would take IPv6 first. Below
    1,280 bytes an interface can't have any, and `wg-quick` would not start.
    """
    if machine.egress is Egress.TUNNEL:
        both = gateway.ipv6 is not None or machine.mtu >= LEAST_OF_IPV6
        anywhere = ", ".join([ANYWHERE, *([ANYWHERE_IPV6] if both else [])])
        ends = both and gateway.ipv6 is None
        also = [f"{IPv6Address(int(_NOWHERE) + int(machine.address))}/128"] if ends else []
        return wireguard_file(machine, gateway, allowed_ips=anywhere, also=also)
    networks = ", ".join(map(str, gateway.networks))
    return wireguard_file(machine, gateway, allowed_ips=networks)


def wireguard_file(
    machine: Machine,
    gateway: Gateway,
    *,
    allowed_ips: str,
    also: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> str:
    """The file of a machine.

    Args:
        machine: which one.
        gateway: what it must know of the VPS.
        allowed_ips: what goes into the tunnel, and may come from there.
        also: addresses beside its own, with the length of their prefixes.
        extra: further lines about its interface.
    """
    key = machine.private_key or own_key(machine.name)
    addresses = [f"{machine.address}/{gateway.network.prefixlen}", *also]
    if machine.ipv6 is not None and gateway.ipv6 is not None:
        addresses.append(f"{machine.ipv6}/{gateway.ipv6.prefixlen}")
    lines = [
        f"# {machine.name}",
        "[Interface]",
        f"PrivateKey = {key}",
        f"Address = {', '.join(addresses)}",
        f"MTU = {machine.mtu}",
        *extra,
        "",
        "[Peer]",
        f"PublicKey = {gateway.public_key}",
        *([f"PresharedKey = {machine.preshared_key}"] if machine.preshared_key else []),
        f"Endpoint = {gateway.endpoint}",
        f"AllowedIPs = {allowed_ips}",
        f"PersistentKeepalive = {gateway.keepalive}",
    ]
    return "\n".join(lines) + "\n"
