"""Peers on a VPS: one changes, and the others' sessions run on."""

import pytest

from tests.host.tunnel import REFUSED, Tunnel
from tests.host.world import SERVER, VPS, world

LAPTOP = "VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA="
BRIEFLY = {"RT_HANDSHAKE_WAIT": "1"}  # seconds
PHONE = "AGnF3KVd62Mhm57l4EUIuyI75bObTfb0ksK/0gcdnGg="


def put(tunnel: Tunnel, name: str, key: str, address: str) -> None:
    """Create or change a peer."""
    lines = f"public-key {key}\nallowed-ips {address}/32\n"
    tunnel.call(f"put-peer {name}", stdin=lines)


def networks(tunnel: Tunnel) -> dict[str, str]:
    """The networks of each public key, in the running interface."""
    lines = tunnel.machine.run("wg show wg0 allowed-ips").stdout.splitlines()
    return dict(line.split("\t") for line in lines)


def peers(tunnel: Tunnel) -> dict[str, str]:
    """Public keys and addresses, as the running interface has them and as its file has them."""
    running = networks(tunnel)
    listed = tunnel.machine.run("grep -E '^(PublicKey|AllowedIPs)' /etc/wireguard/wg0.conf || true")
    words = [line.split(" = ")[1] for line in listed.stdout.splitlines()]
    assert dict(zip(words[::2], words[1::2], strict=True)) == running
    return running


def test_add_change_remove_each_twice(vps: Tunnel) -> None:
    put(vps, "laptop", LAPTOP, "172.16.0.9")
    put(vps, "laptop", LAPTOP, "172.16.0.9")
    assert peers(vps) == {LAPTOP: "172.16.0.9/32"}
    put(vps, "laptop", PHONE, "172.16.0.10")
    assert peers(vps) == {PHONE: "172.16.0.10/32"}
    vps.call("remove-peer laptop")
    vps.call("remove-peer laptop")
    vps.call("remove-peer never-was")
    assert peers(vps) == {}


def test_a_renamed_peer_keeps_its_key_and_swapped_ones_end_right(vps: Tunnel) -> None:
    """Pulumi creates the new before it deletes the old."""
    put(vps, "old", LAPTOP, "172.16.0.9")
    put(vps, "new", LAPTOP, "172.16.0.9")
    vps.call("remove-peer old")
    assert peers(vps) == {LAPTOP: "172.16.0.9/32"}
    put(vps, "phone", PHONE, "172.16.0.10")
    put(vps, "new", LAPTOP, "172.16.0.10")
    put(vps, "phone", PHONE, "172.16.0.9")
    assert peers(vps) == {LAPTOP: "172.16.0.10/32", PHONE: "172.16.0.9/32"}


def test_a_tunnel_address_that_another_name_has_by_now_is_left_to_it(vps: Tunnel) -> None:
    """WireGuard gives an address to one alone: the last that it is told of, in whatever order."""
    put(vps, "old", LAPTOP, "172.16.0.9")
    put(vps, "new", PHONE, "172.16.0.9")
    assert networks(vps) == {LAPTOP: "(none)", PHONE: "172.16.0.9/32"}
    vps.machine.run(f"wg set wg0 peer {LAPTOP} allowed-ips 172.16.0.9/32")
    vps.call("remove-peer old")
    assert peers(vps) == {PHONE: "172.16.0.9/32"}


@pytest.mark.parametrize("shares", [False, True], ids=["", "preshared"])
@pytest.mark.parametrize("order", [("phone", "tablet"), ("tablet", "phone")])
def test_two_whose_keys_are_swapped_keep_what_their_names_have(
    vps: Tunnel, order: tuple[str, str], *, shares: bool
) -> None:
    addresses = {"phone": "172.16.0.11", "tablet": "172.16.0.12"}
    preshared = dict.fromkeys(addresses, "(none)")
    for name, key in {"phone": PHONE, "tablet": LAPTOP}.items():
        put(vps, name, key, addresses[name])
        if shares:
            preshared[name] = vps.machine.run("wg genpsk").stdout.strip()
            vps.call(f"put-preshared-key {name}", stdin=f"{preshared[name]}\n")
    keys = {"phone": LAPTOP, "tablet": PHONE}
    for name in order:
        put(vps, name, keys[name], addresses[name])
    assert peers(vps) == {keys[name]: f"{addresses[name]}/32" for name in order}
    shown = vps.machine.run("wg show wg0 preshared-keys").stdout.split()
    assert dict(zip(shown[::2], shown[1::2], strict=True)) == {
        keys[name]: preshared[name] for name in order
    }


@pytest.mark.parametrize("name", ["a", "z"])
def test_one_that_is_renamed_may_get_another_address_with_its_key(vps: Tunnel, name: str) -> None:
    put(vps, "phone", PHONE, "172.16.0.11")
    put(vps, name, PHONE, "172.16.0.15")
    vps.call("remove-peer phone")
    assert peers(vps) == {PHONE: "172.16.0.15/32"}


@pytest.mark.parametrize(("old", "new"), [(LAPTOP, PHONE), (PHONE, LAPTOP)])
def test_networks_go_from_a_server_to_another_also_while_the_vps_changes_its_key(
    vps: Tunnel, old: str, new: str
) -> None:
    """Its whole file is read then, where both have them, and the last one in it wins."""
    lines = "public-key {}\nallowed-ips 172.16.0.{}/32{}\nhand-over\n"
    behind = ",192.168.77.0/24"
    vps.call("put-peer old", stdin=lines.format(old, 4, behind))
    vps.call("put-peer new", stdin=lines.format(new, 6, ""))
    private = vps.machine.run("wg genkey").stdout
    vps.call("key", stdin=f"{private}staged\n")
    vps.call("put-peer new", stdin=lines.format(new, 6, behind))
    public = vps.machine.run("wg pubkey", stdin=private).stdout
    vps.call("wait-handshake", stdin=f"public-key {public}")
    vps.call("remove-peer old")
    ((key, ips),) = networks(vps).items()
    assert (key, sorted(ips.split())) == (new, ["172.16.0.6/32", "192.168.77.0/24"])


def test_a_key_that_is_handed_over_keeps_its_address_while_others_come_and_go(vps: Tunnel) -> None:
    """The new key has none until it is heard."""
    lines = "public-key {}\nallowed-ips 172.16.0.4/32\nhand-over\n"
    vps.call("put-peer homelab", stdin=lines.format(LAPTOP))
    vps.call("put-peer homelab", stdin=lines.format(PHONE))
    other = vps.machine.run("wg genkey | wg pubkey").stdout.strip()
    put(vps, "other", other, "172.16.0.9")
    meanwhile = {LAPTOP: "172.16.0.4/32", PHONE: "(none)"}
    assert networks(vps) == {**meanwhile, other: "172.16.0.9/32"}
    vps.call("remove-peer other")
    assert networks(vps) == meanwhile


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("public-key x\nallowed-ips 172.16.0.4/32", "32 bytes in base64"),
        (f"public-key {LAPTOP}\nallowed-ips everything", "not a network such as"),
        (
            f"public-key {LAPTOP}\nallowed-ips 172.16.0.4/32,192.168.1.5/24",
            "192.168.1.5/24 is not a network such as 172.16.0.4/32 or 192.168.1.0/24, without bits",
        ),
        (
            f"public-key {LAPTOP}\nallowed-ips 172.16.0.4/24",
            "172.16.0.4/24 is not a network such as",
        ),
        (f"public-key {LAPTOP}", "both needed"),
        ("allowed-ips 172.16.0.4/32", "both needed"),
        ("", "both needed"),
        (
            f"public-key {LAPTOP}\nallowed-ips 172.16.0.4/32\nendpoint x",
            "'endpoint x' is not known",
        ),
        (f"public-key {LAPTOP}\nallowed-ips 172.16.0.4/32\nmtu 99", "576-65535 are allowed"),
        (f"public-key {LAPTOP}\nallowed-ips 172.16.0.4/32\negress own", "is not known"),
        (
            f"public-key {LAPTOP}\nallowed-ips 172.16.0.4/32,203.0.113.0/28",
            "overlaps 203.0.113.0/24, which this host reaches by ens6",
        ),
    ],
)
def test_a_peer_that_is_not_valid_is_refused(standing_vps: Tunnel, lines: str, words: str) -> None:
    result = standing_vps.call("put-peer a", stdin=lines, check=False)
    assert result.status == REFUSED
    assert words in result.stderr
    assert peers(standing_vps) == {}


def test_networks_behind_a_peer_are_its_own_beside_its_addresses(vps: Tunnel) -> None:
    networks = ["172.16.0.4/32", "192.168.1.0/24", "192.168.2.7/32"]
    vps.call("put-peer a", stdin=f"public-key {LAPTOP}\nallowed-ips {','.join(networks)}\n")
    vps.call("restore")
    running = vps.machine.run("wg show wg0 allowed-ips").stdout
    assert running.split() == [LAPTOP, *networks]
    routes = vps.machine.run("ip route show dev wg0 proto 171").stdout
    assert [line.split()[0] for line in routes.splitlines()] == ["192.168.1.0/24", "192.168.2.7"]


def test_no_session_is_lost_when_another_peer_comes_and_goes() -> None:
    with world() as ends:
        before = ends.vps.machine.run("wg show wg0 latest-handshakes").stdout
        put(ends.vps, "laptop", LAPTOP, "172.16.0.9")
        ends.vps.call("interface", stdin=ends.vps.vps_settings())
        ends.vps.call("remove-peer laptop")
        assert ends.vps.machine.run(f"ping -c 1 -w 20 -i 0.2 {SERVER}").status == 0
        assert ends.vps.machine.run("wg show wg0 latest-handshakes").stdout == before


def test_a_vps_that_starts_calls_its_peers_by_where_they_were() -> None:
    """A server notices only minutes later that the VPS has forgotten it (a reboot, a power cut)."""
    with world() as ends:
        key = ends.vps.machine.run("wg show wg0 peers").stdout.strip()
        ends.vps.machine.run("wg-quick down wg0; wg-quick up wg0")
        ends.vps.call("wait-handshake", stdin=f"peer homelab {key}\n")
        assert ends.vps.machine.run(f"ping -c 1 -w 20 -i 0.2 {SERVER}").status == 0


def test_a_session_from_before_a_change_of_port_does_not_count() -> None:
    """It lives on, by its age, while nobody gets through any more."""
    with world() as ends:
        key = ends.vps.machine.run("wg show wg0 peers").stdout.strip()
        ends.vps.call("interface", stdin=ends.vps.vps_settings(port=443))
        asked = f"peer homelab {key}\n"
        # Longer, and WireGuard itself would notice, and shake hands anew.
        waited = ends.vps.call("wait-handshake", stdin=asked, env=BRIEFLY, check=False)
        assert waited.status == 1
        vps_key = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
        lines = ends.server.server_settings(f"{SERVER}/24", vps_key, f"{VPS}:443")
        ends.server.call("interface", stdin=lines)
        ends.vps.call("wait-handshake", stdin=asked)


def test_a_vps_with_another_key_than_the_one_that_was_given_is_told(standing_vps: Tunnel) -> None:
    asked = f"public-key {LAPTOP}\n"
    result = standing_vps.call("wait-handshake", stdin=asked, check=False)
    assert result.status == 1
    assert "wg0 does not have this host's key: see 'wg show wg0'" in result.stderr
    own = standing_vps.machine.run("wg show wg0 public-key").stdout
    standing_vps.call("wait-handshake", stdin=f"public-key {own}")


def test_silence_is_explained(vps: Tunnel) -> None:
    """The likely causes in their order, and how to check each: nobody can look inside the panel."""
    put(vps, "homelab", LAPTOP, SERVER)
    asked = f"peer homelab {LAPTOP}\nendpoint {VPS}:51820\n"
    result = vps.call("wait-handshake", stdin=asked, env=BRIEFLY, check=False)
    assert result.status == 1
    words = ["no handshake from homelab", "panel", "51820/udp", "IONOS", "iptables -S INPUT"]
    words += [f"{VPS}:51820 is this VPS", "UDP is blocked", "clock", "systemctl status"]
    places = [result.stderr.find(word) for word in words]
    assert -1 not in places
    assert places == sorted(places)
