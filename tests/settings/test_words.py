"""The words for people, the lines for the helper, and what follows from the settings."""

from ipaddress import IPv4Address

import pytest

from settings import (
    Destination,
    Packages,
    Ports,
    firewall_lines,
    forward_lines,
    forward_words,
    interface_lines,
    metrics_lines,
    opening_lines,
    peer_lines,
)
from tests.settings.samples import ABSENT, host_key, loaded

LAN = {"servers.homelab.networks": ["192.168.1.0/24"]}


def test_a_forward_in_words() -> None:
    settings = loaded()

    assert {name: forward_words(settings, name, "203.0.113.10") for name in settings.forwards} == {
        "http": "tcp 203.0.113.10:80 -> homelab 172.16.0.4:8080",
        "https": "tcp 203.0.113.10:443 -> homelab 172.16.0.4:8081",
        "game": "udp 203.0.113.10:27000-27037 -> homelab 172.16.0.4:27000-27037",
    }


def test_a_forward_in_lines_for_the_helper() -> None:
    """A preview shows these lines, and they are all that a changed forward changes."""
    settings = loaded({"forwards.same": {"port": "25", "to": "attic"}})

    assert {name: forward_lines(settings, name) for name in settings.forwards} == {
        "http": ("tcp 80 -> 172.16.0.4:8080",),
        "https": ("tcp 443 -> 172.16.0.4:8081",),
        "game": ("udp 27000-27037 -> 172.16.0.4:27000-27037",),
        "same": ("tcp 25 -> 172.16.0.6:25",),
    }


WITH = {
    "protocol": ("tcp+udp", "tcp+udp 80 -> 172.16.0.4:8080", ""),
    "enabled": (False, "paused", ", paused"),
    "from": (
        ["203.0.113.7", "198.51.100.0/24", "203.0.113.7/32"],
        "from 198.51.100.0/24,203.0.113.7/32",
        ", from 198.51.100.0/24 or 203.0.113.7/32",
    ),
    "limit.newPerSecond": (1, "limit-new 1", ", at most 1 new connection a second per visitor"),
    "limit.concurrent": (50, "limit-concurrent 50", ", at most 50 at once per visitor"),
    "sourceAddress": ("tunnel", "source-address tunnel", ", as the tunnel"),
    "comment": ('"$(x)" für alle', None, ' "\\"$(x)\\" für alle"'),
}


@pytest.mark.parametrize("field", WITH)
def test_what_is_unusual_about_a_forward_is_one_more_line_and_one_more_word(field: str) -> None:
    """And a comment is a word alone: it never reaches a host."""
    value, line, words = WITH[field]
    settings = loaded({f"forwards.http.{field}": value})
    usual = loaded()
    more = set(forward_lines(settings, "http")) - set(forward_lines(usual, "http"))

    assert more == ({line} if line else set())
    assert words in forward_words(settings, "http", "203.0.113.10")
    assert (words or "tcp+udp") not in forward_words(usual, "http", "203.0.113.10")


def test_all_that_is_unusual_comes_in_a_fixed_order() -> None:
    """A preview of a change must show that change alone."""
    settings = loaded(
        {
            "forwards.game": {
                "comment": "every Friday",
                "sourceAddress": "tunnel",
                "limit": {"concurrent": 50, "newPerSecond": 10},
                "from": ["198.51.100.0/24"],
                "enabled": False,
                "to": "homelab:28000-28037",
                "port": "27000-27037",
                "protocol": "tcp+udp",
            }
        }
    )

    assert forward_lines(settings, "game") == (
        "tcp+udp 27000-27037 -> 172.16.0.4:28000-28037",
        "paused",
        "from 198.51.100.0/24",
        "limit-new 10",
        "limit-concurrent 50",
        "source-address tunnel",
    )
    assert forward_words(settings, "game", "203.0.113.10") == (
        "tcp+udp 203.0.113.10:27000-27037 -> homelab 172.16.0.4:28000-28037, paused, "
        "from 198.51.100.0/24, at most 10 new connections a second and 50 at once per visitor, "
        'as the tunnel "every Friday"'
    )
    assert opening_lines(settings, "game") == ()


def test_a_host_behind_a_server_is_opened_there() -> None:
    settings = loaded({**LAN, "forwards.nas": {"port": 2222, "to": "192.168.1.30:22"}})

    assert settings.destination("nas") == Destination(
        "homelab", IPv4Address("192.168.1.30"), Ports(22, 22), behind=True
    )
    assert forward_lines(settings, "nas") == ("tcp 2222 -> 192.168.1.30:22",)
    assert opening_lines(settings, "nas") == ("tcp 192.168.1.30:22",)
    assert forward_words(settings, "nas", "203.0.113.10") == (
        "tcp 203.0.113.10:2222 -> 192.168.1.30:22 behind homelab"
    )


def test_a_host_behind_a_server_takes_the_servers_address_there_alone() -> None:
    """As far as the server the visitor's own is kept: the way on is all that lacks a way back."""
    nas = {"port": "2000-2001", "protocol": "udp", "to": "192.168.1.30", "enabled": False}
    settings = loaded({**LAN, "forwards.nas": {**nas, "sourceAddress": "tunnel"}})

    assert forward_lines(settings, "nas") == ("udp 2000-2001 -> 192.168.1.30:2000-2001", "paused")
    assert opening_lines(settings, "nas") == (
        "udp 192.168.1.30:2000-2001",
        "paused",
        "source-address tunnel",
    )


def test_peers_in_lines() -> None:
    settings = loaded(
        {
            "servers.homelab.networks": ["192.168.1.0/24", "10.0.0.0/24"],
            "servers.homelab.egress": "tunnel",
            "servers.homelab.mtu": 1280,
            "servers.attic.mtu": 1420,
            "servers.attic.presharedKey": True,
            "clients.phone.egress": "tunnel",
        }
    )

    assert {name: peer_lines(settings, name) for name in settings.peers} == {
        "homelab": (
            "allowed-ips 172.16.0.4/32,10.0.0.0/24,192.168.1.0/24",
            "egress tunnel",
            "mtu 1280",
            "hand-over",
        ),
        "attic": ("allowed-ips 172.16.0.6/32", "preshared", "hand-over"),
        "cabin": ("allowed-ips 172.16.0.7/32",),
        "laptop": ("allowed-ips 172.16.0.10/32",),
        "phone": ("allowed-ips 172.16.0.11/32", "egress tunnel"),
    }
    ends = {name: interface_lines(settings, name)[-3:] for name in ("homelab", "attic")}
    assert ends == {
        "homelab": ("egress tunnel", "network 10.0.0.0/24", "network 192.168.1.0/24"),
        "attic": (
            "peer-address 172.16.0.1",
            "peer-endpoint vps.example.org:51820",
            "keepalive 25",
        ),
    }
    assert [settings.mtu_of(name) for name in ("homelab", "attic", "phone")] == [1280, 1420, 1420]


@pytest.mark.parametrize(("written", "used"), [(1220, 1216), (1216, 1216), (1419, 1408)])
def test_a_peers_own_mtu_leaves_room_for_what_wireguard_pads(written: int, used: int) -> None:
    """Both ends take the same, or the one would send what does not fit the other's line."""
    settings = loaded({"servers.homelab.mtu": written})
    assert settings.mtu_of("homelab") == used
    assert f"mtu {used}" in peer_lines(settings, "homelab")
    whole = loaded({"network.mtu": written, "servers.homelab.mtu": written})
    assert whole.mtu_of("homelab") == written
    assert not any(line.startswith("mtu") for line in peer_lines(whole, "homelab"))


def test_an_interface_in_lines() -> None:
    """What the settings do not have is left to the caller: its key stands alone."""
    settings = loaded({"vps.publicInterface": ABSENT, "network.mtu": 1412})
    assert interface_lines(settings, "vps") == (
        "owner",
        "role vps",
        "address 172.16.0.1/24",
        "listen-port 51820",
        "public-interface auto",
        "mtu 1412",
    )
    assert interface_lines(settings, "homelab") == (
        "owner",
        "role server",
        "address 172.16.0.4/24",
        "mtu 1412",
        "peer-public-key",
        "peer-address 172.16.0.1",
        "peer-endpoint vps.example.org:51820",
        "keepalive 25",
    )
    assert "public-interface ens6" in interface_lines(loaded(), "vps")


def test_metrics_in_lines() -> None:
    """The same with a slash behind, which changes nothing on the host."""
    for written in ("/var/lib/metrics", "/var/lib/metrics/"):
        lines = metrics_lines(loaded({"vps.metrics": written}))
        assert lines == ("folder /var/lib/metrics",)
    assert metrics_lines(loaded()) == ()


def test_the_firewall_in_lines() -> None:
    settings = loaded(
        {
            "vps.firewall": "defaultDeny",
            "vps.allow": {
                "mount": {"from": ["laptop"], "to": "homelab", "protocol": "tcp", "port": 445},
                "dns": {"from": ["homelab"], "to": "vps", "protocol": "udp", "port": "53"},
                "all": {"from": ["phone", "attic", "laptop", "phone"], "to": "homelab"},
                "web": {"from": ["phone"], "to": "attic", "protocol": "tcp+udp"},
            },
        }
    )

    assert firewall_lines(settings) == (
        "default-deny",
        "allow all any 172.16.0.6,172.16.0.10,172.16.0.11 -> 172.16.0.4",
        "allow dns udp 172.16.0.4 -> 172.16.0.1:53",
        "allow mount tcp 172.16.0.10 -> 172.16.0.4:445",
        "allow web tcp+udp 172.16.0.11 -> 172.16.0.6",
    )
    assert firewall_lines(loaded({"vps.firewall": "defaultDeny"})) == ("default-deny",)
    assert firewall_lines(loaded({"vps.firewall": "none"})) == firewall_lines(loaded()) == ()


IPV6 = {
    "network.ipv6": "fd5c:91e2:7a3b::/64",
    "servers.attic.ipv6": "fd5c:91e2:7a3b::a77c",
    "servers.homelab.networks": ["192.168.1.0/24"],
    "forwards.http.from": ["2001:db8:7::/48", "198.51.100.0/24"],
    "forwards.mail": {"port": 25, "to": "attic"},
    "forwards.nas": {"port": 2222, "to": "192.168.1.30:22"},
    "vps.firewall": "defaultDeny",
    "vps.allow.share": {
        "from": ["phone", "laptop"],
        "to": "homelab",
        "protocol": "tcp",
        "port": 445,
    },
    "vps.allow.all": {"from": ["attic"], "to": "vps"},
}


def test_with_ipv6_each_host_has_an_address_of_the_same_number_or_its_own() -> None:
    settings = loaded(IPV6)

    hosts = ("vps", "homelab", "attic")
    assert {name: interface_lines(settings, name)[2:4] for name in hosts} == {
        "vps": ("address 172.16.0.1/24", "ipv6 fd5c:91e2:7a3b::1/64"),
        "homelab": ("address 172.16.0.4/24", "ipv6 fd5c:91e2:7a3b::4/64"),
        "attic": ("address 172.16.0.6/24", "ipv6 fd5c:91e2:7a3b::a77c/64"),
    }
    assert peer_lines(settings, "homelab") == (
        "allowed-ips 172.16.0.4/32,fd5c:91e2:7a3b::4/128,192.168.1.0/24",
        "hand-over",
    )
    assert peer_lines(settings, "laptop") == ("allowed-ips 172.16.0.10/32,fd5c:91e2:7a3b::a/128",)


def test_with_ipv6_a_forward_leads_there_too_but_not_behind_a_server() -> None:
    settings = loaded(IPV6)

    assert {name: forward_lines(settings, name) for name in settings.forwards} == {
        "http": (
            "tcp 80 -> 172.16.0.4:8080",
            "ipv6 fd5c:91e2:7a3b::4",
            "from 198.51.100.0/24,2001:db8:7::/48",
        ),
        "https": ("tcp 443 -> 172.16.0.4:8081", "ipv6 fd5c:91e2:7a3b::4"),
        "game": ("udp 27000-27037 -> 172.16.0.4:27000-27037", "ipv6 fd5c:91e2:7a3b::4"),
        "mail": ("tcp 25 -> 172.16.0.6:25", "ipv6 fd5c:91e2:7a3b::a77c"),
        "nas": ("tcp 2222 -> 192.168.1.30:22",),
    }
    assert [forward_words(settings, name, "vps.example.org") for name in ("https", "nas")] == [
        "tcp vps.example.org:443 -> homelab 172.16.0.4:8081 and [fd5c:91e2:7a3b::4]:8081",
        "tcp vps.example.org:2222 -> 192.168.1.30:22 behind homelab",
    ]


def test_with_ipv6_the_firewall_allows_the_same_by_both() -> None:
    assert firewall_lines(loaded(IPV6)) == (
        "default-deny",
        "allow all any 172.16.0.6 -> 172.16.0.1",
        "allow all any fd5c:91e2:7a3b::a77c -> [fd5c:91e2:7a3b::1]",
        "allow share tcp 172.16.0.10,172.16.0.11 -> 172.16.0.4:445",
        "allow share tcp fd5c:91e2:7a3b::a,fd5c:91e2:7a3b::b -> [fd5c:91e2:7a3b::4]:445",
    )


def test_without_ipv6_no_host_is_told_of_it() -> None:
    """Stacks that were made before there was any stay as they are."""
    settings = loaded()

    assert settings.ipv6_of("homelab") is None
    lines = [line for name in settings.forwards for line in forward_lines(settings, name)]
    lines += [line for name in settings.peers for line in peer_lines(settings, name)]
    lines += [line for name in settings.managed_hosts for line in interface_lines(settings, name)]
    assert not [line for line in lines if "ipv6" in line or "::" in line]


def test_the_address_plan_has_the_defaults_of_the_design() -> None:
    ssh = {"host": "203.0.113.10", "hostKey": host_key(1)}
    settings = loaded({"network": ABSENT, "vps": {"ssh": ssh}})

    assert settings.vps_address == IPv4Address("172.16.0.1")
    assert settings.endpoint == "203.0.113.10"
    assert settings.network.model_dump(mode="json", by_alias=True) == {
        "cidr": "172.16.0.0/24",
        "ipv6": None,
        "listenPort": 51820,
        "mtu": 1420,
        "keepalive": 25,
        "keyGeneration": 1,
        "interface": "wg0",
    }
    assert settings.vps.public_interface is None
    assert settings.vps.packages is Packages.INSTALL
    assert (settings.vps.ssh.port, settings.vps.ssh.user) == (22, "root")
    assert settings.look_up


def test_given_values_win_over_the_defaults() -> None:
    settings = loaded({"vps.address": "172.16.0.9", "servers.attic.packages": "manual"})

    assert settings.vps_address == IPv4Address("172.16.0.9")
    assert settings.endpoint == "vps.example.org"
    assert settings.servers["attic"].packages is Packages.MANUAL


def test_servers_without_ssh_are_peers_but_not_managed() -> None:
    settings = loaded()

    assert list(settings.managed_servers) == ["homelab", "attic"]
    assert list(settings.peers) == ["homelab", "attic", "cabin", "laptop", "phone"]
    assert settings.peers["phone"].address == IPv4Address("172.16.0.11")


def test_a_destination_without_a_port_keeps_the_public_one() -> None:
    settings = loaded()

    assert settings.destination("http") == Destination(
        "homelab", IPv4Address("172.16.0.4"), Ports(8080, 8080)
    )
    assert settings.destination("game").ports == Ports(27000, 27037)


def test_host_keys_are_kept_without_their_comments() -> None:
    """It identifies the machine; a changed comment must not look like another machine."""
    key = loaded().vps.ssh.host_key

    assert loaded({"vps.ssh.hostKey": f" {key}  root@vps\n"}).vps.ssh.host_key == key
