"""Labs stand side by side, and nothing is left of one, however it ends."""

import ast
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab import requirements
from lab.failure import LabError
from lab.hosts.sandbox import Sandbox
from lab.lab import Lab
from tests.lab.probes import LASTING, page
from tests.support import eventually

CHECKOUT = Path(__file__).parents[2]
LONG = 30.0  # seconds, for what normally takes one or two
NAME = f"test-{os.getpid()}-other"

# Starts a lab that shall end with this program, says so, and stays.
PROGRAM = f"""
import time
from lab.lab import Lab
Lab({NAME!r}).up(survives=False)
print("up", flush=True)
time.sleep(600)
"""

# With one inotify instance more each time: says what it is told where one is missing. Its word is
# where the limit stands.
ROOM = """
import ctypes, pathlib, sys
from lab import requirements
from lab.failure import LabError
limit = requirements._INOTIFY_LIMIT = pathlib.Path(sys.argv[1])
for used in range(3):
    limit.write_text(str(20 + used))
    requirements.require_room()
    limit.write_text(str(19 + used))
    try:
        requirements.require_room()
    except LabError as error:
        print(error)
    assert ctypes.CDLL(None).inotify_init() >= 0
"""


@pytest.fixture
def other() -> Iterator[Lab]:
    """Another lab, which the test starts itself."""
    other = Lab(NAME)
    yield other
    other.down()


def namespace(process: int | str, kind: str) -> str:
    return str(Path(f"/proc/{process}/ns/{kind}").readlink())


def namespaces(lab: Lab) -> set[str]:
    """All namespaces that the lab's hosts live in, except those they share with the machine."""
    found = set()
    for host in lab.hosts():
        for kind in ("net", "mnt", "pid", "uts", "ipc"):
            found.add(namespace(host._leader(), kind))
    return found - {namespace("self", kind) for kind in ("net", "mnt", "pid")}


def living(wanted: set[str]) -> set[str]:
    """Which of these namespaces a process of this machine is in."""
    found = set()
    # Not by pathlib, which stumbles on what goes away meanwhile.
    for link in glob.glob("/proc/[0-9]*/ns/*"):  # noqa: PTH207
        try:
            found.add(str(Path(link).readlink()))
        except OSError:  # the process is gone
            continue
    return found & wanted


def traces(lab: Lab) -> list[str]:
    """What can be seen of a lab outside of its namespaces: mounts, groups, names, its folder."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if lab.name in line]
    # Not by pathlib, which stumbles on what goes away meanwhile: another lab's, too.
    groups = glob.glob(f"/sys/fs/cgroup/**/*{lab.name}*", recursive=True)  # noqa: PTH207
    lines = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, lab.name)]
    files = [str(path) for path in lab.state.parent.glob(f"*{lab.name}*")]
    return [*mounts, *groups, *map(str, lines), *files]


def _names(cmdline: Path, name: str) -> bool:
    try:
        return name in cmdline.read_text(errors="replace")
    except OSError:  # the process is gone
        return False


def test_two_labs_have_the_same_addresses_and_never_meet(lab: Lab, other: Lab) -> None:
    other.up(survives=False)
    lab.host("homelab").run("echo one >/srv/whose")
    assert other.host("homelab").run("cat /srv/whose", check=False).returncode != 0
    assert lab.host("vps").address == other.host("vps").address
    assert lab.host("vps").host_key != other.host("vps").host_key
    assert not namespaces(lab) & namespaces(other)

    lab.cut("carrier")
    try:
        assert page(lab.host("homelab"), "198.51.100.10") is None
        assert page(other.host("homelab"), "198.51.100.10", LASTING)
    finally:
        lab.heal("carrier")

    other.down()
    assert not other.is_up
    assert page(lab.host("nas"), "192.168.1.20:8080", LASTING)


def test_down_leaves_nothing(other: Lab) -> None:
    links_before = sorted(link.name for link in Path("/sys/class/net").iterdir())
    other.up(survives=False)
    inside = namespaces(other)
    daemon = other.operator.popen(["sleep", "600"])
    assert living(inside) == inside
    assert traces(other)
    # Even while it stands the machine's mounts and links are untouched.
    assert not [line for line in traces(other) if line.startswith(("overlay", "nsfs", "tmpfs"))]
    assert sorted(link.name for link in Path("/sys/class/net").iterdir()) == links_before

    other.down()

    assert living(inside) == set()
    eventually(lambda: traces(other) == [], LONG, "something is left of the lab")
    assert daemon.wait(LONG) == -signal.SIGKILL
    other.down()  # and again: nothing to do


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lab_ends_with_its_program_even_if_that_is_killed(
    lab: Lab, other: Lab, sent: signal.Signals
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=CHECKOUT, stdout=subprocess.PIPE
    )
    assert program.stdout
    assert program.stdout.readline() == b"up\n"
    inside = namespaces(other)
    assert other.is_up

    program.send_signal(sent)
    program.communicate()

    eventually(lambda: not living(inside), LONG, "hosts of the lab live on")
    assert not other.is_up

    def is_gone() -> bool:
        other.end_if_dead()  # as the next `up` of any lab does, which may be at it just now
        return traces(other) == []

    eventually(is_gone, LONG, "something is left of the lab")
    assert lab.is_up


def test_a_start_that_is_interrupted_leaves_nothing(other: Lab) -> None:
    program = subprocess.Popen(
        [CHECKOUT / "lab/up"], env=os.environ | {"REVERSE_TUNNEL_LAB": other.name}
    )
    eventually(lambda: other._sandbox.pid is not None, LONG, "the lab does not start")
    vps = other.host("vps")._cgroup
    eventually(vps.exists, LONG, "the VPS does not start")
    # A host that does not come up, as on a machine that is busy: nobody waits for it.
    (vps / "cgroup.freeze").write_text("1")
    program.terminate()
    assert program.wait(LONG) == 128 + signal.SIGTERM
    eventually(lambda: traces(other) == [], LONG, "something is left of the lab")


def test_a_narrow_umask_of_who_starts_it_changes_nothing(other: Lab) -> None:
    """Else a host's root folder would be root's alone, and no user could log in."""
    environment = os.environ | {"REVERSE_TUNNEL_LAB": other.name}
    subprocess.run([CHECKOUT / "lab/up"], env=environment, umask=0o077, check=True)
    attic = other.host("attic")
    as_user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "cat"]
    assert "hex" in attic.run([*as_user, "/etc/passwd"]).stdout
    assert "Package: " in attic.run([*as_user, "/var/lib/lab-packages/Packages"]).stdout
    # What is secret has a mode of its own.
    assert attic.run([*as_user, "/etc/shadow"], check=False).returncode == 1
    assert other.state.stat().st_mode & 0o777 == 0o700
    assert other.ssh_key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("full", [True, False])
def test_namespaces_that_cannot_be_recorded_end_at_once(tmp_path: Path, *, full: bool) -> None:
    """As on a disk that is full by then: without a record nobody would ever end them."""
    state = tmp_path / f"{NAME}-full"
    state.mkdir()
    sandbox = Sandbox(state)
    if full:
        (state / "sandbox").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            sandbox.start(survives=True)
        (state / "sandbox").unlink()
    else:
        sandbox.start(survives=True)
    lines = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, state.name)]
    sandbox.end()
    assert bool(lines) is not full


def test_too_little_room_is_told_before_anything_is_started(tmp_path: Path) -> None:
    """Else systemd and wireguard-go fail in ways that nobody understands.

    Among processes of its own: other labs come and go beside it.
    """
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run(
        [*alone, sys.executable, "-c", ROOM, tmp_path / "limit"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"root uses {used} of {19 + used} inotify instances and the lab needs 20: end another lab,"
        " or raise fs.inotify.max_user_instances"
        for used in (0, 1, 2)
    ]


def test_up_again_changes_nothing(lab: Lab) -> None:
    leader = lab.host("vps")._leader()
    lab.up(survives=False)
    assert lab.host("vps")._leader() == leader


# ---- the commands ----


def run(lab: Lab, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"REVERSE_TUNNEL_LAB": lab.name}
    return subprocess.run(
        [CHECKOUT / "lab/run", *words],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_lab_run_passes_on_the_exit_status_and_the_streams(lab: Lab) -> None:
    done = run(lab, "--on", "homelab", "cat; echo no >&2; exit 7", given="yes")
    assert (done.stdout, done.stderr, done.returncode) == ("yes", "no\n", 7)
    assert run(lab, "--on", "homelab", "echo", "a b", "$HOME").stdout == "a b $HOME\n"


def test_lab_run_tells_its_own_failures_from_the_commands(lab: Lab, other: Lab) -> None:
    unknown = run(lab, "--on", "fridge", "true")
    assert unknown.returncode == 125
    assert "no host is called 'fridge'" in unknown.stderr
    not_up = run(other, "--on", "vps", "true")
    assert not_up.returncode == 125
    assert not_up.stderr == "lab: the lab is not up; start it with lab/up, or with make demo\n"
    assert run(lab, "--on", "vps").returncode == 2


def test_lab_reboot_reboots(lab: Lab) -> None:
    host = lab.host("neighbour")  # which no stack needs
    host.run("touch /run/before")
    environment = os.environ | {"REVERSE_TUNNEL_LAB": lab.name}
    subprocess.run([CHECKOUT / "lab/reboot", host.name], env=environment, check=True)
    assert host.run("ls /run/before", check=False).returncode != 0


@pytest.mark.parametrize("program", ["up", "down", "demo", "prepare"])
def test_who_asks_a_program_for_help_gets_its_usage_and_nothing_else(
    tmp_path: Path, program: str
) -> None:
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(tmp_path / "cache"), "PURGE": "1"}
    (tmp_path / "cache").mkdir()
    done = subprocess.run(
        [CHECKOUT / "lab" / program, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"usage: lab/{program}\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]


def test_a_cache_without_a_lab_goes_by_whoever_has_made_it() -> None:
    """`make setup` needs no root."""
    with TemporaryDirectory() as folder:  # in which others may write, and above which they may look
        Path(folder).chmod(0o777)
        cache = Path(folder) / "cache"
        (cache / "engine").mkdir(parents=True)
        for made in (cache, cache / "engine"):
            os.chown(made, 65534, 65534)
        environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(cache), "PURGE": "1"}
        down = [*NOBODY, "/usr/bin/env", "python3", str(CHECKOUT / "lab/down")]
        subprocess.run(down, env=environment, check=True)
        assert not cache.exists()


def test_a_lab_of_another_user_keeps_its_stack_file() -> None:
    """`sudo make demo`, then `make demo-down`: root's lab is up, and not in the caller's cache."""
    with TemporaryDirectory() as folder:  # in which others may write, and above which they may look
        checkout = Path(folder)
        shutil.copytree(CHECKOUT / "lab", checkout / "lab")
        file = checkout / "stacks/Pulumi.lab.yaml"
        file.parent.mkdir()
        file.write_text("# The lab's (make demo); it goes with the lab (make demo-down).\n")
        for each in (checkout, file.parent):
            each.chmod(0o777)
        environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(checkout / "cache")}

        def down(*who: str) -> subprocess.CompletedProcess[str]:
            words = [*who, "/usr/bin/env", "python3", str(checkout / "lab/down")]
            return subprocess.run(
                words, env=environment, capture_output=True, text=True, check=False
            )

        done = down(*NOBODY)
        assert done.returncode == 1
        assert done.stderr == (
            f"lab: {file} belongs to root's lab, which is not ended by another user: run"
            " `sudo make demo-down`\n"
        )
        assert file.exists()
        assert down().returncode == 0
        assert not file.exists()


def test_the_cache_goes_only_when_that_is_asked_for(tmp_path: Path) -> None:
    """And what is somebody else's stays: any folder may be named as the cache."""
    cache = tmp_path / "cache"
    ours = [
        "image-0123456789ab/tree",
        "uv-0.1/bin",
        "engine/go",
        "matplotlib/fonts",
        "labs",
        ".image-0123456789ab.lock",
    ]
    theirs = ["pictures/trip", "image-of-the-garden"]
    for name in ours + theirs:
        (cache / name).mkdir(parents=True)
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(cache), "REVERSE_TUNNEL_LAB": "other"}
    for purge, stays in (("", True), ("1", False)):
        down = [CHECKOUT / "lab/down"]
        subprocess.run(down, env=environment | {"PURGE": purge}, check=True)
        assert [(cache / name).exists() for name in ours] == [stays] * len(ours)
        assert all((cache / name).exists() for name in theirs)


# Joins a control group of its own, says so, and stays.
JOIN = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$1
echo 0 >/sys/fs/cgroup/$1/cgroup.procs
echo joined
exec sleep 600
"""


@pytest.mark.parametrize("purge", ["", "1"])
def test_what_killed_labs_have_left_running_goes_at_the_end_of_any(
    tmp_path: Path, purge: str
) -> None:
    """What the operator has started lives on until then, and the lab's folder tells of it."""
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(tmp_path), "PURGE": purge}
    dead, elsewhere = tmp_path / "labs/dead", tmp_path / "elsewhere/labs/dead"
    dead.mkdir(parents=True)
    running = []
    for lab in (dead, elsewhere):
        join = ["unshare", "--mount", "sh", "-euc", JOIN, "sh", Sandbox(lab)._cgroup]
        running.append(subprocess.Popen(join, stdout=subprocess.PIPE))
        assert running[-1].stdout
        assert running[-1].stdout.readline() == b"joined\n"
    try:
        subprocess.run([CHECKOUT / "lab/down"], env=environment, check=True)
        assert running[0].wait(LONG) == -signal.SIGKILL
        assert not dead.exists()
        assert running[1].poll() is None
    finally:
        for process in running:
            process.kill()
            process.communicate()
        for lab in (dead, elsewhere):
            Sandbox(lab).end()


def test_the_labs_programs_need_nothing_but_python() -> None:
    """They are what makes the environment with all the rest."""
    words = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import lab.cli, lab.tour"
    without = [sys.executable, "-S", "-c"]  # no packages
    subprocess.run([*without, words], check=True)
    asked = subprocess.run([*without, "import yaml"], capture_output=True, check=False)
    assert b"No module named 'yaml'" in asked.stderr


def test_a_command_on_a_host_ends_with_whoever_reads_it(lab: Lab) -> None:
    words = f"{CHECKOUT / 'lab/run'} --on homelab yes | head -n 1"
    environment = os.environ | {"REVERSE_TUNNEL_LAB": lab.name}
    done = subprocess.run(
        ["bash", "-c", words], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_a_cache_where_nothing_can_be_mounted_is_told_with_the_way_out(tmp_path: Path) -> None:
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(tmp_path / "my cache")}
    done = subprocess.run(
        [CHECKOUT / "lab/up"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "take no ' ' in a path, only letters, digits and " in done.stderr
    assert "Set REVERSE_TUNNEL_CACHE to another folder" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_a_cache_may_lie_wherever_no_shell_would_misread_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", "/home/zoë/.cache/a-b_c+d@e=f%g~1")
    requirements.require_machine()
    for odd in " :,\\'\"$`(;&|<>*?[#!{\n":
        monkeypatch.setenv("REVERSE_TUNNEL_CACHE", f"/home/my{odd}cache")
        with pytest.raises(LabError, match=re.escape(f"take no {odd!r} in a path")):
            requirements.require_machine()


@pytest.mark.parametrize("name", ["../other", "a b", "a/b", ".a", "$a", "zoë"])
def test_a_lab_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """Its folder is called so, which its end removes."""
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(tmp_path / "cache")}
    (tmp_path / "cache/other/mine").mkdir(parents=True)
    for program in ("down", "up"):
        done = subprocess.run(
            [CHECKOUT / "lab" / program],
            env=environment | {"REVERSE_TUNNEL_LAB": name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"lab: REVERSE_TUNNEL_LAB is {name!r}; a lab's name has letters, digits and - only\n"
        )
    assert (tmp_path / "cache/other/mine").exists()
    assert not (tmp_path / "cache/labs").exists()


def test_a_cache_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [CHECKOUT / "lab/up"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("lab: [Errno 20] Not a directory")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("release", "is_one"),
    [
        ('NAME="Debian"\nID=debian\n', True),
        ('ID="debian"\n', True),
        ("ID=ubuntu\nID_LIKE=debian\n", False),
        ("", False),
    ],
)
def test_a_relative_of_debian_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, *, is_one: bool
) -> None:
    file = tmp_path / "os-release"
    monkeypatch.setattr(requirements, "_OS_RELEASE", file)
    assert not requirements._is_debian()
    file.write_text(release)
    assert requirements._is_debian() == is_one


NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"]
ANOTHER_SYSTEM = ["unshare", "--mount", "sh", "-euc", 'mount -t tmpfs none /etc; exec "$@"', "sh"]


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (NOBODY, "the lab needs root, for network namespaces (make test-fast does not)"),
        (ANOTHER_SYSTEM, "the lab needs a Debian 12 machine (make test-fast runs anywhere)"),
    ],
)
def test_without_root_or_debian_one_sentence_says_so(
    tmp_path: Path, without: list[str], says: str
) -> None:
    """The cache lies elsewhere: nothing of a real lab is touched."""
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(tmp_path / "cache")}
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [*without, "/usr/bin/env", "python3", CHECKOUT / "lab/up"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"lab: {says}\n"


@pytest.mark.parametrize("program", ["up", "down", "run", "reboot", "prepare", "demo", "bench"])
def test_an_old_python_is_told_in_one_sentence(program: str) -> None:
    """Before it meets anything that it can't read, as it would a `match` statement."""
    pretend = "import runpy, sys; sys.version_info = (3, 7, 16); sys.version = '3.7.16 (old)'"
    run = f"{pretend}; runpy.run_path({str(CHECKOUT / 'lab' / program)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", run], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 1
    assert done.stderr == "lab: Python 3.11 or newer is needed; this is 3.7.16\n"
    for file in (CHECKOUT / "lab/__init__.py", CHECKOUT / "lab" / program):
        ast.parse(file.read_text(), feature_version=(3, 7))
