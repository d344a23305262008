"""Texts: of each entry a host tells what tells its text from others, as the program makes it."""

from collections.abc import Mapping
from hashlib import sha256

import pytest

from reach.entries.fingerprints import unlike
from reach.entries.host_report import parse_report
from reach.entries.part import Part
from settings import (
    Settings,
    forward_lines,
    interface_lines,
    metrics_lines,
    opening_lines,
    peer_lines,
)
from tests.host.machine import Machine
from tests.host.tunnel import Tunnel
from tests.settings.samples import loaded, public_key

ENDPOINT = "203.0.113.1"
FOLDER = "/var/lib/node_exporter"
# Every kind of line that there is.
ALL = {
    "network.ipv6": "fd5c:91e2:7a3b::/64",
    "network.mtu": 1412,
    "vps.endpoint": ENDPOINT,
    "vps.metrics": FOLDER,
    "servers.homelab.networks": ["192.168.1.0/24", "10.7.0.0/24"],
    "servers.homelab.egress": "tunnel",
    "servers.homelab.mtu": 1280,
    "servers.homelab.presharedKey": True,
    "forwards.http": {
        "port": "80-81",
        "to": "homelab:8080-8081",
        "protocol": "tcp+udp",
        "enabled": False,
        "from": ["198.51.100.0/24", "2001:db8:7::/48"],
        "sourceAddress": "tunnel",
        "limit": {"newPerSecond": 10, "concurrent": 50},
    },
    "forwards.nas": {"port": 2222, "to": "192.168.1.30:22", "sourceAddress": "tunnel"},
}


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def told(tunnel: Tunnel) -> Mapping[tuple[str, str], str]:
    """By kind and name."""
    return parse_report("\n".join(tunnel.status())).fingerprints


def others(tunnel: Tunnel, settings: Settings, host: str) -> set[tuple[Part, str]]:
    """What the host has in other words than these settings."""
    return {*unlike(settings, host, parse_report("\n".join(tunnel.status())))}


def give(tunnel: Tunnel, verb: str, lines: tuple[str, ...]) -> None:
    """As the stack gives them, with what the settings do not have."""
    known = {
        "owner": f"owner {tunnel.owner}",
        "peer-public-key": f"peer-public-key {public_key(9)}",
    }
    tunnel.call(verb, stdin="".join(f"{known.get(line, line)}\n" for line in lines))


def test_a_forwards_digest_is_that_of_its_text_and_changes_with_it(standing_vps: Tunnel) -> None:
    vps, text = standing_vps, "tcp 80 -> 172.16.0.4:8080\nfrom 198.51.100.0/24"
    vps.put("web", text)
    vps.put("other", "udp 81 -> 172.16.0.4:8081")
    web, other = digest(f"{text}\n"), digest("udp 81 -> 172.16.0.4:8081\n")
    assert (told(vps)["forward", "web"], told(vps)["forward", "other"]) == (web, other)
    # As an older image has it
    vps.machine.run(f"sed -i /^from/d {vps.files}/forwards.d/web")
    assert told(vps)["forward", "web"] == digest("tcp 80 -> 172.16.0.4:8080\n")
    vps.put("web", text)
    assert told(vps)["forward", "web"] == web
    vps.remove("web")
    vps.remove("other")
    assert not [name for kind, name in told(vps) if kind == "forward"]


@pytest.mark.parametrize("name", ["web.bak", "web~", "we b", ".web.was"])
def test_a_file_of_a_stray_name_is_left_out(standing_vps: Tunnel, name: str) -> None:
    vps, text = standing_vps, "tcp 80 -> 172.16.0.4:8080\n"
    vps.call("put-forward web", stdin=text)
    for path in (f"{vps.files}/forwards.d/{name}", f"{vps.files}/peers.d/{name}.conf"):
        vps.machine.write(path, "tcp 81 -> 172.16.0.4:8081\n")
    texts = [line for line in vps.status() if line.startswith(("text forward", "text peer"))]
    assert texts == [f"text forward web {digest(text)}"]
    vps.remove("web")
    vps.machine.run(f"rm -f {vps.files}/{{forwards,peers}}.d/{{,.}}[!.]*")


def test_of_a_peer_and_an_interface_keys_and_owner_are_left_out(standing_vps: Tunnel) -> None:
    vps = standing_vps
    for key in map(public_key, (1, 2)):
        vps.call("put-peer laptop", stdin=f"public-key {key}\nallowed-ips 172.16.0.10/32\n")
        assert told(vps)["peer", "laptop"] == digest("allowed-ips 172.16.0.10/32\n")
    vps.call("put-peer laptop", stdin=f"public-key {key}\nallowed-ips 172.16.0.11/32\n")
    assert told(vps)["peer", "laptop"] == digest("allowed-ips 172.16.0.11/32\n")
    vps.call("remove-peer laptop")
    settings = vps.vps_settings().removeprefix(f"owner {vps.owner}\n")
    assert dict(told(vps)) == {("interface", ""): digest(settings)}


def test_no_digest_is_that_of_a_secret(vps: Tunnel) -> None:
    vps.call("put-peer laptop", stdin=f"public-key {public_key(1)}\nallowed-ips 172.16.0.10/32\n")
    vps.call("put-preshared-key laptop", stdin=vps.machine.run("wg genpsk").stdout)
    files = f"{vps.files}/private.key {vps.files}/preshared.d/laptop"
    secrets = [line[:16] for line in vps.machine.run(f"sha256sum {files}").stdout.splitlines()]
    assert len(secrets) == 2
    assert told(vps).keys() == {("interface", ""), ("peer", "laptop")}
    assert not [each for each in secrets if each in told(vps).values()]


def test_texts_are_told_while_the_tunnel_is_down(vps: Tunnel) -> None:
    vps.put("web", "tcp 80 -> 172.16.0.4:8080")
    up = told(vps)
    vps.machine.run("wg-quick down wg0")
    assert vps.told("interface") == ["down", "-"]
    assert told(vps) == up


def test_a_vps_has_no_other_words_than_it_was_given(vps: Tunnel) -> None:
    settings = loaded(ALL)
    vps.machine.run(f"mkdir -p {FOLDER}")
    give(vps, "interface", interface_lines(settings, "vps"))
    give(vps, "put-metrics", metrics_lines(settings))
    for number, name in enumerate(settings.peers):
        lines = (f"public-key {public_key(number)}", *peer_lines(settings, name))
        give(vps, f"put-peer {name}", lines)
    for name in settings.forwards:
        give(vps, f"put-forward {name}", forward_lines(settings, name))
    assert {kind for kind, _ in told(vps)} == {"interface", "metrics", "peer", "forward"}
    assert others(vps, settings, "vps") == set()
    changed: dict[str, object] = {
        "vps.publicInterface": "ens7",
        "vps.metrics": "/var/lib/other",
        "servers.attic.networks": ["10.9.0.0/24"],
        "forwards.https.enabled": False,
    }
    assert others(vps, loaded({**ALL, **changed}), "vps") == {
        *((Part.INTERFACE, ""), (Part.METRICS, "")),
        *((Part.PEER, "attic"), (Part.FORWARD, "https")),
    }


def test_a_server_has_no_other_words_than_it_was_given(machine: Machine) -> None:
    settings, server = loaded(ALL), Tunnel(machine)
    server.install()
    server.set_key()
    give(server, "interface", interface_lines(settings, "homelab"))
    give(server, "put-opening nas", opening_lines(settings, "nas"))
    assert told(server).keys() == {("interface", ""), ("opening", "nas")}
    assert others(server, settings, "homelab") == set()
    elsewhere = {**ALL, "forwards.nas": {"port": 2222, "to": "192.168.1.31:22"}}
    assert others(server, loaded(elsewhere), "homelab") == {(Part.OPENING, "nas")}
    moved = {**ALL, "vps.endpoint": "203.0.113.2"}
    assert others(server, loaded(moved), "homelab") == {(Part.INTERFACE, "")}
