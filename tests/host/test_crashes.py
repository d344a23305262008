"""kill -9 at every step of every verb: the next run ends where an undisturbed one would.

The steps are those that the helper names; the kernel and the files are looked at between any two.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.host.conftest import fresh_machine
from tests.host.machine import Machine, Result
from tests.host.snapshot import snapshot
from tests.host.tunnel import KILLED, Tunnel

HTTPS = "tcp 443 -> 172.16.0.4:8081"
KEY = "AGnF3KVd62Mhm57l4EUIuyI75bObTfb0ksK/0gcdnGg="  # snake oil
PEER = f"public-key {KEY}\nallowed-ips 172.16.0.4/32\n"
LAPTOP = "public-key VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA=\nallowed-ips 172.16.0.9/32\n"
LAPTOP_S_WAY = LAPTOP.strip() + ",192.168.1.0/24\negress tunnel\nmtu 1280\n"
EVERY_KIND = """\
tcp+udp 9000-9003 -> 172.16.0.4:8078-8081
from 198.51.100.0/24,203.0.113.7/32
limit-new 10
limit-concurrent 50
source-address tunnel"""

Tell = Callable[[str, object], None]  # `record_property`, for lab/benchmark/faults.py

MORE_STEPS_THAN_ANY_VERB_HAS = 60


@dataclass(frozen=True)
class Operation:
    """A call of the helper, and one that takes it back."""

    do: Callable[[Tunnel, int], Result]
    undo: Callable[[Tunnel], Result]


def killed_at_every_step(tunnel: Tunnel, operation: Operation) -> int:
    """Check convergence for each step; how many there are."""
    before = snapshot(tunnel.machine)
    operation.do(tunnel, 0)
    after = snapshot(tunnel.machine)
    assert after != before
    operation.undo(tunnel)
    assert snapshot(tunnel.machine) == before
    for step in range(1, MORE_STEPS_THAN_ANY_VERB_HAS):
        result = operation.do(tunnel, step)
        if result.status != KILLED:
            assert result.status == 0, result.stderr
            return step - 1
        operation.do(tunnel, 0)
        assert snapshot(tunnel.machine) == after, f"killed at step {step}"
        operation.undo(tunnel)
        assert snapshot(tunnel.machine) == before, f"undone after a kill at step {step}"
    raise AssertionError("there is no end of steps")


OPERATIONS = {
    "a forward is added": Operation(
        lambda t, step: t.put("https", HTTPS, crash_at=step or "", check=not step),
        lambda t: t.remove("https"),
    ),
    "a forward is changed": Operation(
        lambda t, step: t.put("http", HTTPS, crash_at=step or "", check=not step),
        lambda t: t.put("http", "tcp 80 -> 172.16.0.4:8080"),
    ),
    "a forward is removed": Operation(
        lambda t, step: t.remove("http", crash_at=step or "", check=not step),
        lambda t: t.put("http", "tcp 80 -> 172.16.0.4:8080"),
    ),
    "a forward becomes one of every kind": Operation(
        lambda t, step: t.put("http", EVERY_KIND, crash_at=step or "", check=not step),
        lambda t: t.put("http", "tcp 80 -> 172.16.0.4:8080"),
    ),
    "a peer gets a network, a way out and an MTU": Operation(
        lambda t, step: t.call(
            "put-peer laptop", stdin=LAPTOP_S_WAY, crash_at=step or "", check=not step
        ),
        lambda t: t.call("put-peer laptop", stdin=LAPTOP),
    ),
    "a peer is added": Operation(
        lambda t, step: t.call("put-peer a", stdin=PEER, crash_at=step or "", check=not step),
        lambda t: t.call("remove-peer a"),
    ),
    "a peer is removed": Operation(
        lambda t, step: t.call("remove-peer laptop", crash_at=step or "", check=not step),
        lambda t: t.call("put-peer laptop", stdin=LAPTOP),
    ),
    "the network, the port and the MTU change": Operation(
        lambda t, step: t.call(
            "interface",
            stdin=t.vps_settings("10.9.0.1/16", 443).replace("1420", "1380"),
            crash_at=step or "",
            check=not step,
        ),
        lambda t: t.call("interface", stdin=t.vps_settings()),
    ),
    "the tunnel gets IPv6": Operation(
        lambda t, step: t.call(
            "interface",
            stdin=f"{t.vps_settings()}ipv6 fd5c:91e2:7a3b::1/64\n",
            crash_at=step or "",
            check=not step,
        ),
        lambda t: t.call("interface", stdin=t.vps_settings()),
    ),
    "the key changes": Operation(
        lambda t, step: t.call("key", stdin=KEY, crash_at=step or "", check=not step),
        lambda t: t.call("key", stdin=t.machine.read("/tmp/key")),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_change_killed_at_any_step_is_finished_by_the_next_run(
    vps: Tunnel, name: str, record_property: Tell
) -> None:
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    vps.call("put-peer laptop", stdin=LAPTOP)
    vps.machine.run(f"cp {vps.files}/private.key /tmp/key")
    steps = killed_at_every_step(vps, OPERATIONS[name])
    assert steps >= 2
    record_property("tried", steps)


def test_a_servers_changes_killed_at_any_step_are_finished_by_the_next_run(
    machine: Machine, record_property: Tell
) -> None:
    """What is behind it, its way out, and an opening."""
    server = Tunnel(machine)
    server.install()
    key = server.set_key()
    plain = server.server_settings("172.16.0.4/24", key, "203.0.113.1:51820")
    more = plain + "egress tunnel\nnetwork 203.0.113.0/24\n"
    server.call("interface", stdin=plain)
    interface = Operation(
        lambda t, step: t.call("interface", stdin=more, crash_at=step or "", check=not step),
        lambda t: t.call("interface", stdin=plain),
    )
    steps = killed_at_every_step(server, interface)
    assert steps >= 2
    record_property("tried", steps)
    dual = more + "ipv6 fd5c:91e2:7a3b::4/64\n"
    family = Operation(
        lambda t, step: t.call("interface", stdin=dual, crash_at=step or "", check=not step),
        lambda t: t.call("interface", stdin=more),
    )
    steps = killed_at_every_step(server, family)
    assert steps >= 2
    record_property("tried", steps)
    server.call("put-opening keep", stdin="udp 192.168.1.31:53")
    lines = "tcp+udp 192.168.1.30:22-23\nsource-address tunnel\n"
    opening = Operation(
        lambda t, step: t.call("put-opening nas", stdin=lines, crash_at=step or "", check=not step),
        lambda t: t.call("remove-opening nas"),
    )
    steps = killed_at_every_step(server, opening)
    assert steps >= 2
    record_property("tried", steps)


@pytest.mark.parametrize("name", ["a forward is added", "a forward is changed"])
def test_a_change_killed_at_any_step_leaves_a_tunnel_that_starts(
    vps: Tunnel, name: str, record_property: Tell
) -> None:
    """Nobody runs `up` again after a power cut: the files, old or new, are what comes up."""
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    operation = OPERATIONS[name]
    for step in range(1, MORE_STEPS_THAN_ANY_VERB_HAS):
        status = operation.do(vps, step).status
        if status != KILLED:
            assert status == 0
            assert step > 2
            record_property("tried", step - 1)
            return
        vps.machine.run("wg-quick down wg0; wg-quick up wg0")
        files = vps.machine.run(f"cd {vps.files}/forwards.d && grep -H '' *").stdout.split("\n")
        wanted = [tuple(line.split(":", 1)) for line in files if line]
        assert vps.forwards() == sorted(wanted), f"killed at step {step}"
        assert vps.machine.run(f"find {vps.files} -name '.*'").stdout == ""
        operation.undo(vps)
    raise AssertionError("there is no end of steps")


def first_up(tunnel: Tunnel, crash_at: str = "") -> int:
    """What the first `up` does on a VPS, until a step of that name; the last status."""
    status = tunnel.install(crash_at=crash_at, check=False).status
    calls = {
        "key": KEY,
        "interface": tunnel.vps_settings(),
        "put-peer laptop": PEER,
        "put-forward https": HTTPS,
    }
    for words, lines in calls.items():
        if status == 0:
            status = tunnel.call(words, stdin=lines, crash_at=crash_at, check=False).status
    return status


def destroy(tunnel: Tunnel) -> None:
    """The claim's own delete: uninstall where a helper is, else the tunnel's folder goes."""
    helper = f"{tunnel.folder}/reverse-tunnel"
    tunnel.machine.run(
        f"if test -e {helper}; then {helper} 1 uninstall {tunnel.owner}; else"
        f" rm -rf {tunnel.folder}; rmdir /usr/local/lib/reverse-tunnel 2>/dev/null || true; fi"
    )


@pytest.fixture(scope="module")
def bare() -> Iterator[Machine]:
    """A host without a tunnel, on which each test leaves nothing."""
    with fresh_machine() as host:
        yield host


@pytest.mark.parametrize(
    "name",
    [
        "checked-host", "placed-helper", "staged-owner", "wrote-key",
        "wrote-settings", "staged-wg0.conf", "enabled-unit", "computed-rules", "noted-forwarding",
        "started-unit", "wrote-peer", "kept-old-forward",
    ],
)  # fmt: skip
def test_a_first_up_killed_at_any_step_is_finished_or_taken_back(bare: Machine, name: str) -> None:
    """By the next `up`, and by a destroy instead of it: then the host is as before."""
    tunnel = Tunnel(bare)
    before = snapshot(bare)
    assert first_up(tunnel, name) != 0, f"there is no step {name}"  # in the unit's start it gets 1
    destroy(tunnel)
    assert snapshot(bare) == before
    first_up(tunnel, name)
    assert first_up(tunnel) == 0
    assert tunnel.forwards() == [("https", HTTPS)]
    assert not [line for line in tunnel.status() if "differs" in line]
    destroy(tunnel)
    assert snapshot(bare) == before


def test_an_uninstall_killed_at_any_step_is_finished_by_the_next(
    bare: Machine, record_property: Tell
) -> None:
    before = snapshot(bare)
    tunnel = Tunnel(bare)
    for step in range(1, MORE_STEPS_THAN_ANY_VERB_HAS):
        assert first_up(tunnel) == 0
        status = tunnel.call("uninstall", crash_at=step, check=False).status
        destroy(tunnel)
        assert snapshot(bare) == before, f"killed at step {step}"
        if status != KILLED:
            assert status == 0
            assert step > 3
            record_property("tried", step - 1)
            return
    raise AssertionError("there is no end of steps")


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_start_or_stop_killed_at_any_step_is_mended_by_the_next_start(
    vps: Tunnel, verb: str, record_property: Tell
) -> None:
    """wg-quick does not know of the kill: it takes the interface down, or leaves it."""
    vps.put("https", HTTPS)
    after = snapshot(vps.machine)
    for step in range(1, MORE_STEPS_THAN_ANY_VERB_HAS):
        if verb == "up":
            vps.machine.run("wg-quick down wg0")
        killed = vps.machine.run(
            f"wg-quick {verb} wg0", env={"RT_CRASH_AT": str(step)}, check=False
        )
        vps.machine.run("ip link del wg0", check=False)
        vps.machine.run("wg-quick up wg0")
        assert snapshot(vps.machine) == after, f"killed at step {step}"
        if killed.status == 0:
            assert step > 2
            record_property("tried", step - 1)
            return
    raise AssertionError("there is no end of steps")
