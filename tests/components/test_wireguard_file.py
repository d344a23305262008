"""The WireGuard files that users carry to machines nobody logs in to: those of clients."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from components.wireguard_file import Gateway, Machine, client_config
from settings import Egress

LAPTOP = Machine("laptop", IPv4Address("172.16.0.10"), "PRIVATE", 1420)
FULL = replace(LAPTOP, egress=Egress.TUNNEL)
GATEWAY = Gateway(
    "PUBLIC", "vps.example.org:51820", IPv4Address("172.16.0.1"), IPv4Network("172.16.0.0/24"), 25
)
DUAL = replace(LAPTOP, ipv6=IPv6Address("fd5c:91e2:7a3b::a"))
DUAL_FULL = replace(FULL, ipv6=DUAL.ipv6)
DUAL_GATEWAY = replace(GATEWAY, ipv6=IPv6Network("fd5c:91e2:7a3b::/64"))


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
    own = "Address = 172.16.0.10/24"
    assert full == split.replace(
        "AllowedIPs = 172.16.0.0/24", "AllowedIPs = 0.0.0.0/0, ::/0"
    ).replace(own, f"{own}, fd00::ac10:a/128")


def test_below_what_ipv6_needs_a_client_does_not_route_it() -> None:
    """`wg-quick` would not start: such an interface has none."""
    for mtu, routes in ((1279, "0.0.0.0/0"), (1280, "0.0.0.0/0, ::/0")):
        text = client_config(replace(FULL, mtu=mtu), GATEWAY)
        assert f"AllowedIPs = {routes}\n" in text


def test_with_ipv6_a_clients_file_has_both_addresses_and_routes_both_networks() -> None:
    """A full tunnel above all: else what goes by IPv6 would leave beside it."""
    text = client_config(DUAL, DUAL_GATEWAY)
    assert "Address = 172.16.0.10/24, fd5c:91e2:7a3b::a/64\n" in text
    assert "AllowedIPs = 172.16.0.0/24, fd5c:91e2:7a3b::/64\n" in text
    assert "AllowedIPs = 0.0.0.0/0, ::/0\n" in client_config(DUAL_FULL, DUAL_GATEWAY)


def test_a_machine_that_keeps_its_key_gets_a_line_to_fill_in() -> None:
    text = client_config(replace(LAPTOP, private_key=None), GATEWAY)
    assert "PrivateKey = PUT-THE-PRIVATE-KEY-OF-laptop-HERE\n" in text
