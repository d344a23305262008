"""How lab/engine/ensure finds, downloads or builds an engine, with a Go and a vendor of its own.

That the real ones give an engine that works is shown by every test that runs `pulumi`.
"""

import http.server
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.support import eventually

ENGINE = Path(__file__).parents[2] / "lab/engine"

# Builds a program that does nothing; waits half-way if there is a gate, but not for ever.
GO = """\
#!/bin/sh
echo "$@" >>"$FAKE/go.log"
settings=${XDG_CONFIG_HOME:-$HOME/.config}
mkdir -p "$settings"
echo 1 >"$settings/counters"
case $1 in
  env) echo "go$FAKE_VERSION" ;;
  list) echo "$FAKE/sdk" ;;
  build)
    while [ "$1" != -o ]; do shift; done
    echo half >"$2"
    echo a/package
    if [ -e "$FAKE/gate" ]; then
      echo at the gate >>"$FAKE/go.log"
      timeout --foreground 60 head -n 1 "$FAKE/gate" >/dev/null
    fi
    printf '#!/bin/sh\\n' >"$2"
    chmod +x "$2"
    ;;
esac
"""


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@dataclass
class Machine:
    """A user's machine: a home, a cache, and a PATH that starts with `bin`.

    Attributes:
        folder: everything of it.
        variables: what its environment has besides.
        unset: what its environment has not.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("bin", "home", "temporary", "sdk/python/cmd"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "sdk/python/cmd/pulumi-language-python-exec").touch()
        program(self.folder / "bin/go", GO)

    @property
    def pieces(self) -> set[str]:
        """What there is in the cache, without versions and hashes."""
        names = {entry.name for entry in (self.folder / "cache/engine").glob("*")} - {"lock"}
        return {re.sub(r"-[0-9].*|-[0-9a-f]{12}$", "", name) for name in names}

    @property
    def builds(self) -> list[str]:
        """The packages that Go was asked to build."""
        return [line.rpartition(" ")[2] for line in self._go_log() if line.startswith("build ")]

    @property
    def waits(self) -> bool:
        """Whether a build has come to the gate: till then it would end with whom it writes to."""
        return "at the gate" in self._go_log()

    def _go_log(self) -> list[str]:
        log = self.folder / "go.log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        """What its programs have."""
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "temporary"),
            "REVERSE_TUNNEL_CACHE": str(self.folder / "cache"),
            "REVERSE_TUNNEL_VENDOR": "",
            "GOROOT": str(self.folder / "go"),
            "FAKE": str(self.folder),
            "FAKE_VERSION": "1.26.1",
        } | self.variables
        return {name: environment[name] for name in environment.keys() - self.unset}

    def start(self, *arguments: str, engine: Path = ENGINE) -> subprocess.Popen[str]:
        # It ends with the tests. And whoever runs them may ignore some signals, as nohup does.
        heeding = ["setpriv", "--pdeathsig", "KILL", "env", "--default-signal=INT,TERM,HUP"]
        started = subprocess.Popen(
            [*heeding, engine / "ensure", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(started)
        return started

    def end(self) -> None:
        """End what a failed test has left: the programs, and a build that waits at the gate."""
        for started in self._started:
            started.terminate()
            started.communicate(timeout=20)
        gate = self.folder / "gate"
        with suppress(OSError):  # nobody waits
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        gate.unlink(missing_ok=True)

    def ensure(self, *arguments: str, engine: Path = ENGINE) -> tuple[str, list[str]]:
        """What it says on stdout, and the lines of stderr."""
        started = self.start(*arguments, engine=engine)
        out, err = started.communicate()
        assert started.returncode == 0, err
        return out, err.splitlines()

    def refused(self) -> list[str]:
        """The lines of stderr of a call that must fail."""
        started = self.start()
        out, err = started.communicate()
        assert started.returncode == 1
        assert out == ""
        return err.splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.end()


BUILT = {"cli", "host", "random", "command", "ready"}


def test_it_builds_an_engine_and_says_in_one_line_which_and_how_to_use_it(
    machine: Machine,
) -> None:
    out, err = machine.ensure()
    assert machine.pieces == BUILT
    assert err[-1] == (
        "engine: pulumi 3.259.0 and python host 3.79.0 (built from Go modules), "
        "random 4.21.4 (built from Go modules), command 1.2.1 (STAND-IN)"
    )
    found = subprocess.run(
        ["bash", "-c", f"{out}\ntype -P pulumi pulumi-language-python; ls -R $PULUMI_HOME"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert found.count(str(machine.folder / "cache")) >= 3
    assert "resource-random-v4.21.4:\npulumi-resource-random\n" in found
    assert "resource-command-v1.2.1:\npulumi-resource-command\n" in found


@pytest.mark.parametrize(
    ("ours", "package"),
    [
        ("PULUMI", "pulumi"),
        ("RANDOM_PLUGIN", "pulumi-random"),
        ("COMMAND_PLUGIN", "pulumi-command"),
    ],
)
def test_the_engine_and_its_plugins_are_of_the_versions_of_the_pinned_packages(
    ours: str, package: str
) -> None:
    line = re.search(rf"^readonly .*\b{ours}=(\S+)", (ENGINE / "ensure").read_text(), re.MULTILINE)
    locked = (ENGINE.parents[1] / "requirements.lock").read_text()
    pinned = re.search(rf"^{package}==(\S+)", locked, re.MULTILINE)
    assert line
    assert pinned
    assert line[1] == pinned[1]


def test_nothing_outside_of_the_cache_is_written(machine: Machine) -> None:
    """Go's own caches included, which are gone when all is built."""
    machine.ensure()
    assert list((machine.folder / "home").iterdir()) == []
    assert list((machine.folder / "temporary").iterdir()) == []
    assert not (machine.folder / "cache/engine/go").exists()


def test_without_a_home_in_the_environment_it_is_that_of_the_user(machine: Machine) -> None:
    """As for the lab, whose cache is found by passwd then (systemd sets no HOME for root)."""
    machine.unset.add("HOME")
    out, _ = machine.ensure()
    assert home_of(out).is_dir()


@pytest.mark.parametrize("name", ["REVERSE_TUNNEL_CACHE", "XDG_CACHE_HOME"])
def test_a_cache_that_would_be_another_in_each_folder_is_refused(
    machine: Machine, name: str
) -> None:
    machine.unset.add("REVERSE_TUNNEL_CACHE")
    machine.variables[name] = "cache"
    machine.unset -= {name}
    place = "cache" if name == "REVERSE_TUNNEL_CACHE" else "cache/reverse-tunnel"
    (line,) = machine.refused()
    assert line == (
        f"engine: the cache is {place}, another folder for each program: set"
        " REVERSE_TUNNEL_CACHE to a path that begins with /"
    )


def test_a_path_for_cd_of_the_users_own_leads_nowhere_else(machine: Machine) -> None:
    """Where there is another folder `lab`, such as another checkout's."""
    (machine.folder / "elsewhere" / "lab/engine").mkdir(parents=True)
    started = subprocess.run(
        ["lab/engine/ensure"],
        cwd=ENGINE.parents[1],
        env=machine.environment | {"CDPATH": str(machine.folder / "elsewhere")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert home_of(started.stdout).is_dir()


def test_a_second_call_makes_nothing_and_may_be_silent(machine: Machine) -> None:
    """Every `lab/run` calls it."""
    first, _ = machine.ensure()
    (machine.folder / "bin/go").unlink()
    second, line = machine.ensure()
    quiet, nothing = machine.ensure("--quiet")
    assert first == second == quiet
    assert len(line) == 1
    assert nothing == []


def test_a_changed_source_makes_its_piece_anew_and_no_other(
    machine: Machine, tmp_path: Path
) -> None:
    engine = shutil.copytree(ENGINE, tmp_path / "engine")
    before, _ = machine.ensure(engine=engine)
    with (engine / "command/main.go").open("a") as source:
        source.write("\n")
    built = len(machine.builds)
    after, _ = machine.ensure(engine=engine)
    assert after != before
    assert machine.builds[built:] == ["."]


def test_a_long_step_gives_signs_of_life(machine: Machine) -> None:
    gate = machine.folder / "gate"
    os.mkfifo(gate)
    started = machine.start()
    assert started.stderr
    assert "building pulumi 3.259.0" in started.stderr.readline()
    sign = re.compile(r"engine: +\d+:\d\d +a/package\n")
    assert any(map(sign.fullmatch, started.stderr)), "none that names what is built"
    release(gate)
    _, err = started.communicate()
    assert started.returncode == 0, err


def release(gate: Path) -> None:
    """Let the one that waits at the gate pass, and leave no gate."""
    with gate.open("w") as passing:  # as soon as it waits
        gate.unlink()
        passing.write("pass\n")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_build_leaves_nothing_and_runs_no_longer(
    machine: Machine, ending: signal.Signals
) -> None:
    gate = machine.folder / "gate"
    os.mkfifo(gate)
    started = machine.start()
    eventually(lambda: machine.waits, 20, "no build has begun")
    started.send_signal(ending)
    out, err = started.communicate()
    assert started.returncode == 128 + ending, err
    assert out == ""
    assert machine.pieces <= {"go"}
    # The script waits for the one that it has started, and that one's own have got the signal.
    eventually(lambda: nobody_waits_at(gate), 20, "the build runs on")
    gate.unlink()
    machine.ensure()
    assert machine.pieces == BUILT


def nobody_waits_at(gate: Path) -> bool:
    """Whether no process has the gate open for reading."""
    try:
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return True
    return False


def test_what_a_killed_build_leaves_is_not_used_and_goes_with_the_next(machine: Machine) -> None:
    gate = machine.folder / "gate"
    os.mkfifo(gate)
    started = machine.start()
    eventually(lambda: machine.waits, 20, "no build has begun")
    started.kill()
    started.wait()
    assert machine.pieces == {"making"}
    release(gate)  # the compiler was not killed, and holds the lock until it ends
    machine.ensure()
    assert machine.pieces == BUILT


def test_a_failing_build_shows_why(machine: Machine) -> None:
    program(machine.folder / "bin/go", GO.replace("echo half", "echo no such module; exit 1; :"))
    err = machine.refused()
    assert err[-2:] == [
        "engine: failed: building pulumi 3.259.0 from Go modules (about 4 minutes on 2 cores)",
        "no such module",
    ]
    assert machine.pieces == set()


def test_two_at_once_build_once(machine: Machine) -> None:
    both = [machine.start("--quiet"), machine.start("--quiet")]
    outputs = {started.communicate()[0] for started in both}
    assert [started.returncode for started in both] == [0, 0]
    assert len(outputs) == 1
    assert len(machine.builds) == len(set(machine.builds)) == 5


def test_without_go_it_says_what_is_missing_why_and_what_to_do(machine: Machine) -> None:
    take_go_away(machine)
    line = machine.refused()[-1]
    assert line.startswith("engine: Go 1.26 or newer is needed (found: none) to build")
    assert "put Go on PATH, or install Pulumi 3.259.0 or newer" in line
    assert "sudo" not in line
    assert machine.pieces == set()


def take_go_away(machine: Machine) -> Path:
    """Leave its PATH without; gives the program."""
    machine.variables["PATH"] = str(machine.folder / "bin")
    go = (machine.folder / "bin/go").rename(machine.folder / "gone")
    for tool in Path("/usr/bin").iterdir():
        if tool.name not in {"go", "pulumi"}:
            (machine.folder / "bin" / tool.name).symlink_to(tool)
    return go


def test_under_sudo_it_says_how_to_keep_path_and_settings(machine: Machine) -> None:
    """They were right in the shell of who calls sudo."""
    go = take_go_away(machine)
    machine.variables["SUDO_USER"] = "me"
    hint = (
        "engine: sudo has a PATH of its own and drops settings; to keep yours: sudo"
        " --preserve-env=GOPROXY,PIP_INDEX_URL,UV_DEFAULT_INDEX,https_proxy"
        ' env "PATH=$PATH" make ...'
    )
    lines = machine.refused()
    assert lines[-2].startswith("engine: Go 1.26 or newer is needed (found: none)")
    assert lines[-1] == hint

    # Another proxy's modules may be all that there are.
    program(machine.folder / "bin/go", go.read_text().replace("echo half", "exit 1; :"))
    lines = machine.refused()
    assert lines[-1] == hint
    program(machine.folder / "bin/go", go.read_text())
    assert hint not in machine.ensure()[1]


def test_a_go_where_its_own_instructions_put_it_needs_no_path(machine: Machine) -> None:
    """It is in no PATH of sudo's or of a service; /usr/local/go, unless GOROOT says otherwise."""
    go = take_go_away(machine)
    program(machine.folder / "go/bin/go", go.read_text())
    machine.ensure()
    assert machine.pieces == BUILT


def test_a_go_on_path_comes_before_one_that_is_not(machine: Machine) -> None:
    program(machine.folder / "go/bin/go", "#!/bin/sh\nexit 1\n")
    machine.ensure()
    assert machine.pieces == BUILT


def test_an_old_go_will_not_do(machine: Machine) -> None:
    machine.variables["FAKE_VERSION"] = "1.9.7"
    assert "(found: go1.9.7)" in machine.refused()[-1]


def give_plugins(machine: Machine) -> None:
    for name in ("random-v4.21.4", "command-v1.2.1"):
        file = f"pulumi-resource-{name.partition('-')[0]}"
        program(machine.folder / "home/.pulumi/plugins" / f"resource-{name}" / file)


def test_what_the_user_has_installed_is_used(machine: Machine) -> None:
    program(machine.folder / "bin/pulumi", "#!/bin/sh\necho v3.260.1\n")
    program(machine.folder / "bin/pulumi-language-python")
    give_plugins(machine)
    out, err = machine.ensure()
    home = machine.folder / "home/.pulumi"
    assert err[0] == (
        "engine: pulumi 3.260.1 with its python host (on PATH), "
        f"random 4.21.4 (from {home}), command 1.2.1 (from {home})"
    )
    assert "PATH=" not in out
    assert machine.pieces == {"ready"}


def test_an_engine_older_than_the_sdk_is_not_used(machine: Machine) -> None:
    program(machine.folder / "bin/pulumi", "#!/bin/sh\necho v3.99.0\n")
    program(machine.folder / "bin/pulumi-language-python")
    out, err = machine.ensure()
    assert "(built from Go modules; 3.99.0 on PATH is too old)" in err[-1]
    assert "PATH=" in out


def test_inside_of_what_it_has_set_up_it_finds_the_same(machine: Machine) -> None:
    """Else its own stand-in would pass for a plugin that the user has installed."""
    out, err = machine.ensure()
    home = re.search(r"PULUMI_HOME=(.*)", out)
    assert home
    machine.variables["PULUMI_HOME"] = home[1]
    machine.variables["PATH"] = f"{home[1].removesuffix('home')}bin:{os.environ['PATH']}"
    assert machine.ensure() == (out, err[-1:])


def test_a_command_plugin_that_is_named_is_used_and_no_other(machine: Machine) -> None:
    given = program(machine.folder / "mine/pulumi-resource-command", "#!/bin/sh\n# mine\n")
    give_plugins(machine)
    machine.variables["REVERSE_TUNNEL_COMMAND_PLUGIN"] = str(given)
    _, err = machine.ensure()
    assert err[-1].endswith("command 1.2.1 (REVERSE_TUNNEL_COMMAND_PLUGIN)")
    (used,) = (machine.folder / "cache").rglob("pulumi-resource-command")
    assert used.read_text() == given.read_text()

    machine.variables["REVERSE_TUNNEL_COMMAND_PLUGIN"] = "/nowhere"
    assert machine.refused() == [
        "engine: REVERSE_TUNNEL_COMMAND_PLUGIN is /nowhere, which is no program"
    ]


def archive(*programs: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in programs:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            tar.addfile(entry)
    return packed.getvalue()


class Once(bytes):
    """A file that is another one when it is asked for again."""

    then: bytes

    def __new__(cls, first: bytes, then: bytes) -> Self:
        made = super().__new__(cls, first)
        made.then = then
        return made


@pytest.fixture
def vendor(machine: Machine) -> Iterator[dict[str, bytes]]:
    """The vendor's files by name; the machine is told of it."""
    files: dict[str, bytes] = {}

    class Vendor(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.rpartition("/")[2])
            if isinstance(content, Once):
                files[self.path.rpartition("/")[2]] = content.then
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        machine.variables["REVERSE_TUNNEL_VENDOR"] = f"http://127.0.0.1:{server.server_port}"
        yield files
        server.shutdown()
        thread.join()


def test_what_the_vendor_offers_is_not_built(machine: Machine, vendor: dict[str, bytes]) -> None:
    machine_name = {"x86_64": ("x64", "amd64"), "aarch64": ("arm64", "arm64")}[os.uname().machine]
    vendor[f"pulumi-v3.259.0-linux-{machine_name[0]}.tar.gz"] = archive(
        "pulumi/pulumi", "pulumi/pulumi-language-python"
    )
    vendor[f"pulumi-resource-command-v1.2.1-linux-{machine_name[1]}.tar.gz"] = archive(
        "pulumi-resource-command", "README.md"
    )
    _, err = machine.ensure()
    assert err[-1] == (
        "engine: pulumi 3.259.0 with its python host (the vendor's release), "
        "random 4.21.4 (built from Go modules), command 1.2.1 (the vendor's release)"
    )
    assert machine.pieces == {"pulumi", "random", "command", "ready"}
    assert machine.builds == ["./tfgen", "./plugin"]


def test_half_a_download_is_not_used(machine: Machine, vendor: dict[str, bytes]) -> None:
    whole = archive("pulumi-resource-command")
    for name in ("amd64", "arm64"):
        vendor[f"pulumi-resource-command-v1.2.1-linux-{name}.tar.gz"] = whole[: len(whole) // 2]
    _, err = machine.ensure()
    assert "engine: failed: downloading command 1.2.1" in err
    assert err[-1].endswith("command 1.2.1 (STAND-IN)")
    assert machine.pieces == BUILT


def test_a_download_that_fails_once_is_tried_again(
    machine: Machine, vendor: dict[str, bytes]
) -> None:
    whole = archive("pulumi-resource-command")
    for name in ("amd64", "arm64"):
        vendor[f"pulumi-resource-command-v1.2.1-linux-{name}.tar.gz"] = Once(b"", whole)
    _, err = machine.ensure()
    assert err[-1].endswith("command 1.2.1 (the vendor's release)")


def test_a_stand_in_for_what_was_to_be_had_is_said_with_the_way_out(
    machine: Machine, vendor: dict[str, bytes]
) -> None:
    assert not vendor
    _, err = machine.ensure()
    (said,) = [line for line in err if "to have the official one, remove" in line]
    folder = Path(said.partition("remove ")[2].partition(" and run")[0])
    assert (folder / "pulumi-resource-command").exists()
    shutil.rmtree(folder)
    for name in ("amd64", "arm64"):
        file = f"pulumi-resource-command-v1.2.1-linux-{name}.tar.gz"
        vendor[file] = archive("pulumi-resource-command")
    _, err = machine.ensure()
    assert err[-1].endswith("command 1.2.1 (the vendor's release)")


def test_logins_and_selected_stacks_stay_when_another_plugin_is_used(machine: Machine) -> None:
    out, _ = machine.ensure()
    home = home_of(out)
    (home / "credentials.json").write_text("a token")
    (home / "workspaces").mkdir()
    (home / "workspaces" / "mine").write_text("home")
    (home / "logs").touch()  # none is wanted
    given = program(machine.folder / "given/pulumi-resource-command")
    machine.variables["REVERSE_TUNNEL_COMMAND_PLUGIN"] = str(given)
    out, _ = machine.ensure()
    assert home_of(out) != home
    assert (home_of(out) / "credentials.json").read_text() == "a token"
    assert (home_of(out) / "workspaces" / "mine").read_text() == "home"
    assert (home_of(out) / "logs").is_file()


def test_a_login_that_was_ended_does_not_come_back_with_another_plugin(machine: Machine) -> None:
    """`pulumi logout` knows of one folder only, so it must be the only one with logins."""
    out, _ = machine.ensure()
    before = home_of(out)
    (before / "credentials.json").write_text("a token")
    (before / "workspaces").mkdir()
    for name in ("one", "other"):
        given = program(machine.folder / name / "pulumi-resource-command", f"#!/bin/sh\n# {name}\n")
        machine.variables["REVERSE_TUNNEL_COMMAND_PLUGIN"] = str(given)
        out, _ = machine.ensure()
        if name == "one":
            assert (home_of(out) / "credentials.json").read_text() == "a token"
            assert not (before / "credentials.json").exists()
            assert (before / "workspaces").exists()  # is no secret, and what runs may need it
            (home_of(out) / "credentials.json").unlink()
    assert not [*machine.folder.rglob("credentials.json")]


def home_of(said: str) -> Path:
    """The engine's own folder in what is said to a shell."""
    return Path(said.partition("export PULUMI_HOME=")[2].splitlines()[0])


def test_a_vendor_that_does_not_answer_is_no_obstacle(machine: Machine) -> None:
    machine.variables["REVERSE_TUNNEL_VENDOR"] = "http://127.0.0.1:1"
    _, err = machine.ensure()
    assert err[0] == "engine: the vendor's downloads can't be reached from here"
    assert machine.pieces == BUILT
