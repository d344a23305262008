"""What the look-up's script says of a host: `key=value` lines, parsed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from reach.told import UNREADABLE, is_plain, number, plain, printable
from settings import Ports, Protocol

_FORWARD = re.compile(r"([\w-]{1,255}):([a-z+]+):(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_OPENED = re.compile(r"(any|\d{1,5}(:\d{1,5})?)/[a-z0-9-]+")
_PLACE = re.compile(r"[a-z0-9]{1,9} \w[\w-]{0,254} \w[\w-]{0,254}", re.ASCII)
_WORD = re.compile(r"[\w.-]{1,255}\*?", re.ASCII)
_OWNER = re.compile(r"[\w.][\w.-]{0,99}/[\w.][\w.-]{0,99}", re.ASCII)
_MOST = 100  # tunnels or chains of a host, of which each may be told by a line
_LONGEST_SYSTEM = 80  # characters of a distribution's name for itself


@dataclass(frozen=True)
class PublicPorts:
    """What a forward takes of a public interface.

    Attributes:
        name: of the forward.
        protocol: of its ports.
        ports: the public ones.
    """

    name: str
    protocol: Protocol
    ports: Ports

    def shares_with(self, other: "PublicPorts") -> tuple[Protocol, ...]:
        """The protocols of which both have the same ports, or some of them."""
        if self.ports.first > other.ports.last or other.ports.first > self.ports.last:
            return ()
        return tuple(each for each in self.protocol.parts if each in other.protocol.parts)


@dataclass(frozen=True)
class TunnelFact:
    """One tunnel of this project found on a host.

    Attributes:
        owner: the stack it belongs to, `project/stack`; None while it is half made.
        port: the UDP port it listens on; None on a server.
        network: its network; None while it is half made.
        public: on a VPS, the interface where visitors come in; empty on a server.
        forwards: on a VPS, what its forwards take there, but for those that are paused.
    """

    owner: str | None
    port: int | None
    network: IPv4Network | None
    public: str = ""
    forwards: tuple[PublicPorts, ...] = ()

    def has(self, network: IPv4Network | IPv6Network) -> bool:
        """Whether that is its network, or a part of it."""
        return (
            isinstance(network, IPv4Network)
            and self.network is not None
            and network.subnet_of(self.network)
        )


@dataclass(frozen=True)
class Listener:
    """A program at a port of a host's to which others can come.

    Attributes:
        protocol: `tcp` or `udp`.
        port: which one.
        interface: by which they can; None by any.
        program: what it calls itself; empty if unknown, as of what the kernel does.
    """

    protocol: Protocol
    port: int
    interface: str | None
    program: str

    def has_port_of(self, ports: PublicPorts) -> bool:
        """Whether it listens at one of these."""
        return self.port in ports.ports and self.protocol in ports.protocol.parts


@dataclass(frozen=True)
class Route:
    """A network that a host reaches, by something else than its default route.

    Attributes:
        network: which one.
        interface: where it sends what is meant for there.
        beyond: whether it leads to what is somebody else's, by a router or into a VPN; else the
            host itself is part of it, or another tunnel of this project leads there.
    """

    network: IPv4Network | IPv6Network
    interface: str
    beyond: bool = False

    def collides_with(self, network: IPv4Network | IPv6Network) -> bool:
        """Whether a route of the tunnel to that network can't stand beside this one.

        They may not overlap; but a wider network that the host is not in gives way to the
        tunnel's own: all of 10.0.0.0/8 behind a router, as in many clouds, or half of the internet
        in a VPN. The helper (tunnel/neighbours.sh) judges alike.
        """
        if self.network.version != network.version or not self.network.overlaps(network):
            return False
        return not self.beyond or self.network.prefixlen >= network.prefixlen


@dataclass(frozen=True)
class DroppingChain:
    """A base chain of somebody's nftables that drops what none of its rules accepts.

    Attributes:
        hook: `input` or `forward`.
        place: family, table and name, as `nft` takes them: `inet filter forward`.
        words: ports, interfaces (`wg*` are all that begin so) and `dnat`, where its rules have
            them.
    """

    hook: str
    place: str
    words: frozenset[str]


@dataclass(frozen=True)
class HostFacts:
    """A host as the look-up found it.

    Attributes:
        system: the distribution's own name for itself, for messages.
        systemd: whether it is what starts the host's services.
        bash: the version of the shell that runs the helper, its first two numbers; None if there
            is none.
        apt: whether packages can be installed with apt.
        missing: packages that the tunnel needs and that are not installed.
        ping: whether there is that program, by which a server asks the VPS whether it answers.
        tun: whether WireGuard can be had, in the kernel or by a TUN device.
        wireguard_go: the version of the program that stands in for a kernel without WireGuard,
            installed or about to be; empty where the kernel has it, and where that is unknown.
        disk: free space in MB, the least of the places that are written to.
        default_interface: that of the default route; empty if there is none.
        interfaces: all of them.
        udp_ports: who listens on a UDP port: an interface or a program, empty if unknown.
        listeners: what others can come to.
        routes: those to networks, without the default route.
        metrics_folder: whether the folder for metrics is there, if it was asked for.
        tunnels: this project's tunnels by interface.
        firewalls: other firewalls that are active, `ufw` or `firewalld`, each with what it lets in
            from everywhere, such as `51820/udp`, `60000:61000/udp` or `any/any`.
        zoned: interfaces that somebody has put into a zone of firewalld.
        dropping: chains of nftables that drop what they do not know.
    """

    system: str
    systemd: bool
    bash: tuple[int, int] | None
    apt: bool
    missing: tuple[str, ...]
    ping: bool
    tun: bool
    wireguard_go: str
    disk: int
    default_interface: str
    interfaces: frozenset[str]
    udp_ports: Mapping[int, str]
    listeners: tuple[Listener, ...]
    routes: tuple[Route, ...]
    metrics_folder: bool
    tunnels: Mapping[str, TunnelFact]
    firewalls: Mapping[str, frozenset[str]]
    zoned: frozenset[str]
    dropping: tuple[DroppingChain, ...]


def parse_facts(text: str) -> HostFacts:
    """The facts in the script's output.

    Names in them are shown to the operator. One that is none keeps nobody from going on: it is left
    out, or told as unreadable.

    Raises:
        ValueError: the output is incomplete or garbled. Its text is not part of the message: what
            a host says is not repeated.
    """
    lines = [line.partition("=")[::2] for line in text.splitlines()]
    values = dict(lines)
    try:
        del values["end"]  # the last line: without it, the script broke off
        return HostFacts(
            system=printable(
                values["os-name"] or values["os-id"] or "an unknown system", _LONGEST_SYSTEM
            ),
            systemd=values["systemd"] == "yes",
            bash=_version(values["bash"]),
            apt=values["apt"] == "yes",
            missing=tuple(map(plain, values["missing"].split())),
            ping=values["ping"] == "yes",
            tun=values["tun"] == "yes",
            wireguard_go=values["wireguard-go"] if is_plain(values["wireguard-go"]) else "",
            disk=number(values["disk"]),
            default_interface=plain(values["default-interface"]),
            interfaces=frozenset(filter(is_plain, values["interfaces"].split())),
            udp_ports=dict(map(_udp_port, values["udp-ports"].split())),
            listeners=tuple(map(_listener, values["listeners"].split())),
            routes=tuple(map(_route, values["routes"].split())),
            metrics_folder=values.get("metrics-folder") != "no",
            tunnels=dict(map(_tunnel, _several(lines, "tunnel"))),
            firewalls=dict(map(_firewall, _several(lines, "firewall"))),
            zoned=frozenset(values.get("zoned", "").split()),
            dropping=tuple(map(_dropping, _several(lines, "dropping"))),
        )
    except KeyError as missing:
        raise ValueError(f"no line says {missing}") from None
    except ValueError:
        raise ValueError("a line is garbled") from None


def _several(lines: Iterable[Sequence[str]], key: str) -> Sequence[str]:
    """The values of lines of which there may be several; those beyond reason are left out."""
    return [value for each, value in lines if each == key][:_MOST]


def _version(value: str) -> tuple[int, int] | None:
    if not value:
        return None
    first, second = value.split(".")
    return number(first), number(second)


def _tunnel(value: str) -> tuple[str, TunnelFact]:
    interface, owner, port, address, *visited = value.split()
    return plain(interface), TunnelFact(
        owner=None if owner == "-" else _owner(owner),
        port=None if port == "-" else int(port),
        network=None if address == "-" else IPv4Network(address, strict=False),
        public=plain(visited[0]) if visited else "",
        forwards=tuple(map(_public_ports, visited[1:])),
    )


def _owner(word: str) -> str:
    """A stack, which is part of a command that is recommended."""
    return word if _OWNER.fullmatch(word) else UNREADABLE


def _public_ports(word: str) -> PublicPorts:
    match = _FORWARD.fullmatch(word)
    if match is None:
        raise ValueError
    name, protocol, first, last = match.groups()
    return PublicPorts(name, Protocol(protocol), Ports(int(first), int(last or first)))


def _firewall(value: str) -> tuple[str, frozenset[str]]:
    name, *opened = value.split()
    if name not in {"ufw", "firewalld"} or not all(map(_OPENED.fullmatch, opened)):
        raise ValueError
    return name, frozenset(opened)


def _dropping(value: str) -> DroppingChain:
    hook, family, table, chain, *words = value.split()
    place = f"{family} {table} {chain}"
    if hook not in {"input", "forward"} or not _PLACE.fullmatch(place):
        raise ValueError
    if not all(map(_WORD.fullmatch, words)):
        raise ValueError
    return DroppingChain(hook, place, frozenset(words))


def _udp_port(word: str) -> tuple[int, str]:
    port, _, who = word.partition(":")
    return int(port), plain(who)


def _listener(word: str) -> Listener:
    protocol, port, interface, program = word.split(":", 3)
    by = None if interface == "*" else plain(interface)
    return Listener(Protocol(protocol), int(port), by, plain(program))


def _route(word: str) -> Route:
    network, _, way = word.partition("@")
    interface, _, beyond = way.partition(":")  # which no interface's name has
    # Behind a `%` one of IPv6 may have any text, and is shown with it.
    if beyond not in {"", "beyond"} or not is_plain(network):
        raise ValueError
    return Route(ip_network(network), plain(interface), beyond=bool(beyond))
