"""The ways in to a host, as its `ssh` lists them."""

from dataclasses import replace

from settings import Way
from tests.settings.samples import ABSENT, host_key, loaded


def test_a_host_has_the_ways_in_that_are_listed_in_their_order() -> None:
    """By the VPS to the server's address in the tunnel, and by each of the VPS's own ways."""
    settings = loaded(
        {
            "vps.ssh.host": ["203.0.113.10", "vps.lan"],
            "vps.ssh.port": 2222,
            "servers.attic.ssh.host": ["attic.lan", {"through": "vps"}],
        }
    )
    (near, far) = settings.ways_to("vps")
    assert near == Way("203.0.113.10", 2222, "root", host_key(1))
    assert far == replace(near, host="vps.lan")
    at_home = Way("attic.lan", 22, "hex", host_key(3))
    through = replace(at_home, host="172.16.0.6")
    assert settings.ways_to("attic") == (
        at_home,
        replace(through, through=near),
        replace(through, through=far),
    )
    assert settings.ways_to("homelab") == (Way("192.168.1.20", 22, "root", host_key(2)),)
    assert settings.endpoint == "vps.example.org"
    assert loaded({"vps.ssh.host": ["a", "b"], "vps.endpoint": ABSENT}).endpoint == "a"
