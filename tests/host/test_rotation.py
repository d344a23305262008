"""Keys that change on a running tunnel: both ends come along, or stay where they were.

What goes on beside the runs is a plain process here; in the lab it is systemd that starts it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from signal import SIGKILL
from typing import TYPE_CHECKING, Self

import pytest

from tests.host.machine import Machine, Result
from tests.host.tunnel import KILLED, REFUSED, Tunnel
from tests.host.waiting import locked
from tests.host.world import CLIENT, SERVER, VPS, Call, World, world
from tests.support import eventually

if TYPE_CHECKING:
    from subprocess import Popen

LONG = 30.0  # seconds; WireGuard tries again after five
# Seconds. WireGuard tries twice; and a former key goes soon.
WAITS = {"RT_KEY_WAIT": "8", "RT_HANDSHAKE_WAIT": "8", "RT_SETTLED": "1"}
IN_VAIN = {"RT_KEY_WAIT": "2", "RT_HANDSHAKE_WAIT": "2"}  # where nobody answers
FOREVER = {"RT_SETTLED": "1000"}


@dataclass(frozen=True)
class Keys:
    """A private key with its public half, and a preshared one."""

    private: str
    public: str
    shared: str

    @classmethod
    def new(cls, machine: Machine) -> Self:
        """Three that nobody has."""
        private = machine.run("wg genkey").stdout.strip()
        public = machine.run("wg pubkey", stdin=f"{private}\n").stdout.strip()
        return cls(private, public, machine.run("wg genpsk").stdout.strip())


def call(tunnel: Tunnel, words: str, stdin: str = "", **env: str) -> Result:
    """A verb with waits of ours, which the processes that it starts have as well."""
    return tunnel.machine.run(tunnel.line(words), stdin=stdin, env=WAITS | env, check=False)


class Rotation:
    """A world with a visitor who stays, and what the stack sends to change keys.

    Attributes:
        visitor: a TCP connection through a forward.
    """

    def __init__(self, ends: World) -> None:
        self.ends = ends
        self.vps, self.server = ends.vps, ends.server
        self.visitor = Call(ends.client, "tcp", VPS, 80)
        self.server_key = self.key_of(self.server)
        self.vps_key = self.key_of(self.vps)

    def key_of(self, tunnel: Tunnel) -> str:
        """The public key that a host's interface has."""
        return tunnel.machine.run("wg show wg0 public-key").stdout.strip()

    def uses(self, tunnel: Tunnel, key: str) -> bool:
        """Whether that is the public key of a host's interface."""
        return self.key_of(tunnel) == key

    def networks(self, tunnel: Tunnel) -> dict[str, str]:
        """What a host lets each key of the other end have; without those that have nothing."""
        lines = tunnel.machine.run("wg show wg0 allowed-ips").stdout.splitlines()
        pairs = (line.split("\t") for line in lines)
        return {key: ips for key, ips in pairs if ips != "(none)"}

    def peers(self, tunnel: Tunnel) -> set[str]:
        """The other end's keys that a host knows."""
        return set(tunnel.machine.run("wg show wg0 peers").stdout.split())

    def tell_vps(self, keys: Keys, **env: str) -> None:
        """The VPS learns the server's new keys, of which the shared one may be none."""
        lines = f"public-key {keys.public}\nallowed-ips {SERVER}/32\nhand-over\n"
        lines += "preshared\n" if keys.shared else ""
        assert call(self.vps, "put-peer homelab", lines, **env).status == 0
        if keys.shared:
            assert call(self.vps, "put-preshared-key homelab", f"{keys.shared}\n").status == 0

    def change_server(self, keys: Keys, **env: str) -> Result:
        """The server gets its new keys."""
        return call(self.server, "key", own_keys(keys), **env)

    def tell_server(self, keys: Keys, **env: str) -> None:
        """The server learns the VPS's new key."""
        lines = self.server.server_settings(f"{SERVER}/24", keys.public, f"{VPS}:51820")
        assert call(self.server, "interface", lines, **env).status == 0

    def arm_vps(self, keys: Keys) -> None:
        """The VPS gets its new key, which is to wait."""
        assert call(self.vps, "key", f"{keys.private}\nstaged\n").status == 0

    def change_vps(self, keys: Keys, server: str = "", **env: str) -> Result:
        """The last command of a run, which leads the VPS to its new key."""
        lines = f"peer homelab {server or self.server_key}\npublic-key {keys.public}\n"
        return call(self.vps, "wait-handshake", lines, **env)

    @contextmanager
    def dead_line(self) -> Iterator[None]:
        """The VPS is off the internet in this block."""
        self.vps.machine.run("ip link set ens6 down")
        try:
            yield
        finally:
            self.vps.machine.run("ip link set ens6 up; ip route add default via 203.0.113.1")

    def visited(self) -> bool:
        """Whether the visitor is still served, by the connection of the beginning."""
        return self.visitor.ask() == CLIENT

    def settled(self) -> bool:
        """Whether each end knows one key of the other: the one that it has."""
        vps, server = self.key_of(self.vps), self.key_of(self.server)
        return (self.peers(self.vps), self.peers(self.server)) == ({server}, {vps})

    def comes_through(self) -> None:
        """The visitor is served, both ends have settled, and nothing waits any more."""
        eventually(self.visited, LONG, "the visitor is not served any more")
        eventually(self.settled, LONG, "the ends have not settled")
        for tunnel in (self.vps, self.server):
            eventually(partial(nothing_waits, tunnel), LONG, "files are left")
            said = tunnel.machine.run(
                f"wg pubkey <{tunnel.files}/private.key;"
                " sed -n 's/^PrivateKey = //p' /etc/wireguard/wg0.conf | wg pubkey"
            )
            assert said.stdout.split() == [self.key_of(tunnel)] * 2


def nothing_waits(tunnel: Tunnel) -> bool:
    """Whether a host keeps no key but its own and the other end's."""
    left = f"ls -d {tunnel.files}/former.d {tunnel.files}/next.key 2>/dev/null || true"
    return not tunnel.machine.run(left).stdout


def own_keys(keys: Keys) -> str:
    """What the stack tells a server of them."""
    shared = f"preshared-key {keys.shared}\n" if keys.shared else ""
    return f"{keys.private}\n{shared}"


def give_keys(server: Tunnel, keys: Keys, **env: str) -> "Popen[str]":
    """A login by which the server gets new keys, and which goes on beside the test."""
    login = server.machine.start(f"exec {server.line('key')}", env=WAITS | env)
    assert login.stdin is not None
    login.stdin.write(own_keys(keys))
    login.stdin.close()
    return login


def begin_to_try(rotation: Rotation, keys: Keys) -> None:
    """The server gets new keys by a login that ends as soon as the first one is tried."""
    machine = rotation.server.machine
    login = give_keys(rotation.server, keys)
    # Not systemd-run, which is asked to start it first.
    tries = partial(machine.run, "pgrep -f '^/bin/bash [^ ]+ 1 switch-key$'", check=False)
    eventually(lambda: tries().status == 0, LONG, "no key is tried")
    login.kill()
    login.wait()


def goes_through(rotation: Rotation, keys: Iterable[str]) -> None:
    """The server tries these public keys, one after the other."""
    for key in keys:
        eventually(partial(rotation.uses, rotation.server, key), LONG, "it tries no longer")


def nothing_is_handed_over(tunnel: Tunnel) -> bool:
    """Whether the process that does it has ended."""
    running = "pgrep -fc '[1] hand-over' || true"
    return tunnel.machine.run(running).stdout == "0\n"


@contextmanager
def served_world() -> Iterator[World]:
    """A world with a forward that leads to a service."""
    with world() as ends:
        ends.serve(8081)
        ends.vps.put("web", f"tcp 80 -> {SERVER}:8081")
        yield ends


@contextmanager
def visited(ends: World) -> Iterator[Rotation]:
    """A visitor has come."""
    made = Rotation(ends)
    assert made.visited()
    yield made
    made.visitor.end()


@pytest.fixture(scope="module")
def ends() -> Iterator[World]:
    with served_world() as built:
        yield built


@pytest.fixture
def rotation(ends: World) -> Iterator[Rotation]:
    """For tests that leave both ends at rest; with whatever keys."""
    with visited(ends) as made:
        yield made


@pytest.fixture
def last_rotation() -> Iterator[Rotation]:
    """For tests that do not."""
    with served_world() as built, visited(built) as made:
        yield made


def restart(tunnel: Tunnel, **env: str) -> None:
    """As a reboot does it: the files are all that is left."""
    tunnel.machine.run("systemctl restart wg-quick@wg0", env=WAITS | env)


def test_a_server_goes_over_to_new_keys_and_its_visitors_stay(rotation: Rotation) -> None:
    keys = Keys.new(rotation.server.machine)
    rotation.tell_vps(keys)
    assert rotation.networks(rotation.vps) == {rotation.server_key: f"{SERVER}/32"}
    assert rotation.visited()
    assert rotation.change_server(keys).status == 0
    assert rotation.key_of(rotation.server) == keys.public
    rotation.comes_through()
    assert [rotation.vps.wrong(), rotation.server.wrong()] == [[], []]


def test_a_server_gets_a_new_key_pair_and_no_shared_key_any_more(rotation: Rotation) -> None:
    """What the VPS has of that goes at the end of an `up`, by the delete of its own command."""
    keys = Keys.new(rotation.server.machine)
    for each in (keys, replace(Keys.new(rotation.server.machine), shared="")):
        rotation.tell_vps(each)
        assert rotation.change_server(each).status == 0
        eventually(rotation.visited, LONG, "the visitor is not served any more")
    rotation.vps.call("remove-preshared-key homelab")
    rotation.comes_through()


def test_a_server_goes_back_to_the_keys_that_it_had_before(rotation: Rotation) -> None:
    private = rotation.server.machine.read(f"{rotation.server.files}/private.key").strip()
    shared = rotation.server.machine.run("wg genpsk").stdout.strip()
    for keys in (Keys.new(rotation.server.machine), Keys(private, rotation.server_key, shared)):
        rotation.tell_vps(keys)
        assert rotation.change_server(keys).status == 0
        assert rotation.key_of(rotation.server) == keys.public
        eventually(rotation.visited, LONG, "the visitor is not served any more")
    rotation.comes_through()


def test_a_server_whose_vps_was_not_told_is_back_at_its_old_keys(rotation: Rotation) -> None:
    keys = Keys.new(rotation.server.machine)
    done = rotation.change_server(keys)
    assert done.status != 0
    assert "back at the old one: run 'pulumi up' again" in done.stderr
    assert rotation.key_of(rotation.server) == rotation.server_key
    rotation.comes_through()
    assert rotation.server.wrong() == ["key"]
    rotation.tell_vps(keys)
    assert rotation.change_server(keys).status == 0
    rotation.comes_through()
    assert rotation.server.wrong() == []


def test_without_the_vps_neither_key_is_answered_and_the_server_goes_on_trying(
    rotation: Rotation,
) -> None:
    keys = Keys.new(rotation.server.machine)
    rotation.tell_vps(keys)
    with rotation.dead_line():
        # Whole seconds: in a turn of two the VPS might have one to answer.
        done = rotation.change_server(keys, RT_KEY_WAIT="4")
        assert (done.status, "neither the new key nor the old one" in done.stderr) == (0, True)
        # In its first turn the old one would hold.
        goes_through(rotation, (keys.public, rotation.server_key, keys.public))
    rotation.comes_through()
    assert rotation.key_of(rotation.server) == keys.public


def test_a_line_that_comes_back_in_the_old_keys_turn_leads_to_the_new_one(
    rotation: Rotation,
) -> None:
    keys = Keys.new(rotation.server.machine)
    rotation.tell_vps(keys)
    with rotation.dead_line():
        # WireGuard calls again within one turn; the login that began it ends at once.
        begin_to_try(rotation, keys)
        # In its first turn the old one would hold.
        goes_through(rotation, (keys.public, rotation.server_key) * 2)
    rotation.comes_through()
    assert rotation.key_of(rotation.server) == keys.public


def test_a_server_gets_a_new_key_and_a_new_way_to_the_vps_in_one_run(
    last_rotation: Rotation,
) -> None:
    """Its key comes first, when nobody answers where the VPS was."""
    keys = Keys.new(last_rotation.server.machine)
    last_rotation.vps.call("interface", stdin=last_rotation.vps.vps_settings(port=443))
    last_rotation.tell_vps(keys)
    assert last_rotation.change_server(keys, **IN_VAIN).status == 0
    lines = last_rotation.server.server_settings(
        f"{SERVER}/24", last_rotation.vps_key, f"{VPS}:443"
    )
    assert call(last_rotation.server, "interface", lines).status == 0
    last_rotation.comes_through()
    assert last_rotation.key_of(last_rotation.server) == keys.public
    assert last_rotation.server.wrong() == []


# Of the verb and of the process that it starts, which dies by the same plan.
TRYING = ["wrote-next-key", "noted-key", "set-key", "called-vps"]
TAKING = ["wrote-key", "kept-preshared-key", "wrote-conf"]  # only a key that was answered is taken


@pytest.mark.kills("key", "switch-key")
@pytest.mark.parametrize(
    ("step", "told"),
    [*((step, True) for step in TRYING + TAKING), *((step, False) for step in TRYING)],
)
def test_a_server_that_dies_at_any_step_and_starts_again_finds_the_key_that_is_answered(
    rotation: Rotation, step: str, *, told: bool
) -> None:
    """Nobody runs `up` again; the power is back."""
    keys = Keys.new(rotation.server.machine)
    if told:
        rotation.tell_vps(keys)
    dies_with_new_keys(rotation.server, keys, step)
    restart(rotation.server, **({} if told else IN_VAIN))
    rotation.comes_through()
    wanted = keys.public if told else rotation.server_key
    assert rotation.key_of(rotation.server) == wanted


# The verb waits for what it has started, which is gone.
_IN_VAIN = """
pgrep -x sleep -P "$(pgrep -f '[1] key$')" && [ "$(pgrep -fc '[1] (switch-)?key$')" = 1 ]
"""


def dies_with_new_keys(server: Tunnel, keys: Keys, step: str) -> None:
    """It gets them and dies at a step: in the verb, or in what that has started."""
    verb = give_keys(server, keys, RT_CRASH_AT=step)

    def is_dead() -> bool:
        return verb.poll() is not None or not server.machine.run(_IN_VAIN, check=False).status

    eventually(is_dead, LONG, "it does not die")
    assert verb.poll() in {None, -SIGKILL}, "it went on"
    verb.kill()
    verb.wait()


@pytest.mark.kills("put-peer")
@pytest.mark.parametrize("step", ["kept-former", "wrote-peer", "set-peer", "shared-key"])
def test_a_vps_that_dies_while_it_is_told_knows_the_old_key_until_it_is_told_again(
    rotation: Rotation, step: str
) -> None:
    keys = Keys.new(rotation.server.machine)
    lines = f"public-key {keys.public}\nallowed-ips {SERVER}/32\nhand-over\n"
    assert call(rotation.vps, "put-peer homelab", lines, RT_CRASH_AT=step).status == KILLED
    restart(rotation.vps)
    eventually(rotation.visited, LONG, "the old key leads nowhere")
    rotation.tell_vps(keys)
    assert rotation.change_server(keys).status == 0
    rotation.comes_through()


@pytest.mark.kills("hand-over")
@pytest.mark.parametrize("step", ["turned-new", "dropped-former", "turned-over", "synced-ends"])
def test_a_hand_over_that_dies_at_any_step_is_finished_by_the_next(
    rotation: Rotation, step: str
) -> None:
    """By the next run, by a change of the firewall, by a start: all of them bring the tunnel up.

    Who looks in the middle of it finds nothing wrong, and nobody whom no stack has.
    """
    keys = Keys.new(rotation.server.machine)
    rotation.tell_vps(keys, RT_CRASH_AT=step)
    assert rotation.change_server(keys).status == 0
    eventually(partial(nothing_is_handed_over, rotation.vps), LONG, "it did not die")
    assert not [line for line in rotation.vps.status() if line.startswith(("wrong", "peer - "))]
    call(rotation.vps, "restore")
    rotation.comes_through()


# What notes the units that are started; the stand-in for systemctl then takes them for running.
_NOTING = r"""#!/bin/bash
mkdir -p /run/standin
for word in "$@"; do
  [[ $word == --unit=* ]] || continue
  echo "${word#*=}" | tee -a /run/units >"/run/standin/${word#*=}"
done
"""


def test_what_goes_on_beside_is_started_again_only_where_it_has_ended(vps: Tunnel) -> None:
    """The watcher calls `restore` at every change of the rules."""
    unit = "reverse-tunnel-wg0-beside-hand-over"
    vps.machine.write("/usr/local/sbin/systemd-run", _NOTING)
    vps.machine.run("chmod +x /usr/local/sbin/systemd-run")
    for _ in range(2):
        public = Keys.new(vps.machine).public
        lines = f"public-key {public}\nallowed-ips {SERVER}/32\nhand-over\n"
        vps.call("put-peer homelab", stdin=lines)

    def started() -> int:
        vps.call("restore")
        return vps.machine.read("/run/units").split().count(unit)

    assert [started(), started()] == [1, 1]
    vps.machine.run(f"rm /run/standin/{unit}")
    assert started() == 2


def test_a_vps_that_starts_again_between_the_two_knows_both_keys(rotation: Rotation) -> None:
    keys = Keys.new(rotation.server.machine)
    rotation.tell_vps(keys)
    restart(rotation.vps)
    eventually(rotation.visited, LONG, "the old key leads nowhere")
    assert rotation.change_server(keys).status == 0
    rotation.comes_through()


def test_a_third_key_takes_the_place_of_one_that_was_never_heard(rotation: Rotation) -> None:
    never, keys = (Keys.new(rotation.server.machine) for _ in range(2))
    rotation.tell_vps(never)
    rotation.tell_vps(keys)
    assert rotation.peers(rotation.vps) == {rotation.server_key, keys.public}
    assert rotation.change_server(keys).status == 0
    rotation.comes_through()


# Somebody with a key that was handed over, who shakes hands twice a second until his input ends.
_THIEF = """
read -r private
ip link add thief type wireguard 2>/dev/null || wireguard-go thief >/dev/null 2>&1
ip link set thief up
wg set thief private-key <(echo "$private")
while read -rt 0.5 || (($? > 128)); do
  wg set thief peer {vps} remove
  wg set thief peer {vps} endpoint {at}:51820 persistent-keepalive 1
done
ip link del thief
"""


@contextmanager
def thief(ends: World, vps_key: str, private: str) -> Iterator[None]:
    """Such a one calls the VPS from the client's machine."""
    process = ends.client.start(_THIEF.format(vps=vps_key, at=VPS))
    assert process.stdin is not None
    process.stdin.write(private)
    process.stdin.flush()
    try:
        yield
    finally:
        process.communicate()


def was_heard_a_while_ago(rotation: Rotation) -> bool:
    """Whether the VPS has heard the server's new key first three seconds ago."""
    first = f"read -r _ first _ <{rotation.vps.files}/former.d/homelab"
    return not rotation.vps.machine.run(
        f"{first}; ((EPOCHSECONDS > first + 3))", check=False
    ).status


def test_who_has_a_servers_old_key_is_out_soon_however_often_he_comes(
    last_rotation: Rotation,
) -> None:
    vps, server = last_rotation.vps, last_rotation.server
    keys, private = Keys.new(server.machine), server.machine.read(f"{server.files}/private.key")
    last_rotation.tell_vps(keys, **FOREVER, RT_CRASH_AT="turned-former")
    assert last_rotation.change_server(keys).status == 0
    with thief(last_rotation.ends, last_rotation.vps_key, private):
        # He has the addresses now.
        eventually(partial(nothing_is_handed_over, vps), LONG, "he is not heard")
        call(vps, "restore", RT_SETTLED="3")
        eventually(partial(was_heard_a_while_ago, last_rotation), LONG, "it was not heard")
        restart(server)  # it shakes hands again, which it does every two minutes
        last_rotation.comes_through()


def test_a_removed_peer_leaves_neither_of_its_keys(last_rotation: Rotation) -> None:
    last_rotation.tell_vps(Keys.new(last_rotation.server.machine))
    assert call(last_rotation.vps, "remove-peer homelab").status == 0
    assert last_rotation.peers(last_rotation.vps) == set()
    assert not last_rotation.visited()
    assert "PublicKey" not in last_rotation.vps.machine.read("/etc/wireguard/wg0.conf")


def test_without_a_hand_over_the_old_key_ends_at_once(last_rotation: Rotation) -> None:
    """So it is for client devices: who has stolen one is out."""
    keys = Keys.new(last_rotation.server.machine)
    last_rotation.vps.call(
        "put-peer homelab", stdin=f"public-key {keys.public}\nallowed-ips {SERVER}/32\n"
    )
    assert last_rotation.peers(last_rotation.vps) == {keys.public}
    assert not last_rotation.visited()


def test_the_vps_goes_over_to_a_new_key_and_visitors_stay(rotation: Rotation) -> None:
    keys = Keys.new(rotation.vps.machine)
    rotation.arm_vps(keys)
    assert rotation.key_of(rotation.vps) == rotation.vps_key
    rotation.tell_server(keys)
    assert rotation.networks(rotation.server) == {rotation.vps_key: "0.0.0.0/0"}
    assert rotation.visited()
    assert rotation.change_vps(keys).status == 0
    assert rotation.key_of(rotation.vps) == keys.public
    rotation.comes_through()
    assert [rotation.vps.wrong(), rotation.server.wrong()] == [[], []]


def test_a_vps_whose_servers_do_not_come_along_is_back_at_its_old_key(rotation: Rotation) -> None:
    keys = Keys.new(rotation.vps.machine)
    rotation.arm_vps(keys)
    done = rotation.change_vps(keys, **IN_VAIN)
    assert done.status != 0
    assert "homelab did not come along to this host's new key" in done.stderr
    assert rotation.key_of(rotation.vps) == rotation.vps_key
    eventually(rotation.visited, LONG, "the old key leads nowhere")
    assert rotation.vps.wrong() == ["key"]
    rotation.tell_server(keys)
    assert rotation.change_vps(keys).status == 0
    rotation.comes_through()
    assert rotation.vps.wrong() == []


def test_servers_without_keepalive_are_waited_for_only_by_a_vps_with_a_new_key(
    rotation: Rotation,
) -> None:
    keys, stranger = (Keys.new(rotation.vps.machine) for _ in range(2))
    last = f"peer homelab {stranger.public}\n"
    assert call(rotation.vps, "wait-handshake", last, **IN_VAIN).status != 0
    assert call(rotation.vps, "wait-handshake", f"{last}silent\n").status == 0
    rotation.arm_vps(keys)
    rotation.tell_server(keys)
    last += f"public-key {keys.public}\nsilent\n"
    assert call(rotation.vps, "wait-handshake", last, **IN_VAIN).status != 0
    assert rotation.key_of(rotation.vps) == rotation.vps_key
    assert rotation.change_vps(keys).status == 0
    rotation.comes_through()


def test_a_vps_does_not_leave_its_key_while_a_server_is_away(last_rotation: Rotation) -> None:
    """One that was told would be lost else, if its turn never came."""
    keys = Keys.new(last_rotation.vps.machine)
    last_rotation.arm_vps(keys)
    last_rotation.tell_server(keys, **FOREVER)
    stranger = Keys.new(last_rotation.vps.machine).public
    lines = f"public-key {stranger}\nallowed-ips 172.16.0.9/32\n"
    last_rotation.vps.call("put-peer away", stdin=lines)
    done = last_rotation.change_vps(
        keys, server=f"{last_rotation.server_key}\npeer away {stranger}", **IN_VAIN
    )
    assert "no handshake from away" in done.stderr
    assert last_rotation.key_of(last_rotation.vps) == last_rotation.vps_key
    eventually(last_rotation.visited, LONG, "the visitor is not served any more")


def test_a_vps_goes_back_before_who_came_along_has_dropped_its_old_key(
    last_rotation: Rotation,
) -> None:
    """However many other runs wait for the lock meanwhile."""
    keys, stranger = (Keys.new(last_rotation.vps.machine) for _ in range(2))
    vps = last_rotation.vps
    last_rotation.arm_vps(keys)
    last_rotation.tell_server(keys, RT_SETTLED="20")
    lines = f"public-key {stranger.public}\nallowed-ips 172.16.0.9/32\n"
    vps.call("put-peer away", stdin=lines)
    last = vps.machine.start(f"exec {vps.line('wait-handshake')} 2>&1", env=WAITS | IN_VAIN)
    assert last.stdin is not None
    last.stdin.write(f"peer homelab {last_rotation.server_key}\npeer away {stranger.public}\n")
    last.stdin.write(f"public-key {keys.public}\n")
    last.stdin.close()
    eventually(partial(last_rotation.uses, vps, keys.public), LONG, "it does not change its key")
    with locked(vps.machine):
        both = {keys.public, last_rotation.vps_key}
        eventually(
            lambda: last.poll() is not None or last_rotation.peers(last_rotation.server) != both,
            LONG,
            "it does not go back",
        )
    last.wait()
    eventually(last_rotation.visited, LONG, "the visitor is not served any more")


def test_a_server_that_has_just_joined_knows_the_new_key_alone(last_rotation: Rotation) -> None:
    """It was added, or set up anew, in the same run."""
    keys = Keys.new(last_rotation.vps.machine)
    server = last_rotation.server
    private = server.machine.read(f"{server.files}/private.key")
    last_rotation.arm_vps(keys)
    server.call(f"uninstall {server.owner}")
    server.install()
    server.call("key", stdin=private)
    last_rotation.tell_server(keys)
    done = last_rotation.change_vps(keys, RT_HANDSHAKE_WAIT="12")
    assert done.status == 0, done.stderr
    assert last_rotation.key_of(last_rotation.vps) == keys.public


def test_a_server_that_came_along_goes_back_with_the_vps(last_rotation: Rotation) -> None:
    """Another server has not come along, so the VPS is back at its old key."""
    keys = Keys.new(last_rotation.vps.machine)
    last_rotation.tell_server(keys, **FOREVER)
    old = last_rotation.vps.machine.read(f"{last_rotation.vps.files}/private.key")
    for private, public in ((keys.private, keys.public), (old, last_rotation.vps_key)) * 2:
        last_rotation.vps.machine.run("sleep 1; wg set wg0 private-key <(cat)", stdin=private)
        call_server(last_rotation)
        eventually(partial(follows, last_rotation, public), LONG, "the server did not follow")
        eventually(last_rotation.visited, LONG, "the visitor is not served any more")


def follows(rotation: Rotation, key: str) -> bool:
    """Whether the server takes that key for the VPS's."""
    return rotation.networks(rotation.server) == {key: "0.0.0.0/0"}


def call_server(rotation: Rotation) -> None:
    """A handshake now."""
    for seconds in (25, 0):
        rotation.vps.machine.run(
            f"wg set wg0 peer {rotation.server_key} persistent-keepalive {seconds}"
        )


@pytest.mark.kills("wait-handshake")
@pytest.mark.parametrize("step", ["wrote-key", "wrote-conf", "took-keys", "exchanged-key"])
@pytest.mark.parametrize("starts_again", [True, False])
def test_a_vps_that_dies_on_its_way_to_a_new_key_gets_there(
    rotation: Rotation, step: str, *, starts_again: bool
) -> None:
    keys = Keys.new(rotation.vps.machine)
    rotation.arm_vps(keys)
    rotation.tell_server(keys)
    assert rotation.change_vps(keys, RT_CRASH_AT=step).status == KILLED
    if starts_again:
        restart(rotation.vps)
        eventually(rotation.visited, LONG, "the visitor is not served any more")
    rotation.arm_vps(keys)
    assert rotation.change_vps(keys).status == 0
    rotation.comes_through()
    assert rotation.key_of(rotation.vps) == keys.public


@pytest.mark.kills("wait-handshake")
def test_a_vps_that_dies_on_its_way_back_is_at_its_old_key_after_a_start(
    rotation: Rotation,
) -> None:
    keys = Keys.new(rotation.vps.machine)
    rotation.arm_vps(keys)
    assert rotation.change_vps(keys, **IN_VAIN, RT_CRASH_AT="restored-key").status == KILLED
    restart(rotation.vps)
    eventually(rotation.visited, LONG, "the visitor is not served any more")
    rotation.arm_vps(keys)
    rotation.tell_server(keys)
    assert rotation.change_vps(keys).status == 0
    rotation.comes_through()


def test_both_ends_change_in_one_run_and_visitors_stay(rotation: Rotation) -> None:
    """In the order of an `up`: the VPS is told all, then the server, and the VPS goes last."""
    vps, server = Keys.new(rotation.vps.machine), Keys.new(rotation.server.machine)
    rotation.arm_vps(vps)
    rotation.tell_vps(server)
    assert rotation.change_server(server).status == 0
    rotation.tell_server(vps)
    eventually(rotation.visited, LONG, "the visitor is not served any more")
    assert rotation.change_vps(vps, server.public).status == 0
    rotation.comes_through()


BY_HAND = {
    "the interface's key": "wg set wg0 private-key <(wg genkey)",
    "the file": "wg genkey >{files}/private.key",
    "the interface's shared key": "wg set wg0 peer {peer} preshared-key <(wg genpsk)",
    "no shared key": "wg set wg0 peer {peer} preshared-key /dev/null",
    "the shared key's file": "wg genpsk >{files}/preshared.key",
}


@pytest.mark.parametrize("harm", BY_HAND)
def test_keys_that_were_changed_by_hand_are_told_and_put_back(
    rotation: Rotation, harm: str
) -> None:
    keys = Keys.new(rotation.server.machine)
    rotation.tell_vps(keys)
    rotation.change_server(keys)
    rotation.comes_through()
    server = rotation.server
    command = BY_HAND[harm].format(files=server.files, peer=rotation.vps_key)
    for _ in range(2):
        assert server.wrong() == []
        server.machine.run(command)
        assert server.wrong() == ["key"]
        assert rotation.change_server(keys).status == 0
        rotation.comes_through()


def test_the_vps_tells_of_a_key_that_was_changed_by_hand(vps: Tunnel) -> None:
    for command in ("wg set wg0 private-key <(wg genkey)", f"wg genkey >{vps.files}/private.key"):
        key = vps.machine.read(f"{vps.files}/private.key")
        assert vps.wrong() == []
        vps.machine.run(command)
        assert vps.wrong() == ["key"]
        vps.call("key", stdin=key)
        assert vps.wrong() == []


VPS_BY_HAND = {
    "the interface's key": "wg set wg0 private-key <(wg genkey)",
    "the file": "wg genkey >{files}/private.key",
    "both": "wg genkey >{files}/private.key; wg set wg0 private-key {files}/private.key",
}


@pytest.mark.parametrize("harm", VPS_BY_HAND)
def test_a_vps_key_that_was_changed_by_hand_is_put_back_at_once(
    rotation: Rotation, harm: str
) -> None:
    """What waits for a staged key has no reason to run again."""
    keys = Keys.new(rotation.vps.machine)
    rotation.arm_vps(keys)
    rotation.tell_server(keys)
    assert rotation.change_vps(keys).status == 0
    rotation.comes_through()
    rotation.vps.machine.run(VPS_BY_HAND[harm].format(files=rotation.vps.files))
    assert rotation.vps.wrong() == ["key"]
    rotation.arm_vps(keys)
    assert rotation.vps.wrong() == []
    rotation.comes_through()


@pytest.mark.kills("key")
@pytest.mark.parametrize("step", ["wrote-next-key", "noted-key"])
def test_a_staged_key_still_waits_where_its_command_was_killed(
    rotation: Rotation, step: str
) -> None:
    keys = Keys.new(rotation.vps.machine)
    stdin = f"{keys.private}\nstaged\n"
    assert call(rotation.vps, "key", stdin, RT_CRASH_AT=step).status == KILLED
    rotation.arm_vps(keys)
    assert rotation.key_of(rotation.vps) == rotation.vps_key
    rotation.tell_server(keys)
    assert rotation.change_vps(keys).status == 0
    rotation.comes_through()


def test_a_host_of_an_older_helper_notes_its_keys_when_it_gets_a_newer_one(vps: Tunnel) -> None:
    vps.machine.run(f"rm {vps.files}/given")
    assert vps.wrong() == []
    vps.install()
    vps.machine.run(f"wg genkey >{vps.files}/private.key")
    assert vps.wrong() == ["key"]


@pytest.mark.parametrize("line", ["staged\nstaged now", "preshared-key abc", "hand-over"])
def test_lines_that_are_not_known_behind_a_key_are_refused(vps: Tunnel, line: str) -> None:
    key = vps.machine.read(f"{vps.files}/private.key").strip()
    done = vps.call("key", stdin=f"{key}\n{line}\n", check=False)
    assert done.status == REFUSED
    assert key not in done.stderr
