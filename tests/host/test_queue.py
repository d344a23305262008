"""Runs that wait for each other on a host: each gets its turn, and waiting costs little."""

import pytest

from tests.host.tunnel import Tunnel
from tests.support import eventually

LIB = "/usr/local/lib/reverse-tunnel"
LONG = 30.0  # seconds
WAITING = 5

# How far the waiting runs have read their script, one number a line.
HOW_FAR = r"""
for run in $(pgrep -f 'reverse-tunnel 1 put-forward'); do
  ! pgrep -P "$run" -x flock >/dev/null || sed -n 's/^pos:[[:space:]]*//p' /proc/$run/fdinfo/255
done
"""


def test_who_waits_has_not_read_the_helper_and_then_does_its_work(vps: Tunnel) -> None:
    """A small VPS has little memory, and Pulumi calls for many forwards at once."""
    machine = vps.machine
    holder = machine.start(f"exec flock --no-fork {LIB} sleep 60")
    eventually(
        lambda: machine.run(f"flock --nonblock {LIB} true", check=False).status != 0,
        LONG,
        "no lock",
    )
    lines = {f"f{n}": f"tcp {8000 + n} -> 172.16.0.4:80" for n in range(WAITING)}
    runs = [
        machine.start(f"{vps.folder}/reverse-tunnel 1 put-forward {name} <<<'{line}'")
        for name, line in lines.items()
    ]

    def read_so_far() -> list[int]:
        return [int(far) for far in machine.run(HOW_FAR).stdout.split()]

    eventually(lambda: len(read_so_far()) == WAITING, LONG, "not all of them wait")
    size = int(machine.run(f"stat -c %s {vps.folder}/reverse-tunnel").stdout)
    assert max(read_so_far()) < size / 5
    assert vps.forwards() == []

    holder.kill()
    holder.communicate()
    for run in runs:
        run.communicate()
        assert run.returncode == 0
    assert vps.forwards() == sorted(lines.items())


def test_a_caller_that_does_not_go_on_holds_up_nobody(vps: Tunnel) -> None:
    silent = vps.machine.start(f"{vps.folder}/reverse-tunnel 1 put-forward slow")
    vps.put("web", "tcp 80 -> 172.16.0.4:8080")
    assert silent.poll() is None
    silent.communicate("tcp 81 -> 172.16.0.4:8081\n")
    assert [name for name, _ in vps.forwards()] == ["slow", "web"]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_helper_that_was_cut_short_does_nothing_and_says_so(vps: Tunnel, share: float) -> None:
    path = f"{vps.folder}/reverse-tunnel"
    whole = vps.machine.read(path)
    vps.machine.write(path, whole[: int(len(whole) * share)])
    done = vps.put("web", "tcp 80 -> 172.16.0.4:8080", check=False)
    assert done.status != 0
    assert vps.forwards() == []
