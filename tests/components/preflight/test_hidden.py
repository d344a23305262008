"""What is said of a service of the VPS's own that a forward hides, and of which nothing is."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from components.preflight.hidden import warn_of_hidden
from components.preflight.host_facts import PublicPorts, parse_facts
from components.preflight.wanted import Wanted
from settings import Packages, Ports, Protocol
from tests.components.sshd import facts_text

SERVER = Wanted("wg0", "reverse-tunnel/home", IPv4Network("172.16.0.0/24"), Packages.INSTALL)
HTTPS = PublicPorts("https", Protocol.TCP, Ports(443, 443))
GAME = PublicPorts("game", Protocol.BOTH, Ports(27000, 27037))
VPS = replace(SERVER, listen_port=51820, forwards=(HTTPS, GAME))
MINE = "wg0 reverse-tunnel/home 51820 172.16.0.1/24 ens6"


def said(listeners: str, tunnel: str = MINE, wanted: Wanted = VPS) -> list[str]:
    return list(warn_of_hidden(parse_facts(facts_text(tunnel, listeners=listeners)), wanted))


def test_all_that_new_forwards_hide_is_said_with_its_program_and_what_to_do() -> None:
    (warning,) = said(
        "tcp:22:*:sshd tcp:443:*:nginx udp:27037:*:srcds tcp:27000:*: udp:443:*:caddy"
    )
    assert "https (tcp 443: nginx), game (udp 27037: srcds), game (tcp 27000)." in warning
    assert "forwards.NAME.port" in warning
    assert "sshd" not in warning
    assert "caddy" not in warning


def test_of_very_many_the_first_are_said() -> None:
    (warning,) = said(" ".join(f"tcp:443:*:p{number}" for number in range(1000)))
    assert "https (tcp 443: p49) and 950 more. If that is not" in warning


@pytest.mark.parametrize(
    "listeners",
    ["", "tcp:22:*:sshd udp:443:*:caddy", "tcp:26999:*:a udp:27038:*:b tcp:442:*:c tcp:444:*:d"],
)
def test_what_no_forward_hides_is_not_said(listeners: str) -> None:
    assert said(listeners) == []


def test_what_listens_where_a_forward_is_open_has_been_said() -> None:
    listening = "tcp:443:*:nginx udp:27037:*:srcds"
    (warning,) = said(listening, f"{MINE} web:tcp:443")
    assert "nginx" not in warning
    assert "srcds" in warning
    assert said(listening, f"{MINE} web:tcp:443 game:udp:27000-27037") == []
    # One of another protocol hides nothing yet.
    (warning,) = said(listening, f"{MINE} web:udp:443 game:udp:27000-27037")
    assert "https (tcp 443: nginx)" in warning


def test_a_host_without_forwards_hides_nothing() -> None:
    assert said("tcp:443:*:nginx", wanted=SERVER) == []


def test_before_the_tunnel_is_there_it_is_said_as_well() -> None:
    assert len(list(warn_of_hidden(parse_facts(facts_text(listeners="tcp:443:*:")), VPS))) == 1


def test_what_listens_at_another_interface_hides_nothing() -> None:
    """Which one is public is told by the stack file, else by the tunnel, else by the route."""
    listening = "tcp:443:ens6:nginx tcp:443:docker0:registry"
    (warning,) = said(listening)
    assert "nginx" in warning
    assert "registry" not in warning
    assert said(listening, tunnel=MINE.replace("ens6", "ens7")) == []
    (warning,) = said(listening, wanted=replace(VPS, public_interface="docker0"))
    assert "registry" in warning
    assert "nginx" not in warning
