"""Path MTU: a line at home that carries 1,280 bytes, and nobody who says so: ICMP is blocked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.probes import VPS, page

TLS = "/usr/local/lib/lab/tls.py"
TLS_PORT = 8443
PATH = 1280  # bytes
WIREGUARD = 60  # bytes around each packet, with IPv4
DOWNLOAD = 100_000_000  # bytes
CLIENT_HELLO = 1900  # bytes; with an MSS of 1460 a full packet and some

FORWARDS = {
    "http": {"port": 80, "to": "homelab:8080"},
    "tls": {"port": TLS_PORT, "to": f"homelab:{TLS_PORT}"},
}
ROUTERS = ("internet", "carrier", "router")
NARROW = (("internet", "eth0"), ("carrier", "wan"))
UNCLAMPED = "iptables -t mangle -F RT-wg0-MSS"
# A server sets the visitor's MSS where it comes in, too.
UNCLAMPED_SERVER = f"{UNCLAMPED}; iptables -t mangle -D RT-wg0-PRE 2"
CLAMPED = "/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 up"


@contextmanager
def black_hole(lab: Lab) -> Iterator[None]:
    """What is larger vanishes between the VPS and the carrier, whichever way it goes."""
    block = ("OUTPUT -p icmp -j DROP", "FORWARD -p icmp -j DROP")
    for name in ROUTERS:
        lab.host(name).run("; ".join(f"iptables -I {rule}" for rule in block))
    for name, interface in NARROW:
        lab.host(name).run(f"ip link set {interface} mtu {PATH}")
    try:
        yield
    finally:
        for name, interface in NARROW:
            lab.host(name).run(f"ip link set {interface} mtu 1500")
        for name in ROUTERS:
            lab.host(name).run("; ".join(f"iptables -D {rule}" for rule in block))


@contextmanager
def tls_service(host: Host) -> Iterator[None]:
    """A TLS server for a while."""
    service = host.popen(["python3", TLS, "serve", str(TLS_PORT)])
    try:
        assert service.stdout
        assert service.stdout.readline() == "ready\n", service.communicate()[1]
        yield
    finally:
        service.kill()
        service.communicate()


def tls_greets(visitor: Host) -> bool:
    """Whether a TLS handshake that begins with a large ClientHello gets through."""
    said = json.loads(visitor.run(["python3", TLS, "hello", VPS, str(TLS_PORT)]).stdout)
    assert said["client_hello"] >= CLIENT_HELLO
    return bool(said["greeted"])


def downloaded(visitor: Host) -> int:
    """How many bytes of the download come, before ten seconds pass in which hardly any does."""
    words = "curl -s --speed-limit 1000 --speed-time 10"
    return int(visitor.run(f"{words} 'http://{VPS}/bytes?n={DOWNLOAD}' | wc -c").stdout)


@pytest.fixture
def narrow(lab: Lab, example: Deployment) -> Iterator[Deployment]:
    """The stack on that path, with the MTU that it needs at that server alone."""
    servers = example.settings("servers")
    servers["homelab"]["mtu"] = PATH - WIREGUARD
    example.configure(servers=servers)
    example.forwards(FORWARDS)
    example.up()
    with black_hole(lab), tls_service(lab.host("homelab")):
        yield example
    example.configure_as_example()
    example.up()


@pytest.mark.usefixtures("narrow")
def test_a_large_client_hello_and_a_long_download_pass_a_narrow_path(lab: Lab) -> None:
    """By the clamp of either end alone; without any they hang, so the path is narrow."""
    client, vps, homelab = (lab.host(name) for name in ("client", "vps", "homelab"))
    assert tls_greets(client)
    assert downloaded(client) == DOWNLOAD
    vps.run(UNCLAMPED)
    assert tls_greets(client)
    homelab.run(UNCLAMPED_SERVER)
    assert page(client, f"{VPS}:80"), "what is small passes in any case"
    assert not tls_greets(client)
    vps.run(CLAMPED)
    assert tls_greets(client)
    assert downloaded(client) == DOWNLOAD
    homelab.run(CLAMPED)
