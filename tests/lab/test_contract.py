"""What this project relies on of the command plugin, held against whichever plugin is in use.

Where the official plugin can't be had, a stand-in is used (see lab/engine/ensure), and the rest of
the tests mean nothing for users unless both do the same. To run this against the official one, name
it in REVERSE_TUNNEL_COMMAND_PLUGIN. Real engine, real OpenSSH; what runs on the hosts is not shown
here.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lab.images.image import debian_tree
from tests.support import eventually
from tests.symptoms import advised, symptom

CIPHER = "`pulumi` says `cipher: message authentication failed`"
ENSURE = Path(__file__).parents[2] / "lab/engine/ensure"

# One resource for each entry of resources.json, so that a test states resources as data.
PROGRAM = """
import json
import pathlib

import pulumi
import pulumi_command

made = {}
for name, entry in json.loads(pathlib.Path("resources.json").read_text()).items():
    options = pulumi.ResourceOptions(
        depends_on=[made[other] for other in entry.pop("depends_on", [])],
        deleted_with=made.get(entry.pop("deleted_with", None)),
    )
    made[name] = pulumi_command.remote.Command(name, opts=options, **entry)
"""

# It ends with the tests, however they end.
NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
)

# An overlay over the image: commands run as root, and see and change nothing but their own tree.
SSH_SERVER = """
cd "$1"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mkdir -p "$1/root/run/sshd"
exec chroot "$1/root" /usr/sbin/sshd -D -e -f /contract/config
"""

# Of loopback, and of this process alone, whose number has 22 bits at most: at 127.0.0.1 the tests
# beside it take ports all the time, and one may be taken before sshd has it.
ADDRESS = str(IPv4Address("127.64.0.0") + os.getpid())

Resource = dict[str, Any]
Key = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
CURVES = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())


def key_pair(key: Key | None = None) -> tuple[str, str]:
    """An SSH key, a new one or this, as OpenSSH writes it: private, public."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()


class SshServer:
    """OpenSSH's server out of the lab's image, on a port of loopback."""

    def __init__(self, folder: Path) -> None:
        self._upper = folder / "upper"
        self._private_key, public_key = key_pair()
        host_private_key, self._host_key = key_pair()
        others: dict[str, Key] = {
            "rsa": rsa.generate_private_key(65537, 3072),
            **{f"ecdsa-{curve.key_size}": ec.generate_private_key(curve) for curve in CURVES},
        }
        pairs = {kind: key_pair(key) for kind, key in others.items()}
        self.other_host_keys = {kind: public for kind, (_, public) in pairs.items()}
        with socket.create_server((ADDRESS, 0)) as probe:
            self._port: int = probe.getsockname()[1]
        contract = self._upper / "contract"
        for made in (contract, self._upper / "journals", folder / "work", folder / "root"):
            made.mkdir(parents=True)
        (contract / "config").write_text(
            f"ListenAddress {ADDRESS}:{self._port}\nUsePAM no\n"
            "AuthorizedKeysFile /contract/authorized_keys\n"
            "HostKey /contract/host_key\n"
            + "".join(f"HostKey /contract/{kind}\n" for kind in pairs)
        )
        (contract / "authorized_keys").write_text(public_key)
        privates = {kind: private for kind, (private, _) in pairs.items()}
        for name, key in {"host_key": host_private_key, **privates}.items():
            (contract / name).touch(mode=0o600)
            (contract / name).write_text(key)
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*NAMESPACES, "sh", "-euc", SSH_SERVER, "sh", str(folder), str(debian_tree())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._answers, 20, f"no SSH server, see {folder / 'log'}")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((ADDRESS, self._port)) == 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def connection(self, **changes: object) -> Resource:
        """A good connection to the server, with changes."""
        good = {
            "host": ADDRESS,
            "port": self._port,
            "private_key": self._private_key,
            "host_key": self._host_key,
            "dial_error_limit": 0,
        }
        return good | changes

    def sessions(self) -> int:
        """How many connections are open."""
        (server,) = children(self._process.pid)
        return len(children(server))

    def journals(self) -> dict[str, list[str]]:
        """The lines of the files that commands have made in /journals on the host, by name."""
        return {file.name: file.read_text().splitlines() for file in self._upper.glob("journals/*")}


def children(process: int) -> list[int]:
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


class Unwilling:
    """A port of loopback that takes connections, counts them and hangs up at once."""

    def __init__(self) -> None:
        self._listener = socket.create_server((ADDRESS, 0))
        self.port: int = self._listener.getsockname()[1]
        self.dials = 0
        self._thread = threading.Thread(target=self._hang_up)
        self._thread.start()

    def _hang_up(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.close()
            self.dials += 1

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class Stack:
    """A Pulumi stack with a state of its own, whose resources are given as data."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment | {
            "PULUMI_BACKEND_URL": f"file://{folder}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": "snake-oil",
        }
        (folder / "Pulumi.yaml").write_text("name: contract\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        self.run("stack", "init", "contract")

    def describe(self, resources: dict[str, Resource]) -> None:
        """Make these the program's resources."""
        (self._folder / "resources.json").write_text(json.dumps(resources))

    def run(self, *arguments: str, succeeds: bool = True) -> str:
        """Run pulumi and return all that it shows."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self._folder,
            env=self._environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode == 0) == succeeds, done.stdout
        return done.stdout

    def up(self, resources: dict[str, Resource], *, succeeds: bool = True) -> str:
        self.describe(resources)
        return self.run("up", "--yes", "--skip-preview", "--continue-on-error", succeeds=succeeds)

    def recorded(self) -> dict[str, Resource]:
        """The outputs of the commands in the state, by name."""
        state = json.loads(self.run("stack", "export"))
        return {
            resource["urn"].rpartition("::")[2]: resource["outputs"]
            for resource in state["deployment"]["resources"]
            if resource["type"] == "command:remote:Command"
        }


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The environment in which `pulumi` is the engine in use."""
    script = f'eval "$({ENSURE} --quiet)" && env -0'
    shell = subprocess.run(["bash", "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    variables = dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)
    # An agent's keys would be tried, too.
    variables.pop("SSH_AUTH_SOCK", None)
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    return variables


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def unwilling() -> Iterator[dict[str, Unwilling]]:
    """Ports that nobody serves, one for each resource that is to be watched."""
    ports = {name: Unwilling() for name in ("idle", "unparsable", "agent", "once", "thrice")}
    yield ports
    for port in ports.values():
        port.stop()


def note(text: str, journal: str) -> str:
    """A command that appends a line to a journal."""
    return f"echo {text} >>/journals/{journal}"


def life(name: str, round_: str = "") -> Resource:
    """Commands that keep a journal of when they run; another round is a change."""
    commands = {verb: note(verb, name) for verb in ("create", "update", "delete")}
    return commands | {"delete": f"{commands['delete']} # {round_}"}


@dataclass
class Lives:
    """What several resources went through: preview, up, up with changes, destroy.

    Attributes:
        previewed: what had run on the host after the preview.
        first_up: what the first `up` showed.
        first, second: what was recorded after each `up`.
        state: the state before the end, as it lies in the backend.
        journals: what ran on the host in the end, by name.
    """

    previewed: dict[str, list[str]]
    first_up: str
    first: dict[str, Resource]
    second: dict[str, Resource]
    state: str
    journals: dict[str, list[str]]


@pytest.fixture(scope="module")
def lives(
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    server: SshServer,
    unwilling: dict[str, Unwilling],
) -> Lives:
    """One stack for all, since every run of the engine takes seconds.

    No command here has stdin: one that ends without reading it to the end fails at times (EOF).
    """
    connection = server.connection()
    idle = server.connection(port=unwilling["idle"].port)

    def resources(round_: str) -> dict[str, Resource]:
        resources: dict[str, Resource] = {
            "changed": life("changed", round_),
            "unchanged": life("unchanged"),
            "without-update": life("without-update", round_) | {"update": None},
            "empty-update": life("empty-update", round_) | {"update": ""},
            "idle": {"delete": None, "stdin": round_, "connection": idle},
            "kept": {"create": "echo kept" if round_ == "first" else None},
            "triggered": life("triggered") | {"triggers": [round_]},
            "quiet": {"create": "echo quiet-line", "logging": "none"},
            "loud": {"create": "printf 'loud-line\\n\\n'; echo loud-error >&2"},
            "host": life("host"),
            "leaving": life("leaving") | {"deleted_with": "host"},
            "staying": life("staying") | {"deleted_with": "host"},
        }
        if round_ == "second":
            del resources["leaving"]
        for resource in resources.values():
            resource.setdefault("connection", connection)
        return resources

    stack = Stack(tmp_path_factory.mktemp("lives"), environment)
    stack.describe(resources("first"))
    stack.run("preview")
    previewed = server.journals()
    first_up = stack.up(resources("first"))
    first = stack.recorded()
    stack.up(resources("second"))
    second = stack.recorded()
    state = stack.run("stack", "export")
    # Destroying runs no program, so what is written here is never read.
    stack.describe({"changed": {"delete": note("newer", "changed"), "connection": connection}})
    stack.run("destroy", "--yes", "--skip-preview")
    return Lives(previewed, first_up, first, second, state, server.journals())


@symptom(CIPHER)
def test_a_secret_is_read_by_the_salt_that_it_was_encrypted_with_or_set_anew(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Also where there is a state, which has a salt of its own."""
    stack = Stack(tmp_path, environment)
    stack.describe({})
    stack.run("config", "set", "--secret", "login", "snake-oil")
    stack.run("up", "--yes", "--skip-preview")
    file = tmp_path / "Pulumi.contract.yaml"
    whole = file.read_text()
    salt = advised(CIPHER, "encryptionsalt")
    file.write_text(re.sub(f"^{salt}: .*\n", "", whole, flags=re.MULTILINE))
    assert "cipher: message authentication failed" in stack.run("preview", succeeds=False)
    file.write_text(whole)
    stack.run("preview")
    file.write_text("config: {}\n")
    stack.run("config", "set", "--secret", "login", "snake-oil")
    stack.run("preview")
    stack.run("destroy", "--yes", "--skip-preview")


def test_a_preview_runs_nothing(lives: Lives) -> None:
    assert lives.previewed == {}
    assert lives.journals != {}


def test_a_change_runs_update_and_deleting_runs_what_was_recorded(lives: Lives) -> None:
    """What a delete does was decided when the resource was last changed, maybe years ago."""
    assert lives.journals["changed"] == ["create", "update", "delete"]
    assert lives.journals["unchanged"] == ["create", "delete"]


def test_without_update_a_change_runs_create_again_and_no_delete(lives: Lives) -> None:
    """So a create must be safe to run again and must itself remove what it left before."""
    assert lives.journals["without-update"] == ["create", "create", "delete"]


def test_an_empty_update_is_a_command_and_does_not_fall_back_to_create(lives: Lives) -> None:
    assert lives.journals["empty-update"] == ["create", "delete"]


def test_without_a_command_nothing_is_dialled_and_the_output_stays(
    lives: Lives, unwilling: dict[str, Unwilling]
) -> None:
    assert unwilling["idle"].dials == 0
    assert "idle" in lives.second
    assert lives.first["kept"]["stdout"] == lives.second["kept"]["stdout"] == "kept"


def test_a_changed_trigger_replaces_the_new_before_the_old(lives: Lives) -> None:
    """A delete that goes by content would remove what the create has just made."""
    assert lives.journals["triggered"] == ["create", "create", "delete", "delete"]


def test_what_is_deleted_with_its_host_is_left_to_the_hosts_own_delete(lives: Lives) -> None:
    """`destroy` is one command for each host, and removing one forward is still its own."""
    assert lives.journals["leaving"] == ["create", "delete"]
    assert lives.journals["staying"] == ["create"]
    assert lives.journals["host"] == ["create", "delete"]


def test_output_is_recorded_and_shown_unless_logging_is_none(lives: Lives) -> None:
    """Output loses one newline at its end, and `none` keeps it from the terminal alone."""
    assert "loud-line" in lives.first_up
    assert "quiet-line" not in lives.first_up
    assert lives.first["loud"]["stdout"] == "loud-line\n"
    assert lives.first["loud"]["stderr"] == "loud-error"
    assert lives.first["quiet"]["stdout"] == "quiet-line"


def test_a_connection_is_recorded_as_a_secret(lives: Lives) -> None:
    assert "ciphertext" in lives.second["changed"]["connection"]
    assert "PRIVATE KEY" not in lives.state


@dataclass
class Failures:
    """What several resources left of which most fail to be created.

    Attributes:
        errors: what was said of each in the end, by name.
        recorded: the names in the state.
        journals: what ran on the host, by name.
    """

    errors: dict[str, str]
    recorded: set[str]
    journals: dict[str, list[str]]


@pytest.fixture(scope="module")
def failures(
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    server: SshServer,
    unwilling: dict[str, Unwilling],
) -> Failures:
    stack = Stack(tmp_path_factory.mktemp("failures"), environment)
    other_private_key, other_public_key = key_pair()

    def here(create: str, **changes: object) -> Resource:
        return {"create": create, "connection": server.connection(**changes)}

    def at(name: str, **changes: object) -> Resource:
        return here("true", port=unwilling[name].port, **changes)

    shown = stack.up(
        {
            "good": here("cat >/journals/good") | {"stdin": "snake-oil"},
            "bad": here(BAD_COMMAND) | {"stdin": "snake-oil"},
            "impostor": here(note("ran", "impostor"), host_key=other_public_key),
            **{
                kind: here(note("ran", kind), host_key=key)
                for kind, key in server.other_host_keys.items()
            },
            "stranger": here(note("ran", "stranger"), private_key=other_private_key),
            "unparsable": at("unparsable", host_key="ssh-ed25519", dial_error_limit=5),
            "agent": at("agent", agent_socket_path="/nowhere", dial_error_limit=5),
            "once": at("once"),
            "thrice": at("thrice", dial_error_limit=2),
        },
        succeeds=False,
    )
    diagnostics = shown.partition("Diagnostics:")[2]
    errors = re.findall(r"Command \((.*)\):\n((?:    .*\n|\n)+)", diagnostics)
    return Failures(dict(errors), set(stack.recorded()), server.journals())


BAD_COMMAND = "cat >/journals/bad; echo out; echo err >&2; exit 3"


def test_a_failing_command_is_shown_in_full_with_its_output(failures: Failures) -> None:
    """So no secret may ever be in a command's text or output."""
    first, *output = failures.errors["bad"].splitlines()
    assert first.strip() == f'error: Process exited with status 3: running "{BAD_COMMAND}":'
    assert {"out", "err"} <= {line.strip() for line in output}
    assert "good" not in failures.errors


def test_stdin_reaches_the_command_and_is_never_shown(failures: Failures) -> None:
    """This is the way that secrets travel."""
    assert failures.journals["good"] == failures.journals["bad"] == ["snake-oil"]
    assert "snake-oil" not in "".join(failures.errors.values())


def test_what_failed_to_be_created_is_not_recorded(failures: Failures) -> None:
    """What it did before it failed is nobody's to delete."""
    assert failures.recorded == {"good", "ecdsa-256", "ecdsa-384", "ecdsa-521"}


def test_another_host_key_or_login_is_refused_before_anything_runs(failures: Failures) -> None:
    assert "ssh: host key mismatch" in failures.errors["impostor"]
    assert "ssh: unable to authenticate" in failures.errors["stranger"]
    assert not {"impostor", "stranger"} & set(failures.journals)


def test_an_ecdsa_host_key_of_each_curve_can_be_pinned(failures: Failures) -> None:
    assert {"ecdsa-256", "ecdsa-384", "ecdsa-521"} <= failures.journals.keys()


def test_an_rsa_host_key_cannot_be_pinned(failures: Failures) -> None:
    """The plugin takes SHA-1 signatures only, so settings refuse a key that the host does have."""
    assert "no common algorithm for host key" in failures.errors["rsa"]
    assert "rsa" not in failures.journals


def test_the_dial_error_limit_counts_the_retries_after_the_first_dial(
    failures: Failures, unwilling: dict[str, Unwilling]
) -> None:
    """0 is one dial, and every dial with a wrong login counts for fail2ban."""
    assert unwilling["once"].dials == 1
    assert unwilling["thrice"].dials == 3
    assert "after 2 failed attempts" in failures.errors["thrice"]


def test_what_no_retry_can_mend_fails_without_a_dial(
    failures: Failures, unwilling: dict[str, Unwilling]
) -> None:
    assert "failed to parse host key" in failures.errors["unparsable"]
    assert "/nowhere" in failures.errors["agent"]
    assert unwilling["unparsable"].dials == unwilling["agent"].dials == 0


def test_an_agent_is_dialled_though_a_key_is_given(
    tmp_path: Path, environment: dict[str, str], server: SshServer
) -> None:
    """Were it otherwise, nobody would have to look for it: components/preflight/agent.py."""
    stack = Stack(tmp_path, {**environment, "SSH_AUTH_SOCK": "/nowhere"})
    one = {"create": note("ran", "agent"), "connection": server.connection()}
    assert "dial unix /nowhere" in stack.up({"one": one}, succeeds=False)
    assert "agent" not in server.journals()


def test_connections_stay_open_until_the_run_ends(
    tmp_path: Path, environment: dict[str, str], server: SshServer
) -> None:
    """Memory on a small VPS has to bear as many as there are commands in a run."""
    eventually(lambda: server.sessions() == 0, 20, "connections of other runs are still open")
    count = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^sshd: root@notty'"
    stack = Stack(tmp_path, environment)
    names = ["first", "second", "third"]
    stack.up(
        {
            name: {
                "create": count,
                "connection": server.connection(),
                "depends_on": names[:position],
            }
            for position, name in enumerate(names)
        }
    )
    assert [stack.recorded()[name]["stdout"] for name in names] == ["1", "2", "3"]
    eventually(lambda: server.sessions() == 0, 20, "connections are open after the run")
