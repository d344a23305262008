"""Each wrong value is refused by one message, and its right neighbour is taken.

A message must let a user mend the file without reading this code: it names the field as it stands
in the file, the value, what is allowed and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from settings import SettingsError, load, shown
from tests.settings.samples import (
    ABSENT,
    LOCKED_PEM_KEY,
    LOCKED_SSH_KEY,
    PEM_KEY,
    SSH_KEY,
    SSH_PUBLIC_KEY,
    ecdsa_host_key,
    errors,
    example,
    host_key,
    loaded,
    pem_of,
    public_key,
)


@dataclass(frozen=True)
class Case:
    """One wrong value, its right neighbour, and what the message says beside the field's name."""

    path: str
    bad: object
    good: object
    says: tuple[str, ...]
    beside: Mapping[str, Any] = field(default_factory=dict)
    agent: bool = False
    at: str = ""
    """The field that is named where it is another one: of two that collide, the later."""

    def __str__(self) -> str:
        return f"{self.path}: {'absent' if self.bad is ABSENT else shown(self.bad)}"


CIDR = ("Allowed: a network inside 10.0.0.0/8", "other people's hosts")
ADDRESS = ("Allowed: a free address from 172.16.0.1 to 172.16.0.254", "fixed address")
PORT = ("Allowed: a whole number from 1 to 65535", "no other ports")
PORTS = ("Allowed: a port from 1 to 65535, or a range", "no other ports")
GENERATION = ("Allowed: a whole number from 1 to 1000000", "leads both ends")
MTU = ("Allowed: a whole number of bytes from 576 to 1440", "in one piece")
KEEPALIVE = ("Allowed: a whole number of seconds from 0 (off) to 65535", "mappings of carriers")
INTERFACE = ("Allowed: a lower-case letter, then up to 14", "15 characters")
NAME = ("Allowed: a lower-case letter, then up to 30", "file names and firewall comments")
THROUGH = {"through": "vps"}
HOST = ("Allowed: a host name such as vps.example.org", "SSH connection")
WAYS = (*HOST, "a list of such ways, 8 at most and each once")
USER = ("Allowed: a letter or underscore", "log in as")
HOST_KEY = ("ssh-keyscan -t ed25519 HOST", "compare", "answer in the host's place")
ENDPOINT = ("Allowed: a host name such as vps.example.org, or an IPv4", "visitors use it")
PUBLIC_INTERFACE = ("Allowed: the name of a network interface", "visitors come in by it")
METRICS = ("Allowed: the absolute path of a folder", "node_exporter reads it")
PUBLIC_KEY = ("Allowed: a WireGuard public key, 44 characters", "knows the peer")
SSH_PRIVATE_KEY = ("pulumi config set --secret sshPrivateKey", "SSH agent", "logs in on the hosts")
TARGET = ('such as "homelab:8080"', "the forward leads there")
SOURCES = ("Allowed: a list of 1 to 256 networks or addresses", "visitors from there")
IPV6 = ("Allowed: a /64 inside fd00::/8", "random digits")
ADDRESS6 = ("Allowed: an address of network.ipv6", "with the same number")
NO_IPV6 = ("Allowed: IPv6 beside network.ipv6", "no visitor of IPv6")
MTU6 = ("Allowed: 1280 or more", "every line of IPv6")
BEHIND = ("Allowed: a list of up to 256 networks inside 10.0.0.0/8", "by this server alone")
LAN_TARGET = ("Allowed: a host in the networks of a server: ", "through the server whose networks")
NEW = (
    "Allowed: a whole number from 1 to 10000",
    "`enabled: false`",
    "beyond what a small VPS carries",
)
CONCURRENT = (
    "Allowed: a whole number from 1 to 65535",
    "`enabled: false`",
    "no more ports to come from",
)
COMMENT = ("Allowed: one line of 1 to 120 printable characters", "`pulumi preview`")
ALLOW_FROM = ("Allowed: a list of names of servers and clients", "these may reach it")
ALLOW_TO = ("Allowed: the name of a server or a client, or vps", "what they may reach")
PEERS = "homelab, attic, cabin, laptop, phone"
UNKNOWN = ("is not a setting", "silently be left out")
TAKEN = ("Allowed: a port that no other forward uses", "leads to one place")

# The curve in the second field of a key of nistp256, in base64.
AS_NISTP384 = ("bmlzdHAyNTYAAABB", "bmlzdHAzODQAAABB")

SERVER = {"address": "172.16.0.20"}
WITH_IPV6 = {"network.ipv6": "fd5c:91e2:7a3b::/64"}
LAN = {"servers.homelab.networks": ["192.168.1.0/24"]}
TO_ONE_TARGET = {
    **LAN,
    "forwards.http.to": "192.168.1.30:80",
    "forwards.https.to": "192.168.1.30:80",
}
DENY = {"vps.firewall": "defaultDeny"}
MOUNT = {"from": ["laptop"], "to": "homelab", "protocol": "tcp", "port": 445}
ALLOWED = {**DENY, **{f"vps.allow.mount.{key}": value for key, value in MOUNT.items()}}

CASES = [
    # unknown keys
    Case("ports", {}, ABSENT, ('"ports"', "Allowed: network, vps, servers, clients", *UNKNOWN)),
    Case("network.listenport", 51821, ABSENT, ("(perhaps listenPort)", *UNKNOWN)),
    Case("network.listen_port", 51821, ABSENT, ("(perhaps listenPort)", *UNKNOWN)),
    Case("vps.ssh.hostkey", "", ABSENT, ("(perhaps hostKey)", *UNKNOWN)),
    Case("servers.attic.adress", "172.16.0.6", ABSENT, ("(perhaps address)", *UNKNOWN)),
    Case(
        "clients.laptop.ssh", {}, ABSENT, ('"ssh"', "Allowed: address, ipv6, publicKey", *UNKNOWN)
    ),
    Case("forwards.http.ports", 80, ABSENT, ("(perhaps port)", *UNKNOWN)),
    Case("forwards.http.prot", "udp", ABSENT, ("(perhaps protocol)", *UNKNOWN)),
    Case("forwards.http.prt", 80, ABSENT, ("(perhaps port)", *UNKNOWN)),
    # sections
    Case(
        "network", 5, {}, ("5 is not allowed", "a mapping of cidr, ipv6, listenPort", "of its own")
    ),
    Case(
        "vps",
        ABSENT,
        {"ssh": {"host": "203.0.113.10", "hostKey": host_key(1)}},
        (
            "is missing; it takes at least ssh.host and ssh.hostKey, as in stacks/Pulumi.example",
            "a mapping of address, ipv6, endpoint",
            "of its own",
        ),
    ),
    Case(
        "vps.ssh",
        ABSENT,
        {"host": "203.0.113.10", "hostKey": host_key(1)},
        ("at least host and hostKey", "a mapping of host, port, user, hostKey", "of its own"),
    ),
    Case("clients", ["laptop"], {}, ("a list is not allowed", "names to entries", "by its name")),
    Case("clients", "laptop", "{}", ('"laptop" is not allowed', "names to entries", "by its name")),
    Case("servers.cabin", None, SERVER, ("nothing is not allowed", "a mapping of address")),
    Case("lookUp", "maybe", "false", ('"maybe"', "Allowed: true or false", "on or off")),
    Case(
        "lookUp",
        bad=1,
        good=False,
        says=("1 is not allowed", "Allowed: true or false", "on or off"),
    ),
    # network
    Case("network.cidr", "8.8.8.0/24", "172.16.0.0/16", ('"8.8.8.0/24" is not private', *CIDR)),
    Case("network.cidr", "100.64.0.0/10", "172.16.0.0/16", ("carriers use", *CIDR)),
    Case("network.cidr", "172.16.0.5/24", "172.16.0.0/24", ("its network is 172.16.0.0/24", *CIDR)),
    Case("network.cidr", "172.16.0.0/33", "172.16.0.0/24", ("is no network", *CIDR)),
    Case("network.cidr", "172.16.0.0", "172.16.0.0/24", ("is not allowed", *CIDR)),
    Case("network.cidr", "172.16.0.0/255.255.255.0", "172.16.0.0/24", ("is not allowed", *CIDR)),
    Case("network.cidr", "fd00::/64", "172.16.0.0/24", ('"fd00::/64" is not allowed', *CIDR)),
    Case("network.cidr", 172, "172.16.0.0/24", ("172 is not allowed", *CIDR)),
    Case(
        "network.cidr",
        "172.16.0.0/31",
        "172.16.0.0/30",
        ("no room for two hosts", *CIDR),
        beside={"servers": {}, "clients": {}, "forwards": {}},
    ),
    Case("network.listenPort", 0, 1, ("0 is not allowed", *PORT)),
    Case("network.listenPort", 65536, 65535, ("65536 is not allowed", *PORT)),
    Case("network.listenPort", bad=True, good=51820, says=("true is not allowed", *PORT)),
    Case("network.listenPort", "51820", 51820, ('"51820" is not allowed', *PORT)),
    Case("network.ipv6", "2001:db8::/64", "fd00::/64", ("is not unique local", *IPV6)),
    Case("network.ipv6", "fc00::/64", "fd00::/64", ("is not unique local", *IPV6)),
    Case("network.ipv6", "fd00::/48", "fd00::/64", ("is not a /64", *IPV6)),
    Case("network.ipv6", "fd00::/96", "fd00::/64", ("is not a /64", *IPV6)),
    Case("network.ipv6", "fd00::1/64", "fd00::/64", ("its network is fd00::/64", *IPV6)),
    Case("network.ipv6", "fd00::/129", "fd00::/64", ("is no network", *IPV6)),
    Case("network.ipv6", "172.16.0.0/24", "FD00::/64", ("is not allowed", *IPV6)),
    Case("network.ipv6", bad=True, good="fd00:0:0:0::/64", says=("true is not allowed", *IPV6)),
    Case(
        "servers.homelab.ipv6",
        "fd5c:91e2:7a3c::4",
        "fd5c:91e2:7a3b::40",
        ("is not a host's in fd5c:91e2:7a3b::/64", *ADDRESS6),
        WITH_IPV6,
    ),
    Case(
        "vps.ipv6",
        "fd5c:91e2:7a3b::",
        "fd5c:91e2:7a3b::ffff",
        ("is not a host's in", *ADDRESS6),
        WITH_IPV6,
    ),
    Case(
        "clients.laptop.ipv6",
        "fd5c:91e2:7a3b::4/64",
        "fd5c:91e2:7a3b::14",
        ("has a prefix", *ADDRESS6),
        WITH_IPV6,
    ),
    Case(
        "clients.laptop.ipv6",
        "fe80::1%eth0",
        "fd5c:91e2:7a3b::14",
        ("has a zone", *ADDRESS6),
        WITH_IPV6,
    ),
    Case(
        "clients.laptop.ipv6", 4, "fd5c:91e2:7a3b::14", ("4 is not allowed", *ADDRESS6), WITH_IPV6
    ),
    Case(
        "clients.laptop.ipv6",
        "fd5c:91e2:7a3b::4",
        "fd5c:91e2:7a3b::a",
        ("is taken by servers.homelab", "each other's packets"),
        WITH_IPV6,
    ),
    Case(
        "clients.laptop.ipv6",
        "fd5c:91e2:7a3b::77",
        "fd5c:91e2:7a3b::78",
        ("is taken by servers.attic", "each other's packets"),
        {**WITH_IPV6, "servers.attic.ipv6": "fd5c:91e2:7a3b::77"},
    ),
    Case(
        "servers.attic.ipv6",
        "fd5c:91e2:7a3b::77",
        ABSENT,
        ("is given without network.ipv6", *NO_IPV6),
    ),
    Case("forwards.http.from", ["2001:db8::/32"], ["10.0.0.0/8"], ("the tunnel has not", *NO_IPV6)),
    Case("network.mtu", 1279, 1280, ("1279 is too small", *MTU6), WITH_IPV6),
    Case("servers.attic.mtu", 1279, 1280, ("1279 is too small", *MTU6), WITH_IPV6),
    Case(
        "servers.homelab.ssh.host",
        "fd5c:91e2:7a3b::4",
        "fd5c:91e2:7a3c::4",
        ("is inside the tunnel's network fd5c:91e2:7a3b::/64", "network.ipv6", "not to the LAN"),
        WITH_IPV6,
    ),
    Case("network.mtu", 575, 576, ("575 is not allowed", *MTU)),
    Case("network.mtu", 1441, 1440, ("1441 is not allowed", *MTU)),
    Case("network.mtu", 1420.0, 1420, ("1420.0 is not allowed", *MTU)),
    Case("network.mtu", float("nan"), 1420, ("nan is not allowed", *MTU)),
    Case("network.keepalive", -1, 0, ("-1 is not allowed", *KEEPALIVE)),
    Case("network.keepalive", 65536, 65535, ("65536 is not allowed", *KEEPALIVE)),
    Case("network.keepalive", 10**5000, 25, ("a huge number is not allowed", *KEEPALIVE)),
    Case(
        "network.interface",
        "a234567890123456",
        "a23456789012345",
        ('"a234567890123456" is not allowed', *INTERFACE),
    ),
    Case("network.interface", "Wg0", "wg0", ('"Wg0"', *INTERFACE)),
    Case("network.interface", "", "w", ('""', *INTERFACE)),
    Case("network.interface", "wg+", "wg-1", ('"wg+"', *INTERFACE)),
    Case("network.interface", "wg0\n", "wg0", (r'"wg0\n"', *INTERFACE)),
    Case(
        "network.interface", "all", "all0", ('"all" is not', "; not all, default, lo", *INTERFACE)
    ),
    Case("network.interface", "default", "defaults", ("; not all, default, lo", *INTERFACE)),
    Case("network.interface", "lo", "lo0", ('"lo" is not', "; not all, default, lo", *INTERFACE)),
    Case(
        "network.interface",
        "ens6",
        "wg0",
        ('"ens6" is vps.publicInterface', "another name, such as wg0.", "one of its own"),
        beside={"vps.publicInterface": "ens6"},
    ),
    # names
    Case("servers.Attic", SERVER, ABSENT, ('"Attic" is not a name', *NAME)),
    Case("servers.vps", SERVER, ABSENT, ('"vps" is reserved', *NAME)),
    Case("clients.vps", SERVER, ABSENT, ('"vps" is reserved', *NAME)),
    Case(
        "clients.attic",
        SERVER,
        ABSENT,
        ("is the name of a server, too", "Allowed: a name that no server has", "peers of one VPS"),
    ),
    Case(
        "forwards.a2345678901234567890123456789012",
        {"port": 25, "to": "attic"},
        ABSENT,
        ("is not a name", *NAME),
    ),
    Case("forwards.a-b_c", {"port": 25, "to": "attic"}, ABSENT, ('"a-b_c" is not a name', *NAME)),
    # addresses
    Case(
        "servers.attic.address",
        "172.16.1.4",
        "172.16.0.254",
        ('"172.16.1.4" is not in the network 172.16.0.0/24', *ADDRESS),
    ),
    Case(
        "servers.attic.address",
        "172.16.0.0",
        "172.16.0.2",
        ('"172.16.0.0" is the address of the network', *ADDRESS),
    ),
    Case(
        "servers.attic.address",
        "172.16.0.255",
        "172.16.0.254",
        ("is the broadcast address", *ADDRESS),
    ),
    Case(
        "servers.attic.address",
        "172.16.0.4",
        "172.16.0.5",
        ("is taken by servers.homelab", "Allowed: a free address of 172.16.0.0/24", "packets"),
    ),
    Case(
        "clients.laptop.address",
        "172.16.0.4",
        "172.16.0.5",
        ("is taken by servers.homelab", "Allowed: a free address", "packets"),
    ),
    Case(
        "clients.laptop.address",
        "172.16.0.1",
        "172.16.0.2",
        ("is taken by vps", "Allowed: a free address", "packets"),
    ),
    Case(
        "clients.laptop.address",
        "172.16.0.1",
        "172.16.0.2",
        ("is taken by vps (the network's first host)", "Allowed: a free address", "packets"),
        beside={"vps.address": ABSENT},
    ),
    Case(
        "clients.laptop.address",
        ABSENT,
        "172.16.0.2",
        ("is missing", "Allowed: an IPv4 address of the tunnel's network", "never moves"),
    ),
    Case(
        "clients.laptop.address",
        "172.16.0.10/24",
        "172.16.0.10",
        ("has a prefix; leave it out", "Allowed: an IPv4 address", "fixed address"),
    ),
    Case(
        "clients.laptop.address",
        "fd00::1",
        "172.16.0.10",
        ('"fd00::1" is not allowed', "Allowed: an IPv4 address", "fixed address"),
    ),
    Case(
        "clients.laptop.address",
        2886729738,
        "172.16.0.10",
        ("2886729738 is not allowed", "Allowed: an IPv4 address", "fixed address"),
    ),
    Case("vps.address", "172.16.1.1", "172.16.0.9", ("is not in the network", *ADDRESS)),
    Case("vps.address", None, "172.16.0.9", ("nothing is not allowed", "forgotten")),
    # where hosts are reached
    Case(
        "servers.attic.ssh.host",
        "172.16.0.21",
        "172.17.0.21",
        ("inside the tunnel's network 172.16.0.0/24", "or another network.cidr", "not to the LAN"),
    ),
    Case(
        "vps.ssh.host",
        "172.16.0.21",
        "203.0.113.10",
        ("inside the tunnel's network 172.16.0.0/24", "or another network.cidr", "not to the LAN"),
    ),
    Case(
        "vps.endpoint",
        "172.16.0.21",
        "203.0.113.10",
        ("inside the tunnel's network", "Allowed: an address outside", "through itself"),
    ),
    Case("vps.endpoint", "2001:db8::1", "203.0.113.10", ("is an IPv6 address", *ENDPOINT)),
    Case(
        "vps.endpoint",
        ABSENT,
        "203.0.113.10",
        ("is missing, and ssh.host, 2001:db8::1, is an IPv6 address", *ENDPOINT),
        beside={"vps.ssh.host": "2001:db8::1"},
    ),
    Case(
        "vps.endpoint",
        ABSENT,
        "203.0.113.10",
        ("is missing, and ssh.host, 127.0.0.1, cannot be dialled from elsewhere", *ENDPOINT),
        beside={"vps.ssh.host": "127.0.0.1"},
    ),
    Case(
        "vps.endpoint",
        ABSENT,
        "vps.example.org",
        ("is missing, and ssh.host, localhost, cannot be dialled from elsewhere", *ENDPOINT),
        beside={"vps.ssh.host": ["localhost", "203.0.113.10"]},
    ),
    *(
        Case("vps.endpoint", wrong, right, ("cannot be dialled from elsewhere", *ENDPOINT))
        for wrong, right in {
            "127.0.0.1": "10.0.0.1",
            "0.1.2.3": "1.2.3.4",
            "169.254.9.9": "169.253.9.9",
            "224.0.0.1": "223.0.0.1",
            "255.255.255.255": "192.0.2.255",
            "localhost": "local.host",
            "vps.LOCALHOST": "localhost.example.org",
        }.items()
    ),
    Case("vps.endpoint", "vps.example.org:51820", "vps.example.org", ("has a port", *ENDPOINT)),
    Case("vps.endpoint", "vps.example.org;reboot", "vps", ("is not allowed", *ENDPOINT)),
    Case("vps.ssh.host", "root@203.0.113.10", "203.0.113.10", ("names a user", *HOST)),
    Case("vps.ssh.host", "203.0.113.10:22", "203.0.113.10", ("has a port", *HOST)),
    Case("vps.ssh.host", "203.0.113.256", "203.0.113.255", ("looks like an IP address", *HOST)),
    Case("vps.ssh.host", "$(reboot)", "2001:db8::1", ('"$(reboot)" is not allowed', *HOST)),
    Case("vps.ssh.host", "fe80::1%eth0", "fe80::1", ("is not allowed", *HOST)),
    Case("vps.ssh.host", "-oProxyCommand=x", "o-proxy", ("is not allowed", *HOST)),
    Case("vps.ssh.host", "a b", "a.b", ('"a b" is not allowed', *HOST)),
    Case("vps.ssh.host", "h\u00f6me.example", "xn--hme-sna.example", ("is not allowed", *HOST)),
    Case("vps.ssh.host", 203, "vps", ("203 is not allowed", *HOST)),
    Case("vps.ssh.host", ABSENT, "vps", ("is missing", *HOST)),
    Case("vps.ssh.host", "a" * 64, "a" * 63, ("is not allowed", *HOST)),
    # several ways in
    Case("servers.attic.ssh.host", [], ["attic.lan", THROUGH], ("the list is empty", *HOST)),
    Case("servers.attic.ssh.host", ["a b"], [THROUGH], ('"a b" is not allowed', *HOST)),
    Case("servers.attic.ssh.host", [["a"]], ["a", "b"], ("a list is not allowed", *HOST)),
    Case("servers.attic.ssh.host", ["a", None], ["a"], ("nothing is not allowed", *HOST)),
    Case("servers.attic.ssh.host", ["a"] * 2, ["a", "b"], ("a is listed twice", *WAYS)),
    Case("servers.attic.ssh.host", [THROUGH] * 2, THROUGH, ("vps} is listed twice", *HOST)),
    Case("servers.attic.ssh.host", list("abcdefghi"), list("abcdefgh"), ("9 entries", *WAYS)),
    Case("servers.attic.ssh.host", {"through": "homelab"}, THROUGH, ("a mapping is only", *HOST)),
    Case("servers.attic.ssh.host", {**THROUGH, "port": 1}, THROUGH, ("a mapping is only", *HOST)),
    Case(
        "vps.ssh.host",
        ["203.0.113.10", THROUGH],
        ["203.0.113.10", "vps.example.org"],
        ("leads through the VPS itself", "or a list of these", "servers that are behind the VPS"),
    ),
    Case(
        "servers.attic.ssh.host",
        ["192.168.1.21", "172.16.0.6"],
        ["192.168.1.21", THROUGH],
        ("is inside the tunnel's network 172.16.0.0/24", "written as {through: vps}", "LAN"),
    ),
    Case("vps.ssh.port", 0, 2222, ("0 is not allowed", *PORT)),
    Case("vps.ssh.user", "ro ot", "_root.9-x", ('"ro ot" is not allowed', *USER)),
    Case("vps.ssh.user", "root;x", "root", ('"root;x" is not allowed', *USER)),
    Case("vps.ssh.user", "", "r", ('"" is not allowed', *USER)),
    *(
        Case("vps.metrics", bad, "/var/lib/node_exporter", (said, *METRICS))
        for bad, said in (
            ("metrics", '"metrics" is not such a path'),
            ("/", '"/" is not such a path'),
            ("/var/../etc", "is not such a path"),
            ("/var/lib/x;reboot", "is not such a path"),
            ("/var/lib//", "is not such a path"),
            ("/var//lib", "is not such a path"),
            (1, "1 is not allowed"),
        )
    ),
    *(
        Case(f"{peer}.presharedKey", "yes", good=True, says=('"yes" is not', "true or false"))
        for peer in ("servers.attic", "clients.phone")
    ),
    *(
        Case(f"{place}.keyGeneration", bad, 2, (f"{shown(bad)} is not allowed", *GENERATION))
        for place in ("network", "vps", "servers.attic", "clients.laptop")
        for bad in (0, -1, 1_000_001, 1.5, "2", True)
    ),
    *(
        Case(
            f"{place}.keyGeneration",
            2,
            1,
            ("2 is not allowed", "on the device (`(umask 077; wg genkey | tee", "never leaves"),
            beside={f"{place}.publicKey": public_key(9)},
        )
        for place in ("servers.cabin", "clients.laptop")
    ),
    Case("vps.publicInterface", "ens+", "eth0.100", ('"ens+" is not allowed', *PUBLIC_INTERFACE)),
    Case("vps.publicInterface", "lo", "lo0", ('"lo" is not', "; not lo", *PUBLIC_INTERFACE)),
    Case("vps.publicInterface", "-o", "o", ('"-o" is not allowed', *PUBLIC_INTERFACE)),
    Case("vps.packages", "apt", "manual", ('"apt"', 'Allowed: "install" or "manual"', "or you do")),
    # host keys
    Case("vps.ssh.hostKey", ABSENT, host_key(9), ("is missing", *HOST_KEY)),
    Case("vps.ssh.hostKey", "", host_key(9), ('"" is not allowed', *HOST_KEY)),
    Case(
        "vps.ssh.hostKey",
        f"203.0.113.10 {host_key(9)}",
        f"{host_key(9)} root@vps",
        ("begins with the host's name", *HOST_KEY),
    ),
    Case("vps.ssh.hostKey", host_key(9)[:-4], host_key(9), ("is not complete", *HOST_KEY)),
    Case("vps.ssh.hostKey", "ssh-ed25519", host_key(9), ("is not complete", *HOST_KEY)),
    Case(
        "vps.ssh.hostKey",
        host_key(9).replace("ed25519", "rsa"),
        host_key(9),
        ("does not begin with one of ssh-ed25519", *HOST_KEY),
    ),
    Case("vps.ssh.hostKey", "ssh-dss AAAA", host_key(9), ("does not begin with", *HOST_KEY)),
    Case("vps.ssh.hostKey", "ssh-ed25519 AAAA...", host_key(9), ("is not complete", *HOST_KEY)),
    *(
        Case("vps.ssh.hostKey", bad, ecdsa_host_key(curve), ("or mistyped", *HOST_KEY))
        for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
        for bad in (
            ecdsa_host_key(curve)[:-8] + "AAAA" + ecdsa_host_key(curve)[-4:],
            ecdsa_host_key(curve)[:-8] + "...." + ecdsa_host_key(curve)[-8:],
        )
    ),
    Case(
        "vps.ssh.hostKey",
        ecdsa_host_key(ec.SECP256R1()).replace(*AS_NISTP384),
        ecdsa_host_key(ec.SECP384R1()),
        ("or mistyped", *HOST_KEY),
    ),
    Case("vps.ssh.hostKey", "SHA256:abc", host_key(9), ("does not begin with", *HOST_KEY)),
    Case(
        "vps.ssh.hostKey",
        f"{host_key(9)}\n{host_key(8)}",
        f"{host_key(9)}\n",
        ("is not allowed", *HOST_KEY),
    ),
    Case(
        "servers.attic.ssh.hostKey",
        host_key(2),
        host_key(9),
        ("is the key of servers.homelab", "cloned machine", "identifies the machine"),
    ),
    # public keys
    Case(
        "clients.phone.publicKey",
        public_key(9)[:-1],
        public_key(9),
        ('"CQkJ..." (43 characters) is not a public key', *PUBLIC_KEY),
    ),
    Case("clients.phone.publicKey", "A" * 40, public_key(9), ("(40 characters)", *PUBLIC_KEY)),
    Case(
        "clients.phone.publicKey",
        "A" * 42 + "B=",
        public_key(9),
        ("(44 characters) is not", *PUBLIC_KEY),
    ),
    Case(
        "clients.phone.publicKey",
        public_key(0),
        public_key(9),
        ("the key of zeros is no key", *PUBLIC_KEY),
    ),
    Case("clients.phone.publicKey", 7, public_key(9), ("7 is not allowed", *PUBLIC_KEY)),
    Case(
        "clients.laptop.publicKey",
        public_key(4),
        public_key(9),
        ("is the key of clients.laptop", "Allowed: a key pair for each", "keeps the last one"),
        at="clients.phone.publicKey",
    ),
    Case(
        "servers.attic.publicKey",
        public_key(9),
        ABSENT,
        ("is given beside ssh", "Allowed: either ssh or publicKey", "is given its key pair"),
    ),
    # the way in
    Case("sshPrivateKey", ABSENT, SSH_KEY, ("is missing, and no SSH agent", *SSH_PRIVATE_KEY)),
    Case("sshPrivateKey", "secret", PEM_KEY, ("is not a private key", *SSH_PRIVATE_KEY)),
    Case("sshPrivateKey", "", SSH_KEY, ("is not a private key", *SSH_PRIVATE_KEY), agent=True),
    Case("sshPrivateKey", 5, SSH_KEY, ("is not a private key", *SSH_PRIVATE_KEY)),
    Case("sshPrivateKey", SSH_PUBLIC_KEY, SSH_KEY, ("the public half", *SSH_PRIVATE_KEY)),
    Case("sshPrivateKey", LOCKED_SSH_KEY, SSH_KEY, ("by a passphrase", *SSH_PRIVATE_KEY)),
    Case("sshPrivateKey", LOCKED_PEM_KEY, PEM_KEY, ("by a passphrase", *SSH_PRIVATE_KEY)),
    Case(
        "sshPrivateKey",
        SSH_KEY.replace("b3BlbnNz", "b3BlbnNy"),
        SSH_KEY.replace("\n", "\r\n"),
        ("is damaged", *SSH_PRIVATE_KEY),
    ),
    Case(
        "sshPrivateKey",
        "PuTTY-User-Key-File-3: ssh-ed25519",
        SSH_KEY.strip(),
        ("puttygen KEY.ppk", *SSH_PRIVATE_KEY),
    ),
    *(
        Case("sshPrivateKey", pem_of(bad), pem_of(good), ("no sshd takes", *SSH_PRIVATE_KEY))
        for bad, good in (
            (X25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)),
            (Ed448PrivateKey.generate(), ec.derive_private_key(9, ec.SECP256R1())),
            (
                ec.derive_private_key(9, ec.BrainpoolP256R1()),
                ec.derive_private_key(9, ec.SECP384R1()),
            ),
            (ec.derive_private_key(9, ec.SECP256K1()), ec.derive_private_key(9, ec.SECP521R1())),
        )
    ),
    # forwards by themselves
    Case("forwards.http.port", 0, 1, ("0 is not allowed", *PORTS)),
    Case("forwards.http.port", 65536, 65535, ("65536 is not allowed", *PORTS)),
    Case("forwards.http.port", "0", "80", ('"0" is not allowed', *PORTS)),
    Case(
        "forwards.http.port",
        "90-80",
        "80-90",
        ('"90-80" runs backwards', *PORTS),
        beside={"forwards.http.to": "homelab"},
    ),
    Case(
        "forwards.http.port",
        "80:90",
        "80-90",
        ('"80:90" is not allowed', *PORTS),
        beside={"forwards.http.to": "homelab"},
    ),
    Case(
        "forwards.http.port",
        "65000-65536",
        "65000-65535",
        ('"65000-65536"', *PORTS),
        beside={"forwards.http.to": "homelab"},
    ),
    Case("forwards.http.port", "\u0668\u0660", "80", ("is not allowed", *PORTS)),
    Case("forwards.http.port", [80], 80, ("a list is not allowed", *PORTS)),
    Case("forwards.http.port", ABSENT, 80, ("is missing", *PORTS)),
    Case(
        "forwards.http.protocol",
        "icmp",
        "udp",
        ('"icmp"', 'Allowed: "tcp", "udp" or "tcp+udp"', "have ports"),
    ),
    Case("forwards.http.protocol", "TCP", "tcp", ('"TCP"', 'Allowed: "tcp", "udp" or "tcp+udp"')),
    Case("forwards.http.protocol", "udp+tcp", "tcp+udp", ('"udp+tcp"', 'or "tcp+udp"')),
    Case("forwards.http.to", ABSENT, "attic", ("is missing", *TARGET)),
    Case("forwards.http.to", "homelab:", "homelab", ("does not end in a port", *TARGET)),
    Case("forwards.http.to", "homelab:0", "homelab:1", ("does not end in a port", *TARGET)),
    Case("forwards.http.to", ":8080", "attic:8080", ("does not begin with a server", *TARGET)),
    Case(
        "forwards.http.to",
        "homelab:80 -j ACCEPT",
        "homelab:80",
        ("does not end in a port", *TARGET),
    ),
    Case("forwards.http.to", 8080, "homelab:8080", ("8080 is not allowed", *TARGET)),
    Case("forwards.http.to", "homelab:81-80", "homelab:80", ("does not end in a port", *TARGET)),
    Case(
        "forwards.http.to", "homelab:80-65536", "homelab:80-80", ("does not end in a port", *TARGET)
    ),
    Case(
        "forwards.http.to",
        "192.168.1.256:80",
        "192.168.1.255:80",
        ("does not begin with a server's name or an IPv4 address", *TARGET),
        beside={"servers.homelab.networks": ["192.168.0.0/22"]},
    ),
    Case(
        "forwards.http.to",
        "192.168.01.30",
        "192.168.1.30",
        ("does not begin with a server's name or an IPv4 address", *TARGET),
        beside=LAN,
    ),
    Case("forwards.http.enabled", bad="no", good=False, says=('"no"', "Allowed: true or false")),
    Case("forwards.http.enabled", bad=0, good=True, says=("0 is", "Allowed: true or false")),
    Case("forwards.http.from", [], ["203.0.113.7"], ("would let nobody in", *SOURCES)),
    Case("forwards.http.from", "203.0.113.0/24", ["203.0.113.0/24"], ("is not a list", *SOURCES)),
    Case(
        "forwards.http.from",
        ["203.0.113.7/24"],
        ["203.0.113.0/24"],
        ("names a host; its network is 203.0.113.0/24", *SOURCES),
    ),
    Case("forwards.http.from", ["203.0.113.0/33"], ["203.0.113.0/32"], ("is no network", *SOURCES)),
    Case("forwards.http.from", ["203.0.113.256"], ["203.0.113.255"], ("is no network", *SOURCES)),
    Case(
        "forwards.http.from", ["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], ("everybody", *SOURCES)
    ),
    Case("forwards.http.from", ["2001:db8::/129"], ["10.0.0.0/8"], ("is no network", *SOURCES)),
    Case("forwards.http.from", ["::/0"], ["10.0.0.0/8"], ("is everybody", *SOURCES)),
    Case(
        "forwards.http.from",
        ["2001:db8::1/32"],
        ["2001:DB8::/32", "2001:db8::1"],
        ("its network is 2001:db8::/32", *SOURCES),
        WITH_IPV6,
    ),
    Case("forwards.http.from", ["::ffff:1.2.3.4"], ["1.2.3.4"], ("is not allowed", *SOURCES)),
    Case("forwards.http.from", ["::ffff:102:304"], ["1.2.3.4"], ("in disguise", *SOURCES)),
    Case("forwards.http.from", ["fe80::1%eth0"], ["10.0.0.0/8"], ("is not allowed", *SOURCES)),
    Case("forwards.http.from", ["203.0.113.7 -j"], ["203.0.113.7"], ("is not allowed", *SOURCES)),
    Case("forwards.http.from", [203], ["203.0.113.7"], ("203 is not allowed", *SOURCES)),
    Case(
        "forwards.http.from",
        [f"10.0.{host // 256}.{host % 256}" for host in range(257)],
        [f"10.0.{host // 256}.{host % 256}" for host in range(256)],
        ("the list has 257 entries", *SOURCES),
    ),
    Case("forwards.http.limit", {}, {"concurrent": 1}, ("is empty", "limits nothing")),
    Case("forwards.http.limit", 5, {"newPerSecond": 5}, ("a mapping of newPerSecond, concurrent",)),
    Case("forwards.http.limit.newPerSecond", 0, 1, ("0 is not allowed", *NEW)),
    Case("forwards.http.limit.newPerSecond", 10001, 10000, ("10001 is not allowed", *NEW)),
    Case("forwards.http.limit.concurrent", 0, 1, ("0 is not allowed", *CONCURRENT)),
    Case("forwards.http.limit.concurrent", 65536, 65535, ("65536 is not", *CONCURRENT)),
    Case(
        "forwards.http.limit.perSecond",
        5,
        ABSENT,
        ("(perhaps newPerSecond)", *UNKNOWN),
        beside={"forwards.http.limit.concurrent": 5},
    ),
    Case(
        "forwards.http.sourceAddress",
        "server",
        "tunnel",
        ('"server"', 'Allowed: "client" or "tunnel"', "the visitor's address or the tunnel's"),
    ),
    Case("forwards.http.comment", "a" * 121, "a" * 120, ("has 121 characters", *COMMENT)),
    Case("forwards.http.comment", "two\nlines", "one line", ("more than one line", *COMMENT)),
    Case("forwards.http.comment", "\u202etxet", "für die Töchter", ("can't be seen", *COMMENT)),
    Case("forwards.http.comment", "  ", ' $(reboot); "x" ', ("is empty", *COMMENT)),
    Case("forwards.http.comment", 5, "5", ("5 is not allowed", *COMMENT)),
    # forwards beside others
    Case(
        "forwards.http.to",
        "homelb:80",
        "homelab:80",
        ('"homelb:80" names no server (perhaps homelab)', "homelab, attic, cabin", "this stack"),
    ),
    Case(
        "forwards.http.to",
        "laptop:80",
        "cabin:80",
        ("names a client", "homelab, attic, cabin", "this stack"),
    ),
    Case(
        "forwards.game.to",
        "homelab:27000",
        "homelab",
        (
            "has one port for the 38 ports of 27000-27037",
            'Allowed: "homelab" for the same as outside, or a range of 38 behind the colon',
            "each port outside leads to one inside",
        ),
    ),
    Case(
        "forwards.game.to",
        "homelab:28000-28036",
        "homelab:28000-28037",
        ("has 37 ports for the 38 ports of 27000-27037", "or a range of 38", "leads to one inside"),
    ),
    Case(
        "forwards.http.to",
        "homelab:8080-8081",
        "homelab:8080-8080",
        ("has 2 ports for the one port of 80", "or one port behind the colon", "one inside"),
    ),
    Case(
        "forwards.http.to",
        "192.168.2.30:80",
        "192.168.1.30:80",
        ("is in the networks of no server", *LAN_TARGET, "192.168.1.0/24 (homelab)"),
        beside=LAN,
    ),
    Case(
        "forwards.http.to",
        "192.168.1.30:80",
        "homelab:80",
        ("is in the networks of no server", *LAN_TARGET, "none yet; add some at a server"),
    ),
    Case(
        "forwards.http.to",
        "192.168.1.255",
        "192.168.1.254",
        ("is the network 192.168.1.0/24 itself, or all of its hosts", *LAN_TARGET),
        beside=LAN,
    ),
    Case(
        "forwards.http.to",
        "172.16.0.4:80",
        "192.168.1.4:80",
        ("is in the tunnel's network", "Allowed: the server's name", "in one place"),
        beside=LAN,
    ),
    Case(
        "forwards.http.to",
        "192.168.1.20:22",
        "192.168.1.21:22",  # another server, but for this one a host of its LAN
        (
            "is homelab itself (servers.homelab.ssh.host)",
            'Allowed: "homelab:22"',
            "sourceAddress would do nothing",
        ),
        beside=LAN,
    ),
    Case("forwards.http.to", "192.168.1.20", "homelab", ('Allowed: "homelab".',), beside=LAN),
    Case(
        "forwards.http.from",
        ["2001:db8:7::/48", "2001:db8:8::/48"],
        ["2001:db8:7::/48", "198.51.100.7"],
        (
            '"2001:db8:7::/48" is of IPv6, as all of the list is',
            "Allowed: networks of IPv4, too, or a server as the target",
            "nobody would get in",
        ),
        beside={**WITH_IPV6, **LAN, "forwards.http.to": "192.168.1.30:80"},
    ),
    Case(
        "forwards.https.sourceAddress",
        "tunnel",
        "client",
        (
            '"tunnel" differs from that of forwards.http, which leads to the same target',
            "Allowed: the same sourceAddress at both",
            "translates for both or none",
        ),
        beside=TO_ONE_TARGET,
    ),
    Case(
        "forwards.game.to",
        "192.168.1.30:60-97",
        "192.168.1.30:40-77",
        ('"tunnel" differs from that of forwards.game',),
        beside={
            **TO_ONE_TARGET,
            "forwards.http.protocol": "tcp+udp",
            "forwards.http.sourceAddress": "tunnel",
            "forwards.https.sourceAddress": "tunnel",
        },
        at="forwards.http.sourceAddress",
    ),
    # networks behind servers
    Case("servers.attic.networks", "10.1.0.0/16", ["10.1.0.0/16"], ("is not a list", *BEHIND)),
    Case(
        "servers.attic.networks",
        ["10.1.0.1/16"],
        ["10.1.0.1/32"],
        ("names a host; its network is 10.1.0.0/16", *BEHIND),
    ),
    Case("servers.attic.networks", ["8.8.8.0/24"], ["10.8.8.0/24"], ("is not private", *BEHIND)),
    Case("servers.attic.networks", ["100.64.0.0/24"], [], ("is not private", *BEHIND)),
    Case(
        "servers.cabin.forget",
        bad=True,
        good=False,
        says=(
            "is given without ssh",
            "Allowed: forget of a server with ssh",
            "nothing is ever done",
        ),
    ),
    Case(
        "servers.cabin.networks",
        ["10.1.0.0/16"],
        [],
        ("is given without ssh", "Allowed: networks of a server with ssh", "what Pulumi opens"),
    ),
    Case(
        "servers.attic.networks",
        ["172.16.0.128/25"],
        ["172.16.1.0/24"],
        ("overlaps the tunnel's network 172.16.0.0/24", "Allowed: networks outside", "its hosts'"),
    ),
    Case(
        "servers.attic.networks",
        ["192.168.1.30/32"],
        ["192.168.2.30/32"],
        (
            "overlaps 192.168.1.0/24 of servers.homelab",
            "Allowed: networks that no other entry has a part of",
            "each address by one server",
        ),
        beside=LAN,
    ),
    Case(
        "servers.attic.networks",
        ["10.0.0.0/8", "10.1.0.0/16"],
        ["10.0.0.0/16", "10.1.0.0/16"],
        ('"10.1.0.0/16" is a part of 10.0.0.0/8, beside it', "Allowed: each address once"),
    ),
    Case(
        "servers.attic.networks",
        ["10.1.0.0/16"],
        ["10.2.0.0/16"],
        ("holds 10.1.2.3, the VPS's address", "Allowed: networks without", "through itself"),
        beside={"vps.endpoint": "10.1.2.3"},
    ),
    Case(
        "servers.attic.networks",
        ["10.1.0.0/16"],
        ["10.2.0.0/16"],
        ("holds 10.1.2.3, the VPS's address", "Allowed: networks without", "through itself"),
        beside={"vps.ssh.host": ["203.0.113.10", "10.1.2.3"]},
    ),
    # ways out and packets of a peer
    Case(
        "servers.attic.egress",
        "vps",
        "tunnel",
        ('"vps"', 'Allowed: "own" or "tunnel"', "by its own line or as the VPS"),
    ),
    Case("clients.laptop.egress", bad=True, good="own", says=("true", '"own" or "tunnel"')),
    Case("servers.attic.mtu", 575, 576, ("575 is not allowed", *MTU)),
    Case("clients.laptop.mtu", "1280", 1280, ('"1280" is not allowed', *MTU)),
    Case(
        "servers.attic.mtu",
        1421,
        1420,
        ("1421 is more than network.mtu", "Allowed: 1420 (network.mtu) or less", "no larger"),
    ),
    # the firewall of the VPS
    Case(
        "vps.firewall",
        bad=True,
        good="defaultDeny",
        says=("true", 'Allowed: "none" or "defaultDeny"', "nothing allows"),
    ),
    Case(
        "vps.allow",
        {"mount": MOUNT},
        {},
        ("is given without a firewall", "Allowed: allow beside firewall: defaultDeny", "denied"),
    ),
    Case("vps.allow.Mount", MOUNT, ABSENT, ('"Mount" is not a name', *NAME), beside=ALLOWED),
    Case("vps.allow.mount.from", "laptop", ["laptop"], ("not a list", *ALLOW_FROM), beside=ALLOWED),
    Case("vps.allow.mount.from", [], ["phone"], ("allow nothing", *ALLOW_FROM), beside=ALLOWED),
    Case("vps.allow.mount.from", [[]], ["phone"], ("is not a name", *ALLOW_FROM), beside=ALLOWED),
    Case(
        "vps.allow.mount.from",
        ["vps"],
        ["attic"],
        ("the VPS itself, which reaches all its peers anyway", *ALLOW_FROM),
        beside=ALLOWED,
    ),
    Case(
        "vps.allow.mount.from",
        ["phone", "labtop"],
        ["phone", "laptop"],
        ('"labtop" names no peer (perhaps laptop)', f"servers and clients: {PEERS}", "may reach"),
        beside=ALLOWED,
    ),
    Case(
        "vps.allow.mount.to",
        "nas",
        "vps",
        ('"nas" names no peer', f"vps, or one of the servers and clients: {PEERS}", "may reach"),
        beside=ALLOWED,
    ),
    Case("vps.allow.mount.to", "10.0.0.1", "attic", ("is not a name", *ALLOW_TO), beside=ALLOWED),
    Case(
        "vps.allow.mount.to",
        "laptop",
        "phone",
        ("is in from, too", "Allowed: two that differ", "between a peer and itself"),
        beside=ALLOWED,
    ),
    Case(
        "vps.allow.all.port",
        445,
        ABSENT,
        ("is given without protocol", "Allowed: port beside protocol", "only tcp and udp"),
        beside={**ALLOWED, "vps.allow.all.from": ["laptop"], "vps.allow.all.to": "homelab"},
    ),
    Case("vps.allow.mount.port", 0, "445-446", ("0 is not allowed", *PORTS), beside=ALLOWED),
    Case(
        "forwards.http.port",
        22,
        23,
        ("22 is the VPS's own SSH port", "Allowed: any tcp port but 22", "lock you out"),
    ),
    Case(
        "forwards.http.port",
        "20-30",
        "23-30",
        ('"20-30" includes 22', "Allowed: any tcp port but 22", "lock you out"),
        beside={"forwards.http.to": "homelab"},
    ),
    Case(
        "forwards.http.port",
        2222,
        22,
        ("2222 is the VPS's own SSH port", "Allowed: any tcp port but 2222", "lock you out"),
        beside={"vps.ssh.port": 2222},
    ),
    Case(
        "forwards.game.port",
        51820,
        51821,
        ("51820 is the VPS's own WireGuard port", "Allowed: any udp port but 51820", "cut the"),
    ),
    Case(
        "forwards.http.port",
        443,
        444,
        ("443 (tcp) is taken by forwards.http", *TAKEN),
        at="forwards.https.port",
    ),
    Case(
        "forwards.http.port",
        "440-445",
        "444-445",
        ("443 (tcp) overlaps 440-445 of forwards.http", *TAKEN),
        at="forwards.https.port",
        beside={"forwards.http.to": "homelab"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wrong_value_is_refused_by_one_message_that_says_all(case: Case) -> None:
    lines = errors({**case.beside, case.path: case.bad}, agent=case.agent)

    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{case.at or case.path}: ")
    assert "Allowed: " in lines[0]
    assert ". Why: " in lines[0]
    for words in case.says:
        assert words in lines[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_its_right_neighbour_is_taken(case: Case) -> None:
    if case.good is ABSENT:  # the example itself: what was too much is not there
        loaded(case.beside, agent=case.agent)
    else:
        loaded({**case.beside, case.path: case.good}, agent=case.agent)


@pytest.mark.parametrize("key", ["forwards.x.port", "vps.ssh.host", "servers[0]"])
def test_a_key_that_was_set_without_its_path_is_answered_by_the_right_command(key: str) -> None:
    """`pulumi config set` makes one key of it, dots and all."""
    with pytest.raises(SettingsError) as refused:
        load({**example(), key: "443"}, agent=False)

    assert f"(use `pulumi config set --path '{key}' ...`, after `pulumi config rm '{key}'`)" in str(
        refused.value
    )


@pytest.mark.parametrize("key", ["forward.x.port", "x.forwards", "forwards."])
def test_another_key_with_a_dot_is_not(key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({**example(), key: "443"}, agent=False)

    assert "is not a setting" in str(refused.value)
    assert "--path" not in str(refused.value)


def test_tcp_and_udp_may_share_a_port() -> None:
    """Only the protocol makes them different; 22/udp and 51820/tcp are free for the same reason."""
    loaded(
        {
            "forwards.quic": {"protocol": "udp", "port": 443, "to": "homelab:8081"},
            "forwards.a": {"protocol": "udp", "port": 22, "to": "homelab"},
            "forwards.b": {"protocol": "tcp", "port": 51820, "to": "homelab"},
        }
    )


def test_both_protocols_at_once_claim_both() -> None:
    """One forward, one problem, whichever of its protocols collides."""
    both: dict[str, object] = {"forwards.x": {"protocol": "tcp+udp", "port": 500, "to": "attic"}}

    def collision(protocol: str) -> list[str]:
        other = {"protocol": protocol, "port": 500, "to": "attic"}
        return [line.split(". Allowed")[0] for line in errors({**both, "forwards.y": other})]

    assert collision("tcp") == ["forwards.y.port: 500 (tcp) is taken by forwards.x"]
    assert collision("udp") == ["forwards.y.port: 500 (udp) is taken by forwards.x"]
    assert collision("tcp+udp") == ["forwards.y.port: 500 (tcp+udp) is taken by forwards.x"]
    loaded(both)


@pytest.mark.parametrize(("own", "port"), [("SSH", 22), ("WireGuard", 51820)])
def test_both_protocols_at_once_take_no_port_of_the_vps_itself(own: str, port: int) -> None:
    (line,) = errors({"forwards.x": {"protocol": "tcp+udp", "port": port, "to": "attic"}})

    assert line.startswith(f"forwards.x.port: {port} is the VPS's own {own} port")


def test_a_paused_forward_keeps_its_port() -> None:
    """Else resuming it could fail, months later."""
    (line,) = errors({"forwards.http.port": 443, "forwards.http.enabled": False})

    assert line.startswith("forwards.https.port: 443 (tcp) is taken by forwards.http")


def test_forwards_to_one_target_are_each_refused_once() -> None:
    """Whatever lies between the ports of two that differ, and by how many protocols they do."""
    (line,) = errors(
        {
            **LAN,
            "forwards.wide": {"port": "1000-1999", "to": "192.168.1.30", "protocol": "tcp+udp"},
            "forwards.inner": {"port": 3000, "to": "192.168.1.30:1000"},
            "forwards.last": {
                "protocol": "tcp+udp",
                "port": 3001,
                "to": "192.168.1.30:1999",
                "sourceAddress": "tunnel",
                "enabled": False,
            },
            "forwards.beyond": {
                "port": 3002,
                "to": "192.168.1.30:2000",
                "sourceAddress": "tunnel",
            },
            "forwards.elsewhere": {
                "port": 3003,
                "to": "192.168.1.31:1000",
                "sourceAddress": "tunnel",
            },
        }
    )

    assert line.startswith(
        'forwards.last.sourceAddress: "tunnel" differs from that of forwards.wide, which leads to '
        "the same target"
    )


def test_neighbouring_networks_may_belong_to_different_servers() -> None:
    """Two servers of one LAN share it host by host."""
    loaded(
        {
            "servers.homelab.networks": ["192.168.1.30/32", "10.0.0.0/24", "172.16.1.0/24"],
            "servers.attic.networks": ["192.168.1.31/32", "10.0.1.0/24", "192.168.1.32/27"],
        }
    )


def test_an_ssh_agent_stands_in_for_the_private_key() -> None:
    assert loaded({"sshPrivateKey": ABSENT}, agent=True).ssh_private_key is None


def test_every_range_that_overlaps_another_is_named() -> None:
    lines = errors(
        {
            "forwards.a": {"port": "1000-2000", "to": "attic"},
            "forwards.b": {"port": 1500, "to": "attic"},
            "forwards.c": {"port": "1900-2100", "to": "attic"},
            "forwards.d": {"port": 2100, "to": "attic"},
            "forwards.e": {"port": 2101, "to": "attic"},
        }
    )

    assert [line.split(". Allowed")[0] for line in lines] == [
        "forwards.b.port: 1500 (tcp) overlaps 1000-2000 of forwards.a",
        'forwards.c.port: "1900-2100" (tcp) overlaps 1000-2000 of forwards.a',
        "forwards.d.port: 2100 (tcp) overlaps 1900-2100 of forwards.c",
    ]


@pytest.mark.parametrize("section", ["network", "clients", "forwards"])
def test_a_section_whose_entries_are_all_commented_out_is_none(section: str) -> None:
    """YAML has nothing there, of which the engine makes an empty text."""
    assert loaded({section: ""}) == loaded({section: ABSENT})


def test_one_that_is_needed_is_missing_then() -> None:
    assert errors({"vps": ""}) == errors({"vps": ABSENT})
