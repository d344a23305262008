"""Preshared keys: both ends have them, in files of root's alone, and sessions run on."""

from collections.abc import Iterator

import pytest

from tests.host.tunnel import REFUSED, Tunnel
from tests.host.world import CLIENT, SERVER, VPS, Call, World, call, world
from tests.support import eventually

LAPTOP = "VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA="
NONE = "(none)"


def put_peer(tunnel: Tunnel, name: str, key: str = LAPTOP) -> None:
    tunnel.call(f"put-peer {name}", stdin=f"public-key {key}\nallowed-ips 172.16.0.9/32\n")


def new_key(tunnel: Tunnel) -> str:
    return tunnel.machine.run("wg genpsk").stdout.strip()


def share(tunnel: Tunnel, name: str, key: str) -> None:
    tunnel.call(f"put-preshared-key {name}", stdin=f"{key}\n")


def shared(tunnel: Tunnel) -> dict[str, str]:
    """By public key, as the running interface has them, which its file does, too."""
    lines = tunnel.machine.run("wg show wg0 preshared-keys").stdout.splitlines()
    running = dict(line.split("\t") for line in lines)
    listed: dict[str, str] = {}
    for line in tunnel.machine.read("/etc/wireguard/wg0.conf").splitlines():
        word, _, value = line.partition(" = ")
        if word == "PublicKey":
            peer = value
            listed[peer] = NONE
        elif word == "PresharedKey":
            listed[peer] = value
    assert listed == running
    return running


def test_put_and_remove_each_twice(vps: Tunnel) -> None:
    put_peer(vps, "laptop")
    key, other = new_key(vps), new_key(vps)
    assert shared(vps) == {LAPTOP: NONE}
    for one in (key, key, other):
        share(vps, "laptop", one)
        assert shared(vps) == {LAPTOP: one}
    for _ in range(2):
        vps.call("remove-preshared-key laptop")
        assert shared(vps) == {LAPTOP: NONE}
    assert vps.machine.run(f"ls {vps.files}/preshared.d", check=False).status != 0


def test_its_file_is_for_root_alone(vps: Tunnel) -> None:
    put_peer(vps, "laptop")
    share(vps, "laptop", new_key(vps))
    modes = vps.machine.run(f"stat -c %a {vps.files}/preshared.d {vps.files}/preshared.d/laptop")
    assert modes.stdout.split() == ["700", "600"]


def test_a_peer_keeps_it_when_its_public_key_changes_and_after_a_restart(vps: Tunnel) -> None:
    put_peer(vps, "laptop")
    key, another = new_key(vps), "AGnF3KVd62Mhm57l4EUIuyI75bObTfb0ksK/0gcdnGg="
    share(vps, "laptop", key)
    put_peer(vps, "laptop", another)
    assert shared(vps) == {another: key}
    vps.machine.run("systemctl restart wg-quick@wg0")
    assert shared(vps) == {another: key}


@pytest.mark.parametrize(("old", "new"), [("a", "b"), ("b", "a")])
def test_a_renamed_peer_ends_with_the_new_names_key(vps: Tunnel, old: str, new: str) -> None:
    """Pulumi creates the new before it deletes the old."""
    put_peer(vps, old)
    share(vps, old, new_key(vps))
    key = new_key(vps)
    put_peer(vps, new)
    share(vps, new, key)
    vps.call(f"remove-preshared-key {old}")
    vps.call(f"remove-peer {old}")
    assert shared(vps) == {LAPTOP: key}


@pytest.mark.parametrize("text", ["", "short\n", f"{LAPTOP}\n{LAPTOP}\n"])
def test_what_is_no_key_is_refused_and_not_shown(vps: Tunnel, text: str) -> None:
    put_peer(vps, "laptop")
    for verb in ("put-preshared-key laptop", "key"):
        done = vps.call(verb, stdin=text, check=False)
        assert done.status == REFUSED
        assert "32 bytes in base64" in done.stderr
        assert LAPTOP not in done.stderr
    assert shared(vps) == {LAPTOP: NONE}


def test_one_that_was_changed_by_hand_is_told_by_name_and_put_back(vps: Tunnel) -> None:
    put_peer(vps, "laptop")
    key = new_key(vps)
    share(vps, "laptop", key)
    for file in ("/dev/null", "<(wg genpsk)"):
        assert "preshared-key" not in vps.call("status").stdout
        vps.machine.run(f"wg set wg0 peer {LAPTOP} preshared-key {file}")
        said = vps.call("status").stdout
        assert "wrong preshared-key laptop" in said.splitlines()
        assert key not in said
        share(vps, "laptop", key)
    vps.call("remove-preshared-key laptop")
    assert "preshared-key" not in vps.call("status").stdout
    vps.machine.run(f"wg set wg0 peer {LAPTOP} preshared-key <(wg genpsk)")
    assert "preshared-key laptop" in vps.wrong()


def test_whom_it_has_one_of_is_told_and_no_key(vps: Tunnel) -> None:
    def told() -> list[str]:
        return [x for x in vps.status() if x.startswith("shares")]

    assert told() == ["shares"]
    key = new_key(vps)
    for name in ("laptop", "phone"):
        share(vps, name, key)
    vps.machine.run("systemctl stop wg-quick@wg0")
    assert told() == ["shares laptop phone"]
    assert key not in vps.call("status").stdout
    vps.call("remove-preshared-key laptop")
    assert told() == ["shares phone"]


@pytest.fixture(scope="module")
def ends() -> Iterator[World]:
    with world() as built:
        built.serve(8081)
        built.vps.put("web", f"tcp 80 -> {SERVER}:8081")
        yield built


def private_key(tunnel: Tunnel) -> str:
    return tunnel.machine.read(f"{tunnel.files}/private.key").strip()


def shake_hands_anew(ends: World) -> None:
    """Both ends forget their session, and the server dials."""
    for tunnel in (ends.vps, ends.server):
        tunnel.machine.run("systemctl restart wg-quick@wg0")


def test_sessions_run_on_and_only_ends_that_share_it_shake_hands_again(ends: World) -> None:
    key = new_key(ends.vps)
    running = Call(ends.client, "tcp", VPS, 80)
    assert running.ask() == CLIENT
    share(ends.vps, "homelab", key)
    assert running.ask() == CLIENT
    ends.server.call("key", stdin=f"{private_key(ends.server)}\npreshared-key {key}\n")
    assert running.ask() == CLIENT
    running.end()
    assert [*shared(ends.server).values()] == [key]
    assert "shares" not in ends.server.call("status").stdout
    shake_hands_anew(ends)
    assert eventually_called(ends) == CLIENT

    share(ends.vps, "homelab", new_key(ends.vps))
    shake_hands_anew(ends)
    assert call(ends.client, "tcp", VPS, 80) == "-"

    ends.vps.call("remove-preshared-key homelab")
    ends.server.call("key", stdin=f"{private_key(ends.server)}\n")
    assert [*shared(ends.server).values()] == [NONE]
    assert eventually_called(ends) == CLIENT


def eventually_called(ends: World) -> str:
    return (
        eventually(
            lambda: (said := call(ends.client, "tcp", VPS, 80)) == CLIENT and said,
            30,
            "no connection comes about",
        )
        or ""
    )


def test_a_key_of_which_the_file_is_gone_is_told(vps: Tunnel) -> None:
    """The peer's own file says that there shall be one; without it nobody would get through."""
    lines = f"public-key {LAPTOP}\nallowed-ips 172.16.0.9/32\npreshared\n"
    vps.call("put-peer laptop", stdin=lines)
    assert "preshared-key laptop" in vps.wrong()
    vps.call("put-preshared-key laptop", stdin=vps.machine.run("wg genpsk").stdout)
    assert "preshared-key" not in vps.call("status").stdout
    vps.machine.run(f"rm {vps.files}/preshared.d/laptop")
    vps.call("put-peer laptop", stdin=lines)
    assert "preshared-key laptop" in vps.wrong()
