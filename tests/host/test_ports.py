"""Ports that a forward must not take: of this login, of tunnels, of another stack's forwards."""

from collections.abc import Iterator

import pytest

from tests.host.guarded import INSIDE, SSH, VPS6, Guarded, guarded
from tests.host.snapshot import snapshot
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.world import VPS

TARGET = "172.16.0.4:8081"


@pytest.fixture(scope="module")
def reached() -> Iterator[Guarded]:
    """A VPS to which one logs in, with peers."""
    with guarded() as made:
        yield made


@pytest.fixture
def other(vps: Tunnel) -> Tunnel:
    """A second stack's tunnel on the same host, with forwards."""
    tunnel = Tunnel(vps.machine, "wg-game", "reverse-tunnel/game")
    tunnel.set_up_vps("10.8.0.1/24", 51821)
    tunnel.put("https", "tcp 443 -> 10.8.0.2:8081")
    tunnel.put("game", "tcp+udp 27000-27003 -> 10.8.0.2:27000-27003")
    tunnel.put("resting", "tcp 80 -> 10.8.0.2:80\npaused")
    return tunnel


@pytest.mark.parametrize("sudo", [False, True])
@pytest.mark.parametrize("line", [f"tcp 22 -> {TARGET}", "tcp+udp 20-30 -> 172.16.0.4:20-30"])
def test_the_port_of_this_login_is_not_given_away(
    reached: Guarded, line: str, *, sudo: bool
) -> None:
    """It would be the last login. sudo forgets by which port one came."""
    before = snapshot(reached.vps.machine)
    words = reached.verb("put-forward web2")
    if sudo:
        result = reached.login(f"sudo -n env {words}", stdin=line, to=f"hex@{VPS}", check=False)
    else:
        result = reached.login(words, stdin=line, check=False)
    assert result.status == REFUSED
    assert f"tcp 22 is the port of this host's SSH, by which this login to {VPS} came" in (
        result.stderr
    )
    assert "choose another public port" in result.stderr
    assert snapshot(reached.vps.machine) == before


def test_what_calls_itself_as_ss_writes_of_this_login_is_not_taken_for_it(
    reached: Guarded,
) -> None:
    """The port of its connection would be kept from the forward, in place of that of SSH."""
    words = f'{reached.verb("put-forward web2")} 2>&1 <<<"tcp 22 -> {TARGET}"'
    words = f"echo $$; until [ -e /run/imposter ]; do :; done; {words}"
    login = reached.client.start(f"{SSH} root@{VPS} '{words}'")
    assert login.stdout is not None
    shell = login.stdout.readline().strip()
    with reached.imposter("6667", f'x",pid={shell},'):
        reached.vps.machine.run("touch /run/imposter")
        said = login.communicate()[0]
    reached.vps.machine.run("rm /run/imposter")
    assert f"tcp 22 is the port of this host's SSH, by which this login to {VPS} came" in said
    assert reached.lets_in()


@pytest.mark.parametrize(
    "lines",
    [
        f"tcp 23 -> {TARGET}",
        f"udp 22 -> {TARGET}",
        f"tcp 9000 -> {TARGET}",  # of another service of the host
        f"tcp 22 -> {TARGET}\npaused",
    ],
)
def test_every_other_port_can_be_had_by_a_login(reached: Guarded, lines: str) -> None:
    before = snapshot(reached.vps.machine)
    reached.login(reached.verb("put-forward web2"), stdin=lines)
    reached.login(reached.verb("remove-forward web2"))
    assert snapshot(reached.vps.machine) == before


def test_a_login_by_ipv6_keeps_its_port_from_forwards_that_take_visitors_of_it(
    reached: Guarded,
) -> None:
    put, remove = (reached.verb(f"{verb}-forward web2") for verb in ("put", "remove"))
    to, by = f"root@{VPS6}", reached.world.internet
    line = f"tcp 22 -> {TARGET}"
    refused = reached.login(put, stdin=f"{line}\nipv6 fd00::4", to=to, by=by, check=False)
    assert refused.status == REFUSED
    assert f"by which this login to {VPS6} came" in refused.stderr
    reached.login(put, stdin=line, to=to, by=by)
    reached.login(remove, to=to, by=by)


def test_who_logs_in_by_the_tunnel_or_a_console_can_give_it_away(reached: Guarded) -> None:
    """Their next login is not what a forward translates."""
    put, remove = (reached.verb(f"{verb}-forward web2") for verb in ("put", "remove"))
    to, by = f"root@{INSIDE}", reached.laptop
    reached.login(put, stdin=f"tcp 22 -> {TARGET}", to=to, by=by)
    reached.login(remove, to=to, by=by)
    reached.vps.put("web2", f"tcp 22 -> {TARGET}")
    reached.vps.remove("web2")
    assert reached.lets_in()


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"udp 51820 -> {TARGET}", "at which the tunnel wg0 of the stack reverse-tunnel/home"),
        (
            f"tcp+udp 51821 -> {TARGET}",
            "at which the tunnel wg-game of the stack reverse-tunnel/game",
        ),
        (f"tcp 443 -> {TARGET}", "tcp 443 is taken by the forward https of the tunnel wg-game"),
        (f"udp 27003 -> {TARGET}", "udp 27000-27003 is taken by the forward game of the tunnel"),
        ("tcp 400-500 -> 172.16.0.4:400-500", "which belongs to the stack reverse-tunnel/game"),
    ],
)
def test_the_ports_of_tunnels_and_of_anothers_forwards_are_theirs(
    vps: Tunnel, line: str, words: str
) -> None:
    before = snapshot(vps.machine)
    result = vps.put("web", line, check=False)
    assert result.status == REFUSED
    assert words in result.stderr
    assert "choose another public port" in result.stderr
    assert snapshot(vps.machine) == before
    # Its file, alone, takes nothing from anybody.
    vps.put("web", f"{line}\npaused")
    assert vps.forwards() == []


def test_what_tunnels_and_others_forwards_do_not_use_is_free(vps: Tunnel, other: Tunnel) -> None:
    lines = [f"{what} -> {TARGET}" for what in ("tcp 51820", "udp 443", "udp 27004", "tcp 80")]
    for number, line in enumerate(lines):
        vps.put(f"f{number}", line)
    assert [line for _, line in vps.forwards()] == lines
    # Of one stack the new may come before the old goes.
    vps.put("again", lines[1])
    other.remove("https")
    vps.put("https", f"tcp 443 -> {TARGET}")


def test_the_forwards_of_another_public_interface_take_nothing_away(
    vps: Tunnel, other: Tunnel
) -> None:
    vps.machine.run("ip link add ens7 type veth peer ens7-peer && ip link set ens7 up")
    other.call("interface", stdin=other.vps_settings("10.8.0.1/24", 51821).replace("ens6", "ens7"))
    vps.put("https", f"tcp 443 -> {TARGET}")
    assert vps.forwards() == [("https", f"tcp 443 -> {TARGET}")]
