"""Packets of full size, by a path on which nobody says that they are too large."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.probes import LASTING, SHORT

TLS_PORT = 8443
DOWNLOAD = 100_000_000  # bytes

_TLS = "/usr/local/lib/lab/tls.py"
_CLIENT_HELLO = 1900  # bytes; with an MSS of 1460 a full packet and some
_ROUTERS = ("internet", "carrier", "router")
_ENDS = ("client", "vps", "homelab")
_CLAMP = "RT-wg0-MSS"


def forget_paths(lab: Lab) -> None:
    """What was said of a path is remembered for ten minutes, and may be of another test's.

    Such a word may come late: TCP sends again what a visitor who gave up has left.
    """
    for name in _ENDS:
        lab.host(name).run("ip route flush cache; ip -6 route flush cache")


@contextmanager
def icmp_blocked(lab: Lab) -> Iterator[None]:
    """No router on the way says, or lets pass, that a packet is too large."""
    rules = [
        f"{tool} %s {chain} -p {match} -j DROP"
        for tool, match in (
            ("iptables", "icmp"),
            ("ip6tables", "icmpv6 --icmpv6-type packet-too-big"),
        )
        for chain in ("OUTPUT", "FORWARD")
    ]
    for name in _ROUTERS:
        lab.host(name).run("; ".join(rule % "-I" for rule in rules))
    forget_paths(lab)
    try:
        yield
    finally:
        for name in _ROUTERS:
            lab.host(name).run("; ".join(rule % "-D" for rule in rules))


@contextmanager
def tls_service(host: Host) -> Iterator[None]:
    """A TLS server for a while."""
    service = host.popen(["python3", _TLS, "serve", str(TLS_PORT)])
    try:
        assert service.stdout
        assert service.stdout.readline() == "ready\n", service.communicate()[1]
        yield
    finally:
        service.kill()
        service.communicate()


def tls_greets(visitor: Host, address: str, patience: int = LASTING) -> bool:
    """Whether a TLS handshake that begins with a large ClientHello gets through."""
    words = ["python3", _TLS, "hello", address, str(TLS_PORT), str(patience)]
    said = json.loads(visitor.run(words).stdout)
    assert said["client_hello"] >= _CLIENT_HELLO
    return bool(said["greeted"])


def downloaded(visitor: Host, address: str) -> int:
    """How many bytes of the download come, before ten seconds pass in which hardly any does."""
    words = "curl -s --speed-limit 1000 --speed-time 10"
    return int(visitor.run(f"{words} 'http://{address}/bytes?n={DOWNLOAD}' | wc -c").stdout)


def unclamp(*ends: Host) -> None:
    """Take away what tells TCP how large a packet may be, until `clamp`."""
    for end in ends:
        for tool in ("iptables", "ip6tables"):
            # A server sets the visitor's MSS where it comes in, too.
            own = "while read -r rule; do $0 -t mangle -D ${rule#-A }; done"
            find = "$0 -t mangle -S RT-wg0-PRE 2>/dev/null | grep set-mss"
            end.run(["bash", "-c", f"$0 -t mangle -F {_CLAMP}; {find} | {own}", tool], check=False)


def swallowed(visitor: Host, address: str, *ends: Host) -> bool:
    """Whether a large ClientHello vanishes on the way without these ends' clamps.

    Their watchers may put the rules back whenever anything happens on a host: so it is for
    `eventually`.
    """
    unclamp(*ends)
    return not tls_greets(visitor, address, SHORT)


def clamp(*ends: Host) -> None:
    """All rules as they shall be."""
    for end in ends:
        end.run("/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 up")
