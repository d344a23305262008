"""What a provider does before a VPS, and the VPS knows nothing of."""

from collections.abc import Iterator
from contextlib import contextmanager

from lab.lab import Lab


@contextmanager
def provider_blocks(lab: Lab, port: int, protocol: str = "udp") -> Iterator[None]:
    """Its firewall lets nothing in to that port of the VPS."""
    rule = f"FORWARD -d {lab.host('vps').address} -p {protocol} --dport {port} -j DROP"
    internet = lab.host("internet")
    internet.run(f"iptables -I {rule}")
    try:
        yield
    finally:
        internet.run(f"iptables -D {rule}")
