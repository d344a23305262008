"""The lab's internet, as data.

    client .10    laptop .20                             neighbour .20    vps .10 (ens6)
        |             |                                        |             |
    ====+== visitors =+=== 198.51.100.0/24             ========+== public ===+== 203.0.113.0/24
                  |                                             |
                  +------------------ internet -----------------+
                                         |
                         ======= transit 192.0.2.0/24 =======
                                         |
                                    carrier .2         NAT, with a short UDP mapping life
                                         |
                         ======= access 100.64.0.0/10 =======
                                         |
                                  router 100.64.0.2    NAT
                                         |
    ====+=============+========== home 192.168.1.0/24 ==========+=============+====
        |             |                                         |             |
    homelab .20   attic .21 (user hex, sudo)                 nas .30     operator .50

Every segment is a bridge in a namespace of its own, the switch; every interface of a host is one
end of a veth pair whose other end is plugged into its segment. A gateway has address .1 of its
segment (100.64.0.1 for the carrier). vps, homelab and attic boot a real systemd with sshd; the
other hosts are containers with one process. Addresses are from the documentation ranges (RFC 5737)
and the shared address space of carriers (RFC 6598).

IPv6 ends where the carrier begins: visitors have it (2001:db8:1::/64, with the last number of their
IPv4 address), and the hosts of the public segment get it by router advertisement (2001:db8:2::/64).
Home has none.
"""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

ADVERTISED = "2001:db8:2::/64"
ADVERTISED_LIFETIME = 5  # seconds after the last advertisement; there is one a second
DEFAULT_MAPPING_LIFE = 30  # seconds; the minimum of RFC 4787 is 120, carriers with 30 exist


@dataclass(frozen=True)
class Interface:
    """One interface of a host, plugged into a segment."""

    name: str
    segment: str
    address: IPv4Interface
    ipv6: IPv6Interface | None = None

    def mac(self, host: str) -> str:
        """The same after every reboot, as on a real card: neighbours' ARP tables stay right."""
        digest = sha256(f"{host}.{self.name}".encode()).digest()
        return "02:" + ":".join(f"{byte:02x}" for byte in digest[:5])


@dataclass(frozen=True)
class Login:
    """How the operator logs in: by the lab's key. A user other than root has sudo."""

    user: str


@dataclass(frozen=True)
class Service:
    """A program of lab/hosts/services that a host runs from boot on."""

    name: str
    command: str


@dataclass(frozen=True)
class Node:
    """A host, as data. `interfaces[0]` is the one towards the internet.

    Attributes:
        gateway: the next hop of the default route; None for the internet itself.
        gateway6: that of IPv6; None where it is advertised, and where there is no IPv6.
        login: None for a host without systemd and sshd.
        forwards: whether it is a router.
        masquerades: whether it is a NAT router: everything that leaves by `interfaces[0]` gets its
            address, and nothing unasked comes in.
        mapping_life: seconds that an idle UDP mapping lives; None leaves the kernel's default.
    """

    name: str
    interfaces: tuple[Interface, ...]
    gateway: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    login: Login | None = None
    forwards: bool = False
    masquerades: bool = False
    mapping_life: int | None = None
    services: tuple[Service, ...] = ()

    @property
    def address(self) -> IPv4Address:
        """The address towards the internet."""
        return self.interfaces[0].address.ip


def _interface(name: str, segment: str, address: str, ipv6: str | None = None) -> Interface:
    return Interface(name, segment, IPv4Interface(address), IPv6Interface(ipv6) if ipv6 else None)


def _web(host: str, port: int) -> Service:
    return Service(f"web-{port}", f"web.py {port} {host}")


_LAN_GATEWAY = IPv4Address("192.168.1.1")
_VISITORS_GATEWAY = IPv4Address("198.51.100.1")
_VISITORS_GATEWAY6 = IPv6Address("2001:db8:1::1")
_PUBLIC_GATEWAY = IPv4Address("203.0.113.1")

SEGMENTS = ("visitors", "public", "transit", "access", "home")

NODES = (
    Node(
        "internet",
        (
            _interface("eth0", "transit", "192.0.2.1/24"),
            _interface("eth1", "public", "203.0.113.1/24", "2001:db8:2::1/64"),
            _interface("eth2", "visitors", "198.51.100.1/24", f"{_VISITORS_GATEWAY6}/64"),
        ),
        forwards=True,
        services=(Service("advertise", f"advertise.py eth1 {ADVERTISED} {ADVERTISED_LIFETIME}"),),
    ),
    Node(
        "carrier",
        (
            _interface("wan", "transit", "192.0.2.2/24"),
            _interface("lan", "access", "100.64.0.1/10"),
        ),
        gateway=IPv4Address("192.0.2.1"),
        forwards=True,
        masquerades=True,
        mapping_life=DEFAULT_MAPPING_LIFE,
    ),
    Node(
        "router",
        (
            _interface("wan", "access", "100.64.0.2/10"),
            _interface("lan", "home", "192.168.1.1/24"),
        ),
        gateway=IPv4Address("100.64.0.1"),
        forwards=True,
        masquerades=True,
    ),
    Node(
        "vps",
        (_interface("ens6", "public", "203.0.113.10/24"),),
        gateway=_PUBLIC_GATEWAY,
        login=Login("root"),
    ),
    Node(
        "neighbour",
        (_interface("eth0", "public", "203.0.113.20/24"),),
        gateway=_PUBLIC_GATEWAY,
    ),
    Node(
        "client",
        (_interface("eth0", "visitors", "198.51.100.10/24", "2001:db8:1::10/64"),),
        gateway=_VISITORS_GATEWAY,
        gateway6=_VISITORS_GATEWAY6,
        services=(_web("client", 80),),
    ),
    Node(
        "laptop",
        (_interface("eth0", "visitors", "198.51.100.20/24", "2001:db8:1::20/64"),),
        gateway=_VISITORS_GATEWAY,
        gateway6=_VISITORS_GATEWAY6,
    ),
    Node(
        "homelab",
        (_interface("eth0", "home", "192.168.1.20/24"),),
        gateway=_LAN_GATEWAY,
        login=Login("root"),
        services=(_web("homelab", 8080), _web("homelab", 8081)),
    ),
    Node(
        "attic",
        (_interface("eth0", "home", "192.168.1.21/24"),),
        gateway=_LAN_GATEWAY,
        login=Login("hex"),
        services=(_web("attic", 8080),),
    ),
    Node(
        "nas",
        (_interface("eth0", "home", "192.168.1.30/24"),),
        gateway=_LAN_GATEWAY,
        services=(_web("nas", 80),),
    ),
    Node(
        "operator",
        (_interface("eth0", "home", "192.168.1.50/24"),),
        gateway=_LAN_GATEWAY,
    ),
)
