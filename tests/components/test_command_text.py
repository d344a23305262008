"""The command texts, run by a real shell in the place of sshd's: a helper that is a stub, a sudo
that obeys or refuses, and folders of the test's own in the place of the host's."""

import json
import shlex
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from components.command_text import STATE, CommandTexts
from reach import LIBRARY, NO_SUDO, SUDO_ASKS, root_shell
from reach.shell import installation_text
from tests.lab.recorded_stack import FOLDER

HELPER_STUB = """#!/bin/sh
echo "helper $*"
cat
echo "from the helper" >&2
exit 7
"""


class Machine:
    """Where texts run: as root, or as a user whose sudo obeys, asks for a password or is absent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.library = root / "library"
        self.state = root / "state"
        self.programs = root / "programs"
        self.programs.mkdir()
        self.log_in("root")

    def log_in(self, user: str, sudo: str = "obeys") -> None:
        self._program("id", f"echo {0 if user == 'root' else 1000}")
        if sudo == "obeys":
            self._program("sudo", '[ "$1" = -n ] || exit 1; shift; exec "$@"')
        else:
            self._program("sudo", "echo 'sudo: a password is required' >&2; exit 1")

    def _program(self, name: str, body: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def install_stub(self) -> None:
        self.helper.parent.mkdir(parents=True)
        self.helper.write_text(HELPER_STUB)
        self.helper.chmod(0o755)

    @property
    def helper(self) -> Path:
        return self.library / "wg0" / "reverse-tunnel"

    def run(self, text: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a text as sshd does, without its end, the hanging up."""
        return self._run(
            text.replace("kill $PPID", "true"), stdin, 'bash -c "$0"; echo "status $?"'
        )

    def run_to_the_end(self, text: str, stdin: str) -> subprocess.CompletedProcess[str]:
        """Runs a text in the place of an sshd that, by itself, would never end the connection."""
        return self._run(
            text, stdin, 'bash -c "$0"; echo "status $?"; exec >&- 2>&-; while :; do sleep 1; done'
        )

    def run_and_count_what_is_left(self, text: str, stdin: str) -> subprocess.CompletedProcess[str]:
        return self._run(text, stdin, 'bash -c "$0"; echo "status $?, unread $(wc -c)"')

    def _run(self, text: str, stdin: str, sshd: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "bash",
                "-c",
                sshd,
                text.replace(LIBRARY, str(self.library)).replace(STATE, str(self.state)),
            ],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={"PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin"},
        )


HUNG_UP = -15  # ended by the signal that ends sshd, not by itself


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


TEXTS = CommandTexts("wg0")
OWNER = "reverse-tunnel/home"
TENANT = ("vps:0123456789abcdef", "fedcba9876543210")
WORDS = f"set -- 1 install {OWNER}\n"


@pytest.mark.parametrize("user", ["root", "hex"])
def test_a_call_hands_over_words_stdin_and_status_and_then_hangs_up(
    machine: Machine, user: str
) -> None:
    machine.log_in(user)
    machine.install_stub()
    text = TEXTS.call("put-forward", "https")
    done = machine.run_to_the_end(text, stdin="tcp 443 -> 172.16.0.4:8081\n")
    assert done.stdout == ("helper 1 put-forward https\ntcp 443 -> 172.16.0.4:8081\nstatus 7\n")
    assert done.stderr == "from the helper\n"
    assert done.returncode == HUNG_UP


@pytest.mark.parametrize(
    "text", [TEXTS.call_if_there("remove-forward", "https"), TEXTS.release(OWNER, TENANT)]
)
def test_a_text_reads_its_stdin_to_the_end_even_if_it_has_no_use_for_it(
    machine: Machine, text: str
) -> None:
    """A forward's stdin goes to its delete as well. Unread, the plugin says EOF now and then."""
    done = machine.run_and_count_what_is_left(text, stdin="tcp 443 -> 172.16.0.4:8081\n")
    assert done.stdout == "status 0, unread 0\n"


def test_a_call_fails_where_the_helper_is_absent(machine: Machine) -> None:
    assert "status 127" in machine.run(TEXTS.call("put-forward", "https")).stdout


@pytest.mark.parametrize("user", ["root", "hex"])
def test_a_delete_succeeds_where_the_helper_is_absent(machine: Machine, user: str) -> None:
    """The host was rebuilt, or its own resource is gone already: nothing is left to delete."""
    machine.log_in(user)
    done = machine.run(TEXTS.call_if_there("remove-forward", "https"))
    assert (done.stdout, done.stderr) == ("status 0\n", "")


def test_a_delete_calls_the_helper_where_it_is(machine: Machine) -> None:
    machine.install_stub()
    done = machine.run(TEXTS.call_if_there("remove-forward", "https"))
    assert done.stdout == "helper 1 remove-forward https\nstatus 7\n"


def test_a_delete_does_not_succeed_because_sudo_refuses(machine: Machine) -> None:
    """Refused, it can't know that the helper is absent."""
    machine.install_stub()
    machine.log_in("hex", sudo="asks")
    done = machine.run(TEXTS.call_if_there("remove-forward", "https"))
    assert done.stdout == "status 1\n"
    assert "password is required" in done.stderr


def claimed_by(machine: Machine, owner: str) -> None:
    path = machine.state / "wg0" / "owner"
    path.parent.mkdir(parents=True)
    path.write_text(f"{owner}\n")


def test_a_free_name_can_be_claimed_and_nothing_is_changed(machine: Machine) -> None:
    before = sorted(machine.root.rglob("*"))
    assert machine.run(TEXTS.may_claim(OWNER)).stdout == "status 0\n"
    assert sorted(machine.root.rglob("*")) == before


def test_ones_own_tunnel_can_be_claimed_again(machine: Machine) -> None:
    """After an interrupted `up` the claim may be missing from the state, but not from the host."""
    claimed_by(machine, OWNER)
    assert machine.run(TEXTS.may_claim(OWNER)).stdout == "status 0\n"


@pytest.mark.parametrize("owner", ["reverse-tunnel/office", "reverse-tunnel/home2", "other/home"])
def test_another_stacks_tunnel_cannot_be_claimed(machine: Machine, owner: str) -> None:
    claimed_by(machine, owner)
    done = machine.run(TEXTS.may_claim(OWNER))
    assert done.stdout == "status 1\n"
    assert "belongs to another stack" in done.stderr


def test_nothing_is_claimed_where_sudo_refuses(machine: Machine) -> None:
    machine.log_in("hex", sudo="asks")
    done = machine.run(TEXTS.may_claim(OWNER))
    assert done.stdout == "status 1\n"
    assert "another stack" not in done.stderr


@pytest.mark.parametrize("user", ["root", "hex"])
def test_installing_runs_what_came_on_stdin_from_a_private_folder(
    machine: Machine, user: str
) -> None:
    machine.log_in(user)
    helper = 'echo "$0 $*"\nstat -c %a "$0" "$(dirname "$0")"\n'
    done = machine.run(TEXTS.install(), stdin=f"{WORDS}{helper}")
    incoming = machine.library / "wg0" / "incoming"
    assert done.stdout == f"{incoming} 1 install {OWNER}\n600\n700\nstatus 0\n"


def test_an_installation_that_has_no_room_says_so_and_leaves_nothing(machine: Machine) -> None:
    """A disk that is full when the first byte is written; here, a file that can't be opened."""
    (machine.library / "wg0" / "incoming").mkdir(parents=True)
    done = machine.run(TEXTS.install(), stdin="echo installed")
    assert done.stdout == "status 1\n"
    assert "could not be written" in done.stderr
    assert "make room" in done.stderr

    (machine.library / "wg0" / "incoming").rmdir()
    done = machine.run(TEXTS.install(), stdin="echo installed")
    assert done.stdout == "installed\nstatus 0\n"


HELPER = 'echo "$0 $*"\ncat "$0"\n'


def deliver(machine: Machine, helper: str) -> str:
    """Puts a helper where it is delivered; what then is on standard input, for HELPER."""
    folder = machine.library / "wg0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "delivered").write_text(helper)
    return f"helper={sha256(HELPER.encode()).hexdigest()}\n{WORDS}{installation_text()}"


def recorded_texts() -> list[str]:
    """Each text that any version has recorded for installing a helper, which may be run again."""
    texts = set()
    for path in FOLDER.glob("*.json"):
        for each in json.loads(path.read_text())["resources"]:
            if each["urn"].endswith("-helper"):
                texts |= {each["inputs"].get("create"), each["inputs"].get("update")}
    return sorted(texts - {None, ""})


def test_old_texts_are_known() -> None:
    assert TEXTS.install() in recorded_texts()
    assert len(recorded_texts()) > 1


@pytest.mark.parametrize("text", recorded_texts())
@pytest.mark.parametrize("user", ["root", "hex"])
def test_a_helper_that_was_delivered_is_put_in_its_place_and_run_by_any_text_of_before(
    machine: Machine, text: str, user: str
) -> None:
    """What once mended drift stays recorded, and is run by later versions (ADR 21)."""
    machine.log_in(user)
    done = machine.run(text, stdin=deliver(machine, HELPER))
    incoming = machine.library / "wg0" / "incoming"
    assert done.stdout == f"{incoming} 1 install {OWNER}\n{HELPER}status 0\n"
    assert [path.name for path in incoming.parent.iterdir()] == ["incoming"]


@pytest.mark.parametrize("delivered", ["another", "none"])
@pytest.mark.parametrize("tunnel", ["new", "there"])
def test_a_helper_that_is_not_the_one_is_not_run(
    machine: Machine, tunnel: str, delivered: str
) -> None:
    """Another program has brought its own meanwhile, or nobody any."""
    if tunnel == "there":
        machine.install_stub()
    stdin = deliver(machine, "echo another\n")
    if delivered == "none":
        (machine.library / "wg0" / "delivered").unlink()
    before = sorted(machine.root.rglob("*"))
    done = machine.run(TEXTS.install(), stdin=stdin)
    assert done.stdout == "status 1\n"
    assert "is no such helper" in done.stderr
    assert "run it again" in done.stderr
    assert [path for path in sorted(machine.root.rglob("*")) if path not in before] == []
    if tunnel == "new" and delivered == "none":
        assert not machine.library.exists()


def test_a_release_lets_the_helper_uninstall(machine: Machine) -> None:
    machine.install_stub()
    assert (
        machine.run(TEXTS.release(OWNER, TENANT)).stdout
        == f"helper 1 uninstall {OWNER} {' '.join(TENANT)}\nstatus 7\n"
    )


def test_a_release_removes_what_a_broken_off_install_left_and_nothing_else(
    machine: Machine,
) -> None:
    (machine.library / "wg0").mkdir(parents=True)
    (machine.library / "wg0" / "incoming").write_text("half a hel")
    (machine.library / "wg1").mkdir()
    assert machine.run(TEXTS.release(OWNER, TENANT)).stdout == "status 0\n"
    assert [path.name for path in machine.library.iterdir()] == ["wg1"]


@pytest.mark.parametrize("left", [[], ["wg0"]])
def test_the_last_release_leaves_no_folder(machine: Machine, left: list[str]) -> None:
    for name in left:
        (machine.library / name).mkdir(parents=True)
    assert machine.run(TEXTS.release(OWNER, TENANT)).stdout == "status 0\n"
    assert not machine.library.exists()


def test_a_release_fails_where_sudo_refuses(machine: Machine) -> None:
    """Else the host would keep a tunnel that no state knows of."""
    machine.install_stub()
    machine.log_in("hex", sudo="asks")
    assert machine.run(TEXTS.release(OWNER, TENANT)).stdout == "status 1\n"


@pytest.mark.parametrize("name", ["a; reboot", "$(reboot)", "a'b", 'a"b', "a b", "-t", "a\nb"])
def test_names_reach_the_helper_as_one_word_whatever_they_hold(machine: Machine, name: str) -> None:
    """The settings let none of these through; the quoting does not rely on that."""
    machine.install_stub()
    done = machine.run(TEXTS.call("put-forward", name))
    assert done.stdout == f"helper 1 put-forward {name}\nstatus 7\n"


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_texts_begin_with_what_every_login_shell_understands(shell: str) -> None:
    """The rest is one quoted word, so the login shell may be fish or csh as well."""
    first, *rest = shlex.split(TEXTS.call("key"))
    assert (first, rest[:2], len(rest)) == ("exec", ["sh", "-c"], 3)
    assert subprocess.run([shell, "-n", "-c", TEXTS.call("key")], check=False).returncode == 0


def test_recorded_texts_stay_as_they_are() -> None:
    """They run from states that are years old. Change one only with a new protocol version."""
    assert TEXTS.call_if_there("remove-forward", "https") == (
        'exec sh -c \'as=; [ "$(id -u)" = 0 ] || as="sudo -n";'
        " $as test ! -e /usr/local/lib/reverse-tunnel/wg0/reverse-tunnel"
        " || $as /usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 remove-forward https; s=$?;"
        " cat >/dev/null; (sleep 0.3; kill $PPID) </dev/null >/dev/null 2>&1 & exit $s'"
    )
    assert TEXTS.release(OWNER, TENANT) == (
        'exec sh -c \'as=; [ "$(id -u)" = 0 ] || as="sudo -n";'
        " if $as test -e /usr/local/lib/reverse-tunnel/wg0/reverse-tunnel;"
        " then $as /usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 uninstall"
        " reverse-tunnel/home vps:0123456789abcdef fedcba9876543210;"
        " else $as rm -rf /usr/local/lib/reverse-tunnel/wg0"
        " && { $as rmdir /usr/local/lib/reverse-tunnel 2>/dev/null || true; }; fi; s=$?;"
        " cat >/dev/null; (sleep 0.3; kill $PPID) </dev/null >/dev/null 2>&1 & exit $s'"
    )


@pytest.mark.parametrize(
    ("user", "sudo", "status"),
    [("root", "asks", 0), ("hex", "obeys", 0), ("hex", "asks", SUDO_ASKS)],
)
def test_the_probe_runs_as_root_or_says_why_not(
    machine: Machine, user: str, sudo: str, status: int
) -> None:
    machine.log_in(user, sudo=sudo)
    done = subprocess.run(
        ["bash", "-c", root_shell()],
        input="echo ran",
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{machine.programs}:/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout) == (status, "ran\n" if status == 0 else "")


def test_the_probe_says_that_there_is_no_sudo(machine: Machine) -> None:
    machine.log_in("hex")
    (machine.programs / "sudo").unlink()
    (machine.programs / "sh").symlink_to("/bin/sh")
    done = subprocess.run(
        ["/bin/bash", "-c", root_shell()], check=False, env={"PATH": str(machine.programs)}
    )
    assert done.returncode == NO_SUDO
