"""Runs that wait for each other on a host: each gets its turn, and waiting costs little."""

from collections.abc import Callable
from fcntl import ioctl
from signal import SIGKILL
from subprocess import Popen
from termios import FIONREAD

import pytest

from tests.host.snapshot import snapshot
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.waiting import LIB, LONG, Waiting, locked
from tests.support import eventually

WAITING = 5
FIVE = {f"f{n}": f"tcp {8000 + n} -> 172.16.0.4:80" for n in range(WAITING)}
QUEUE = "/run/reverse-tunnel/wg0.queue"


def test_who_waits_has_not_read_the_helper_and_then_does_its_work(vps: Tunnel) -> None:
    """A small VPS has little memory, and Pulumi calls for many forwards at once."""
    waiting = Waiting(vps)
    lines = {f"f{n}": f"tcp {8000 + n} -> 172.16.0.4:80" for n in range(WAITING)}
    for name, line in lines.items():
        waiting.call("put-forward", name, line)
    size = int(vps.machine.run(f"stat -c %s {vps.folder}/reverse-tunnel").stdout)
    assert max(waiting.read_so_far()) < size / 5
    assert vps.forwards() == []

    assert set(waiting.go().values()) == {(0, "")}
    assert vps.forwards() == sorted(lines.items())


def test_all_that_wait_are_done_by_one_exchange_of_rules(
    vps: Tunnel, exchanges: Callable[[], int]
) -> None:
    for verb, forwards in (("put-forward", FIVE), ("remove-forward", {})):
        before = exchanges() if verb == "remove-forward" else 0
        waiting = Waiting(vps)
        for name, line in FIVE.items():
            waiting.call(verb, name, line if forwards else "")
        assert set(waiting.go().values()) == {(0, "")}
        assert vps.forwards() == sorted(forwards.items())
        assert exchanges() - before == 1
        assert vps.machine.run(f"ls -A {QUEUE}", check=False).status != 0


@pytest.mark.parametrize(
    ("verb", "older", "newer"), [("remove", FIVE["f1"], ""), ("put", "", FIVE["f1"])]
)
def test_of_two_that_wait_for_one_name_the_later_has_the_last_word(
    vps: Tunnel, verb: str, older: str, newer: str
) -> None:
    """As by an `up` that was broken off, and the next: whoever works for others has one verb."""
    waiting = Waiting(vps)
    waiting.call(f"{verb}-forward", "web", "tcp 80 -> 172.16.0.4:80" if verb == "put" else "")
    for line in (older, newer):
        waiting.call("put-forward" if line else "remove-forward", "f1", line)
    assert set(waiting.go().values()) == {(0, "")}
    assert ("f1" in dict(vps.forwards())) == (newer != "")


def test_without_anybody_waiting_each_is_done_for_itself(
    vps: Tunnel, exchanges: Callable[[], int]
) -> None:
    for name, line in FIVE.items():
        vps.put(name, line)
    assert exchanges() == WAITING


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("udp 51820 -> 172.16.0.4:51820", "the port at which the tunnel"),
        ("tcp 70000 -> 172.16.0.4:80", "ports are 1-65535"),
    ],
)
def test_what_is_refused_is_told_to_its_own_caller_alone(vps: Tunnel, line: str, said: str) -> None:
    waiting = Waiting(vps)
    for name, sound in FIVE.items():
        waiting.call("put-forward", name, sound)
    waiting.call("put-forward", "wrong", line)
    ended = waiting.go()
    status, words = ended.pop("wrong")
    assert status == REFUSED
    assert said in words
    assert set(ended.values()) == {(0, "")}
    assert vps.forwards() == sorted(FIVE.items())


@pytest.mark.kills("put-forward")
@pytest.mark.parametrize("step", ["wrote-forward", "synced-rules", "retired-flows", "told-joined"])
def test_who_does_the_work_of_others_may_be_killed(vps: Tunnel, step: str) -> None:
    waiting = Waiting(vps)
    waiting.call("put-forward", "killed", "tcp 8100 -> 172.16.0.4:80", crash_at=step)
    for name, line in FIVE.items():
        waiting.call("put-forward", name, line)
    ended = waiting.go()
    status, _ = ended.pop("killed")
    assert status == -SIGKILL
    assert set(ended.values()) == {(0, "")}
    assert set(FIVE.items()) <= set(vps.forwards())


@pytest.mark.parametrize("process", ["999999", "$!"])
def test_what_nobody_waits_for_any_more_is_not_done(vps: Tunnel, process: str) -> None:
    """The number of a process that is gone, and of one that is something else."""
    vps.machine.run(
        f"sleep 60 & mkdir -p {QUEUE};"
        f" printf '%s\\n' 'put-forward f1' '{FIVE['f1']}' . >{QUEUE}/{process};"
        f" {vps.folder}/reverse-tunnel 1 put-forward web <<<'tcp 80 -> 172.16.0.4:80'; s=$?;"
        " kill $!; exit $s"
    )
    assert [name for name, _ in vps.forwards()] == ["web"]


def has_read(vps: Tunnel, words: str, line: str) -> Popen[str]:
    """A run that has taken this line, and waits for another or for the end."""
    run = vps.machine.start(f"exec {vps.line(words)}")
    stdin = run.stdin
    assert stdin is not None
    stdin.write(f"{line}\n")
    stdin.flush()
    eventually(lambda: not any(ioctl(stdin, FIONREAD, bytes(4))), LONG, "it does not read")
    return run


def test_what_a_former_process_of_its_number_has_left_is_nobodys(vps: Tunnel) -> None:
    """It asked for something else, and this one has not said yet what it wants."""
    silent = has_read(vps, "put-forward game", "udp 27000 -> 172.16.0.4:27000")
    left = f"{QUEUE}/$(pgrep -f '[r]everse-tunnel 1 put-forward game')"
    vps.machine.run(f"mkdir -p {QUEUE}; printf '%s\\n' 'put-forward web' '{FIVE['f1']}' . >{left}")
    # It has looked for such a file when it was started.
    assert vps.machine.run(f"cat {left}").stdout.startswith("put-forward web\n")
    vps.put("http", "tcp 80 -> 172.16.0.4:80")
    assert [name for name, _ in vps.forwards()] == ["http"]
    silent.communicate()
    assert silent.returncode == 0
    assert [name for name, _ in vps.forwards()] == ["game", "http"]


@pytest.mark.parametrize("verb", ["remove-forward", "remove-peer"])
def test_nor_is_what_such_a_process_was_told(vps: Tunnel, verb: str) -> None:
    """That it need do nothing any more."""
    key = vps.machine.run("wg genkey | wg pubkey").stdout.strip()
    vps.call("put-peer laptop", stdin=f"public-key {key}\nallowed-ips 172.16.0.10/32\n")
    vps.put("laptop", "tcp 80 -> 172.16.0.4:80")
    folder = vps.folder.rpartition("/")[0]
    vps.machine.run(
        f"mkdir -p {QUEUE}; exec 9<{folder}; flock 9; sleep 1 & exec 9<&-;"
        f" exec sh -c 'echo done >{QUEUE}/$$; exec {vps.folder}/reverse-tunnel 1 {verb} laptop'"
    )
    left = [name for name, _ in vps.forwards()]
    left += vps.machine.run(f"ls {vps.files}/peers.d").stdout.split()
    assert left == (["laptop.conf"] if verb == "remove-forward" else ["laptop"])


def test_where_the_disk_is_full_each_hears_of_its_own(vps: Tunnel) -> None:
    """And what there is room for is whole: its file, its rules, its success."""
    folder = f"{vps.files}/forwards.d"
    vps.machine.run(f"mkdir -p {folder} && mount -t tmpfs -o size=12k,mode=700 none {folder}")
    waiting = Waiting(vps)
    for name, line in FIVE.items():
        waiting.call("put-forward", name, line)
    ended = waiting.go()
    made = [name for name, _ in vps.forwards()]
    assert 0 < len(made) < WAITING
    for name, (status, said) in ended.items():
        assert status == (0 if name in made else 1)
        assert (said == "") == (name in made)
        assert name in made or f"could not write {folder}/{name}" in said
    files = vps.machine.run(f"ls -A {folder}").stdout.split()
    assert sorted(files) == made


def test_what_is_paused_is_taken_away_alone(vps: Tunnel, exchanges: Callable[[], int]) -> None:
    """First what leads in: else its list would be gone before it, and it open to all."""
    vps.put("f0", f"{FIVE['f0']}\nfrom 198.51.100.7/32")
    before = exchanges()
    waiting = Waiting(vps)
    waiting.call("put-forward", "f0", f"{FIVE['f0']}\npaused")
    waiting.call("put-forward", "f1", FIVE["f1"])
    waiting.call("put-forward", "f2", f"{FIVE['f2']}\npaused")
    assert set(waiting.go().values()) == {(0, "")}
    assert [name for name, _ in vps.forwards()] == ["f1"]
    assert exchanges() - before == 2  # f2 has no rules


def test_a_caller_that_does_not_go_on_holds_up_nobody(vps: Tunnel) -> None:
    silent = has_read(vps, "put-forward slow", "tcp 81 -> 172.16.0.4:8081")
    vps.put("web", "tcp 80 -> 172.16.0.4:8080")
    assert silent.poll() is None
    silent.communicate()
    assert [name for name, _ in vps.forwards()] == ["slow", "web"]


@pytest.mark.parametrize(
    ("words", "lines"), [("put-forward web", FIVE["f1"]), ("remove-peer laptop", ""), ("up", "")]
)
def test_a_run_that_never_ends_is_not_waited_for_for_ever(
    vps: Tunnel, words: str, lines: str
) -> None:
    """Of those that leave their lines, those that do not, and those that wait later."""
    before = snapshot(vps.machine)
    with locked(vps.machine):
        done = vps.call(words, stdin=f"{lines}\n", env={"RT_LOCK_WAIT": "0.5"}, check=False)
    assert done.status == 1
    assert f"another run has held the lock for 0.5 s: see 'fuser -v {LIB}'" in done.stderr
    assert snapshot(vps.machine) == before


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_helper_that_was_cut_short_does_nothing_and_says_so(vps: Tunnel, share: float) -> None:
    path = f"{vps.folder}/reverse-tunnel"
    whole = vps.machine.read(path)
    vps.machine.write(path, whole[: int(len(whole) * share)])
    done = vps.put("web", "tcp 80 -> 172.16.0.4:8080", check=False)
    assert done.status != 0
    assert vps.forwards() == []
