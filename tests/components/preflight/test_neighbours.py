"""What is said of other firewalls: the command that opens them, and silence where they are open."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from components.preflight.host_facts import parse_facts
from components.preflight.neighbours import warn_of_neighbours
from components.preflight.wanted import Wanted
from settings import Packages
from tests.components.sshd import facts_text

SERVER = Wanted("wg0", "reverse-tunnel/home", IPv4Network("172.16.0.0/24"), Packages.INSTALL)
VPS = replace(SERVER, listen_port=51820)


def said(wanted: Wanted = VPS, **facts: str) -> list[str]:
    return list(warn_of_neighbours(parse_facts(facts_text(**facts)), wanted))


def test_a_host_without_other_firewalls_is_fine() -> None:
    assert said() == said(replace(VPS, passes_on=True)) == []


@pytest.mark.parametrize(
    ("firewall", "command"),
    [
        ("ufw 22/tcp 51820/tcp 51821:51900/udp", "ufw allow 51820/udp"),
        (
            "firewalld 22/tcp",
            "firewall-cmd --permanent --add-port=51820/udp && firewall-cmd --reload",
        ),
    ],
)
def test_a_firewall_that_keeps_wireguard_out_is_said_with_its_command(
    firewall: str, command: str
) -> None:
    (warning,) = said(firewall=firewall)
    assert warning.startswith(f"has {firewall.split(maxsplit=1)[0]}, ")
    assert warning.endswith(f"Run there: {command}")
    assert said(SERVER, firewall=firewall) == []  # nobody calls a server


@pytest.mark.parametrize("opened", ["51820/udp", "51820/any", "51000:52000/udp", "any/any"])
@pytest.mark.parametrize("firewall", ["ufw", "firewalld"])
def test_a_firewall_that_lets_wireguard_in_is_fine(firewall: str, opened: str) -> None:
    assert said(firewall=f"{firewall} 22/tcp {opened}") == []


@pytest.mark.parametrize(("wanted", "what"), [(VPS, "peer to peer"), (SERVER, "behind")])
def test_what_firewalld_would_reject_on_its_way_through_is_said(wanted: Wanted, what: str) -> None:
    passing = replace(wanted, passes_on=True)
    (warning,) = said(passing, firewall="firewalld 51820/udp", zoned="eth0")
    assert what in warning
    assert "--zone=trusted --add-interface=wg0 " in warning
    assert said(passing, firewall="firewalld 51820/udp", zoned="eth0 wg0") == []
    assert said(wanted, firewall="firewalld 51820/udp") == []
    # ufw's rules stand in the same chain as ours, which come first.
    assert said(passing, firewall="ufw 51820/udp") == []


@pytest.mark.parametrize(
    ("chain", "command"),
    [
        (
            "forward inet f through 22 eth* wg1* lo",
            (
                "nft insert rule inet f through iifname wg0 accept"
                " && nft insert rule inet f through oifname wg0 accept"
            ),
        ),
        ("input inet f in 22 80-90", "nft insert rule inet f in udp dport 51820 accept"),
        # The names of interfaces may begin with a digit, or be nearly a port.
        (
            "input inet f in 6in4-he 4g0 51820-he",
            "nft insert rule inet f in udp dport 51820 accept",
        ),
    ],
)
def test_a_chain_of_nftables_that_drops_is_said_with_its_command(chain: str, command: str) -> None:
    (warning,) = said(dropping=chain)
    assert warning.endswith(f"Run there: {command}")
    assert said(SERVER, dropping=chain) == []


@pytest.mark.parametrize(
    "chain",
    [
        "forward inet f through wg0",
        "forward inet f through eth1 wg0 22",
        "forward inet f through wg*",
        "forward inet f through eth0 dnat",
        "input inet f in 51820",
        "input inet f in 51000-52000",
        "input inet f in 6in4-he 51820",
    ],
)
def test_a_chain_of_nftables_that_lets_the_tunnel_pass_is_fine(chain: str) -> None:
    assert said(dropping=chain) == []
