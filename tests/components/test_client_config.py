"""The WireGuard files that users carry to machines nobody logs in to."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from components.client_config import Gateway, Machine, client_config, server_config
from settings import Egress

LAPTOP = Machine("laptop", IPv4Address("172.16.0.10"), "PRIVATE", 1420)
FULL = replace(LAPTOP, egress=Egress.TUNNEL)
GATEWAY = Gateway("PUBLIC", "vps.example.org:51820", IPv4Network("172.16.0.0/24"), 25)


def test_a_clients_file_routes_the_tunnels_network_alone() -> None:
    assert client_config(LAPTOP, GATEWAY) == (
        "# laptop\n"
        "[Interface]\n"
        "PrivateKey = PRIVATE\n"
        "Address = 172.16.0.10/24\n"
        "MTU = 1420\n"
        "\n"
        "[Peer]\n"
        "PublicKey = PUBLIC\n"
        "Endpoint = vps.example.org:51820\n"
        "AllowedIPs = 172.16.0.0/24\n"
        "PersistentKeepalive = 25\n"
    )


def test_a_client_whose_way_out_is_the_tunnel_routes_all_into_it() -> None:
    full, split = client_config(FULL, GATEWAY), client_config(LAPTOP, GATEWAY)
    assert full == split.replace("AllowedIPs = 172.16.0.0/24", "AllowedIPs = 0.0.0.0/0")


def test_a_machine_that_keeps_its_key_gets_a_line_to_fill_in() -> None:
    text = client_config(replace(LAPTOP, private_key=None), GATEWAY)
    assert "PrivateKey = PUT-THE-PRIVATE-KEY-OF-laptop-HERE\n" in text


def test_a_servers_file_answers_visitors_through_the_tunnel_and_nothing_else() -> None:
    lines = server_config(LAPTOP, GATEWAY).splitlines()
    assert "AllowedIPs = 0.0.0.0/0" in lines
    assert "Table = off" in lines
    assert "PostUp = ip route replace default dev %i table 51820" in lines
    assert any("CONNMARK --set-xmark" in line and "! -s 172.16.0.0/24" in line for line in lines)


def test_a_server_whose_way_out_is_the_tunnel_leaves_the_routes_to_wg_quick() -> None:
    """Everything goes into the tunnel then, answers to visitors among it: no mark is needed."""
    text = server_config(FULL, GATEWAY)
    assert "AllowedIPs = 0.0.0.0/0\n" in text
    for word in ("Table =", "CONNMARK", "ip rule", "ip route"):
        assert word not in text
    assert text.count("TCPMSS") == 4
    assert text.count(" FORWARD -i %i -m conntrack ! --ctstate DNAT,") == 2


@pytest.mark.parametrize("mtu", [1280, 1420])
def test_a_servers_file_has_its_own_mtu_and_the_mss_that_fits(mtu: int) -> None:
    text = server_config(replace(LAPTOP, mtu=mtu), GATEWAY)
    assert f"MTU = {mtu}\n" in text
    assert text.count(f"--set-mss {mtu - 40}\n") == 2


@pytest.mark.parametrize("machine", [LAPTOP, FULL])
def test_a_servers_file_takes_away_all_that_it_adds(machine: Machine) -> None:
    lines = server_config(machine, GATEWAY).splitlines()
    built_in = r"iptables .* -[ADI] (PREROUTING|OUTPUT|POSTROUTING|FORWARD) "
    rules = [line for line in lines if re.search(built_in, line)]
    added = [line.removeprefix("PostUp = ") for line in rules if line.startswith("PostUp")]
    removed = [line.removeprefix("PreDown = ") for line in rules if line.startswith("PreDown")]
    assert len(added) == (3 if machine is FULL else 7)
    as_removal = [each.replace(" -A ", " -D ").replace(" -I ", " -D ") for each in added]
    assert sorted(removed) == sorted(as_removal)


def test_a_servers_file_takes_away_the_chain_that_it_makes() -> None:
    lines = server_config(LAPTOP, GATEWAY).splitlines()
    assert "PreDown = iptables -w -t nat -F RT-%i-UDP" in lines
    assert lines[lines.index("PreDown = iptables -w -t nat -F RT-%i-UDP") + 1].endswith(
        "-X RT-%i-UDP"
    )


def test_a_servers_file_keeps_the_vps_out_of_the_home_network() -> None:
    """A broken-into VPS must not be a way in."""
    (guard,) = [
        line for line in server_config(LAPTOP, GATEWAY).splitlines() if "-I FORWARD" in line
    ]
    assert guard.endswith("-i %i -m conntrack ! --ctstate DNAT,ESTABLISHED,RELATED -j DROP")
