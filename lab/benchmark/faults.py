"""What goes wrong, counted: how often it was tried, and how often all was right in the end."""

import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.benchmark.counted_tests import CountedTests
from lab.benchmark.figures import Column, Goal, Row, Section, Table
from lab.benchmark.forwards import set_forwards
from lab.benchmark.machine import machine, today
from lab.lab import Lab
from lab.progress import StepError, say
from lab.stack import write_stack

if TYPE_CHECKING:
    from subprocess import Popen

_ROUNDS = 20  # of each fault in the lab
_QUICK = 2
_LONGEST = 4.0  # seconds into an `up`, which takes about as long
_ATTEMPTS = 20  # until one `up` is disturbed
_KEPT = {"port": 80, "to": "homelab:8080"}

_ABOUT = """\
After each fault in the lab the next `up` is run to its end, and looked at: the VPS's rules are
those of the final forwards, a visitor gets through, and a preview has nothing to do. An `up` that
had ended before it was disturbed, or did not mind, is no fault: another one is."""

_LOCKED = "the stack is currently locked"  # the engine's words

# The sessions of sshd, not sshd itself, by their parent; it fails if there is none.
_CUT = "kill -KILL $(pgrep --parent $(systemctl show --property MainPID --value ssh))"
_TAG = re.compile(
    r'^-A RT-wg0-DNAT .* --comment "?rt:wg0:(\S+?)"? .* --to-destination (\S+)$', re.MULTILINE
)

_TESTS = (
    CountedTests(
        "the helper is killed at each of its steps, in every verb",
        ("tests/host", "-m", "kills", "--numprocesses=2"),
    ),
    CountedTests(
        "the disk is full, or the helper arrives cut short",
        ("tests/host/test_install.py", "-k", "full_disk or cut_short"),
    ),
    CountedTests(
        "a host's clock is set while it waits, or is behind when it starts",
        ("tests/host/test_clock.py", "-k", "not can_be_set"),
    ),
    CountedTests(
        "a random configuration: refused in readable words, or right",
        ("tests/settings/test_random.py",),
    ),
    CountedTests(
        "a random sequence of changes, with kills: exactly the final rules and flows",
        ("tests/host/test_sequences.py", "tests/host/test_kind_sequences.py", "--numprocesses=2"),
    ),
)


def measure(lab: Lab, *, quick: bool) -> Section:
    """Provoke faults in a real `up`, and run the tests that provoke them on the hosts."""
    on, taken = machine(), today()
    rounds = _QUICK if quick else _ROUNDS
    runs = _Ups(lab)
    rows = [
        _count("the engine is killed at a random moment of an `up`", rounds, runs.kill_engine),
        _count("all SSH connections are cut at one", rounds, runs.cut_connections),
        _count("two `up`s at once", rounds, runs.two_at_once),
    ]
    for tests in _TESTS:
        say(tests.name)
        counted = tests.run(profile="fast" if quick else "counted")
        rows.append(_row(tests.name, counted.tried, counted.right))
    return Section(
        title="Faults",
        taken=taken,
        machine=on,
        about=(_ABOUT,),
        goals=(_goal(rows),),
        tables=(
            Table(
                title="Tried, and right in the end",
                label="fault",
                columns=(Column(name="tried"), Column(name="right", better="more")),
                rows=(*rows,),
            ),
        ),
        missing={
            "WireGuard's own clock being set": "it is the machine's, with everything else on it; a"
            " handshake with a later time stands for it"
        },
    )


def _goal(rows: list[Row]) -> Goal:
    tried, right = (sum(sum(row.samples(name)) for row in rows) for name in ("tried", "right"))
    return Goal(
        text="everything ends as it should",
        found=f"{right:,.0f} of {tried:,.0f}",
        met=right == tried,
    )


def _row(name: str, tried: int, right: int) -> Row:
    return Row(name=name, cells={"tried": (tried,), "right": (right,)})


def _count(name: str, rounds: int, once: Callable[[], bool]) -> Row:
    say(f"{name}: {rounds} times")
    return _row(name, rounds, sum(once() for _ in range(rounds)))


class _Ups:
    """`up`s of random changes that are disturbed; the first is not."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._random = random.Random(20261128)  # noqa: S311  # repeatable, and no secret
        self._forwards: dict[str, dict[str, object]] = {}
        write_stack(lab)
        self._change()
        self._pulumi("up", "--yes", "--skip-preview")

    def kill_engine(self) -> bool:
        """As by a power cut at the operator's: nothing is written down any more."""
        return self._disturbs(self._kill) and self._is_right_after_an_up()

    def cut_connections(self) -> bool:
        """As by a provider that restarts its network, once."""
        return self._disturbs(self._cut) and self._is_right_after_an_up()

    def two_at_once(self) -> bool:
        """One gives up, or both: each looks for the other's lock once more when it has its own."""
        self._change()
        ups = [self._start_up() for _ in range(2)]
        said = [up.communicate()[0] for up in ups]
        for up, text in zip(ups, said, strict=True):
            if up.returncode and _LOCKED not in text:
                say(f"an `up` of two failed: {text}")
                return False
        return self._is_right_after_an_up()

    def _disturbs(self, disturb: Callable[["Popen[str]"], bool]) -> bool:
        """Change the forwards by an `up` that fails, and not by itself, but at a random moment."""
        for _ in range(_ATTEMPTS):
            self._change()
            up = self._start_up()
            time.sleep(self._random.uniform(0.5, _LONGEST))
            disturbed = up.poll() is None and disturb(up)
            said = up.communicate()[0]
            if up.returncode:
                if not disturbed:
                    say(f"an `up` failed by itself: {said}")
                return disturbed
        raise StepError(f"none of {_ATTEMPTS} `up`s could be disturbed")

    def _kill(self, up: "Popen[str]") -> bool:
        up.kill()
        return True

    def _cut(self, _: "Popen[str]") -> bool:
        return self._lab.host("vps").run(_CUT, check=False).returncode == 0

    def _start_up(self) -> "Popen[str]":
        # The shell becomes the engine, so that it is the one that is killed.
        words = "exec pulumi --non-interactive up --yes --skip-preview 2>&1"
        return self._lab.operator.popen(words)

    def _change(self) -> None:
        """Up to a dozen forwards, by chance; one stays."""
        chosen = self._random.sample(range(24), self._random.randint(2, 12))
        self._forwards = {"kept": _KEPT} | {
            f"f{n}": {"port": 9000 + n, "to": f"homelab:{self._random.choice([8080, 8081])}"}
            for n in chosen
        }
        set_forwards(self._lab, self._forwards)

    def _is_right_after_an_up(self) -> bool:
        self._pulumi("cancel", "--yes", check=False)  # what a killed engine has left locked
        if not self._pulumi("up", "--yes", "--skip-preview", check=False):
            self._pulumi("destroy", "--yes")  # for those that come after
            return False
        # Which resources were being made when the engine was killed; they are all there by now.
        self._pulumi("refresh", "--yes", "--clear-pending-creates")
        wanted = {name: str(entry["to"])[8:] for name, entry in self._forwards.items()}
        saved = self._lab.host("vps").run("iptables-save -t nat").stdout
        found = {name: to.rpartition(":")[2] for name, to in _TAG.findall(saved)}
        visit = ["curl", "--silent", "--fail", "--max-time", "5", "--output", "/dev/null"]
        vps = self._lab.host("vps").address
        reached = self._lab.host("client").run([*visit, f"http://{vps}/"], check=False)
        clean = self._pulumi("preview", "--expect-no-changes", check=False)
        return found == wanted and reached.returncode == 0 and clean

    def _pulumi(self, *words: str, check: bool = True) -> bool:
        command = ["pulumi", "--non-interactive", *words]
        return self._lab.operator.run(command, check=check, timeout=None).returncode == 0
