"""Path MTU: a line at home that carries 1,280 bytes, and nobody who says so: ICMP is blocked."""

from collections.abc import Iterator

import pytest

from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.mtu import (
    DOWNLOAD,
    TLS_PORT,
    clamp,
    downloaded,
    icmp_blocked,
    swallowed,
    tls_greets,
    tls_service,
    unclamp,
)
from tests.lab.probes import LASTING, VPS, page
from tests.support import eventually

PATH = 1280  # bytes
LONG = 60.0  # seconds
WIREGUARD = 60  # bytes around each packet, with IPv4
NARROW = (("internet", "eth0"), ("carrier", "wan"))  # the ends of one cable
FORWARDS = {
    "http": {"port": 80, "to": "homelab:8080"},
    "tls": {"port": TLS_PORT, "to": f"homelab:{TLS_PORT}"},
}


@pytest.fixture
def narrow(lab: Lab, example: Deployment) -> Iterator[None]:
    """The stack on that path, with the MTU that it needs at that server alone."""
    servers = example.settings("servers")
    servers["homelab"]["mtu"] = PATH - WIREGUARD
    example.configure(servers=servers)
    example.forwards(FORWARDS)
    example.up()
    with icmp_blocked(lab), tls_service(lab.host("homelab")):
        for name, interface in NARROW:
            lab.host(name).run(f"ip link set {interface} mtu {PATH}")
        yield
        for name, interface in NARROW:
            lab.host(name).run(f"ip link set {interface} mtu 1500")
    example.configure_as_example()
    example.up()


@pytest.mark.usefixtures("narrow")
def test_a_large_client_hello_and_a_long_download_pass_a_narrow_path(lab: Lab) -> None:
    """By the clamp of either end alone; without any they hang, so the path is narrow."""
    client, vps, homelab = (lab.host(name) for name in ("client", "vps", "homelab"))
    assert tls_greets(client, VPS)
    assert downloaded(client, VPS) == DOWNLOAD
    unclamp(vps)
    assert tls_greets(client, VPS)
    unclamp(homelab)
    assert page(client, f"{VPS}:80", LASTING), "what is small passes in any case"
    eventually(lambda: swallowed(client, VPS, vps, homelab), LONG, "it passes without, too")
    clamp(vps)
    assert tls_greets(client, VPS)
    assert downloaded(client, VPS) == DOWNLOAD
    clamp(homelab)
