"""Secrets stay where they belong, whatever is printed, logged, recorded or run.

Every run of the engine is as talkative here as it may be. From -v=3 on, and with --debug, Pulumi
itself logs the secrets of any program; docs/troubleshooting.md warns of that.
"""

import base64
import json
import os
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from components.key_pair import private_key
from components.preshared_key import preshared_key
from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.disclosure import Secrets
from tests.lab.processes import record_arguments, recorded_arguments, watch
from tests.settings.samples import SSH_KEY, SSH_PUBLIC_KEY
from tests.support import eventually
from tests.symptoms import symptom

HOSTS = ("vps", "homelab", "attic")
TALKATIVE = ("--diff", "--logtostderr", "-v=1")
GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1
FOLDER = "/etc/reverse-tunnel/wg0"
PRIVATE_KEY = f"{FOLDER}/private.key"
KEY_FILES = {PRIVATE_KEY, "/etc/wireguard/wg0.conf"}
SHARED_FILES = {
    "vps": {f"{FOLDER}/preshared.d/homelab", f"{FOLDER}/preshared.d/laptop"},
    "homelab": {f"{FOLDER}/preshared.key"},
    "attic": set[str](),
}
"""Two peers have a preshared key, too."""
FORMER_FILES = {
    "vps": {f"{FOLDER}/former.d/homelab.preshared"},
    "homelab": set[str](),
    "attic": set[str](),
}
"""What is there for a minute more when keys have changed, as they have here."""


@dataclass(frozen=True)
class File:
    """A file as it lay somewhere, and who could read it."""

    content: bytes
    mode: str
    folder_mode: str
    owner: int


@dataclass
class Told:
    """Everything that a stack's whole life has told anybody, under a name for each part.

    Attributes:
        secrets: all that there were.
        texts: what was printed, logged or given as an argument.
        files: what was written, on the operator's side and at the end on the hosts.
        kept: what was written on each host while the tunnel was up.
        handed_out: the files that were made for a client device and an unmanaged server, by name.
        public_keys: by name; what the stack says, and what `wg pubkey` makes of the private ones.
    """

    secrets: Secrets
    texts: dict[str, str | bytes] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    kept: dict[str, dict[str, File]] = field(default_factory=dict)
    public_keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    handed_out: dict[str, File] = field(default_factory=dict)


class Life:
    """A stack from its first preview to its end, with mishaps."""

    def __init__(self, deployment: Deployment, temporary: Path) -> None:
        self._deployment = deployment
        self._hosts = [deployment.lab.host(name) for name in HOSTS]
        self._temporary = temporary
        self._began = time.time()
        self._texts: dict[str, str | bytes] = {}

    def run(self) -> Told:
        for host in self._hosts:
            record_arguments(host)
        with watch() as watched:
            told = self._live()
        self._texts["arguments of all processes"] = watched.seen
        return told

    def _live(self) -> Told:
        servers = self._deployment.settings("servers")
        servers["homelab"]["presharedKey"] = True
        laptop = {"address": "172.16.0.10", "presharedKey": True}
        self._deployment.configure(servers=servers, clients={"laptop": laptop})
        self._pulumi("preview", *TALKATIVE)

        attic = self._deployment.lab.host("attic")
        attic.run(f"umask 077; mkdir -p {PRIVATE_KEY}/obstacle")
        self._pulumi("up", "--yes", "--skip-preview", *TALKATIVE, fails=True)
        attic.run(["rm", "-r", PRIVATE_KEY])
        self._pulumi("up", "--yes", "--skip-preview", *TALKATIVE)

        first = self._secrets("first ")
        self._deployment.configure(network={"keyGeneration": 2})
        self._pulumi("up", "--yes", "--skip-preview", *TALKATIVE)

        self._look()
        # One that nobody logs in to, and that never comes, which a look would find wrong.
        self._deployment.configure(servers={**servers, "cabin": {"address": "172.16.0.7"}})
        self._pulumi("up", "--yes", "--skip-preview", *TALKATIVE)

        told = Told(
            Secrets({**first, **self._secrets("", "cabin")}),
            self._texts,
            public_keys=self._public_keys(),
        )
        told.kept.update(
            {host.name: dict(written(root(host), self._began)) for host in self._hosts}
        )
        told.handed_out = self._hand_out()
        self._pulumi("stack", "export")
        self._pulumi("stack", "output", "--json")
        self._pulumi("stack", "--show-ids")
        self._preview_change()
        self._pulumi("refresh", "--yes", *TALKATIVE)
        self._pulumi("destroy", "--yes", "--skip-preview", *TALKATIVE)

        for host in self._hosts:
            self._texts[f"arguments on {host.name}"] = recorded_arguments(host)
            self._texts[f"journal of {host.name}"] = host.run(["journalctl", "-o", "export"]).stdout
            told.files.update(
                {f"{host.name}:{path}": file for path, file in written(root(host), self._began)}
            )
        environment = self._deployment.lab.operator.environment()
        for folder in (
            urlsplit(environment["PULUMI_BACKEND_URL"]).path,
            f"{environment['PULUMI_HOME']}/logs",
            f"{self._deployment.lab.project}/stacks",
            str(self._temporary),
        ):
            found = written(Path(folder), self._began)
            told.files.update({folder + path: file for path, file in found})
        return told

    def _look(self) -> None:
        """Every command that shows no secret by its purpose."""
        for words in (("status",), ("status", "--json"), ("drift",), ("picture",)):
            # New keys were in use a moment ago.
            eventually(partial(self._succeeds, *words), 30, "not all is well")

    def _hand_out(self) -> dict[str, File]:
        """Those that make a file of one."""
        self._command("server", "cabin", "--uninstall")
        self._command("client", "nobody", fails=True)
        self._command("server", "attic", fails=True)
        handed_out = {}
        for command, name in (
            *(("client", f"laptop.{form}") for form in ("conf", "png", "svg")),
            ("server", "cabin.sh"),
        ):
            file = self._temporary.parent / name
            self._command(command, file.stem, "--output", str(file))
            seen = file.stat()
            handed_out[name] = File(file.read_bytes(), stat.filemode(seen.st_mode), "", seen.st_uid)
            file.unlink()
        return handed_out

    def _command(self, *words: str, fails: bool = False) -> None:
        assert self._succeeds(*words) != fails, self._texts[f"reverse-tunnel {' '.join(words)}"]

    def _succeeds(self, *words: str) -> bool:
        done = self._deployment.lab.operator.run(["reverse-tunnel", *words], check=False)
        self._texts[f"reverse-tunnel {' '.join(words)}"] = done.stdout + done.stderr
        return done.returncode == 0

    def _preview_change(self) -> None:
        """Of as much as possible, the SSH key included."""
        for host in self._hosts:
            home = "/home/hex" if host.name == "attic" else "/root"
            host.run(f"cat >>{home}/.ssh/authorized_keys", input=f"{SSH_PUBLIC_KEY}\n")
        words = self._deployment.words("config", "set", "--secret", "sshPrivateKey")
        self._deployment.lab.operator.run(words, input=SSH_KEY)
        self._deployment.configure(
            network={"mtu": 1400},
            clients={"phone": {"address": "172.16.0.11"}},
            forwards={"http": {"port": 8080, "to": "attic"}},
        )
        self._pulumi("preview", *TALKATIVE)

    def _pulumi(self, *words: str, fails: bool = False) -> None:
        command = ["env", f"TMPDIR={self._temporary}", *self._deployment.words(*words)]
        done = self._deployment.lab.operator.run(command, check=False, timeout=300)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        self._texts[f"{len(self._texts)} {' '.join(words)}"] = done.stdout + done.stderr

    def _secrets(self, generation: str = "", *more: str) -> dict[str, str]:
        """All that there are now, each by its name behind that of its generation.

        Args:
            generation: what their names begin with.
            more: ends of the tunnel beside those of the example.
        """
        said = self._deployment.pulumi("stack", "export", "--show-secrets").stdout
        seeds = {
            resource["urn"].rpartition("::")[2]: json.loads(
                resource["outputs"]["result"]["plaintext"]
            )
            for resource in json.loads(said)["deployment"]["resources"]
            if resource["type"] == "random:index/randomPassword:RandomPassword"
        }
        shared = {name for name in seeds if name.endswith("-preshared-seed")}
        assert shared == {"homelab-preshared-seed", "laptop-preshared-seed"}
        ends = ("vps", "homelab", "attic", "laptop", *more)
        assert seeds.keys() - shared == {f"{name}-seed" for name in ends}
        secrets = {
            **seeds,
            **{
                f"key of {name.removesuffix('-seed')}": private_key(seed)
                for name, seed in seeds.items()
                if name not in shared
            },
            **{
                f"shared key of {name.removesuffix('-preshared-seed')}": preshared_key(seeds[name])
                for name in shared
            },
            "SSH key": ssh_secret(self._deployment.lab.ssh_key.read_text()),
            "new SSH key": ssh_secret(SSH_KEY),
            "passphrase": (self._deployment.lab.state / "passphrase").read_text(),
        }
        return {generation + name: secret for name, secret in secrets.items()}

    def _public_keys(self) -> dict[str, tuple[str, str]]:
        said = self._deployment.output("publicKeys")
        file = self._deployment.output("clientConfigs")["laptop"]
        (line,) = (line for line in file.splitlines() if line.startswith("PrivateKey"))
        private = {host.name: host.read(PRIVATE_KEY) for host in self._hosts}
        private["laptop"] = line.partition(" = ")[2]
        vps = self._deployment.lab.host("vps")
        return {
            name: (said[name], vps.run(["wg", "pubkey"], input=key).stdout.strip())
            for name, key in private.items()
        }


def ssh_secret(pem: str) -> str:
    """The secret half of an SSH key; its other half and its frame may be seen by anybody."""
    key = load_ssh_private_key(pem.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return base64.b64encode(key.private_bytes_raw()).decode()


def root(host: Host) -> Path:
    """The host's file system, with all that is mounted there, as the machine sees it."""
    return Path(f"/proc/{host._leader()}/root")


def written(folder: Path, since: float) -> Iterator[tuple[str, File]]:
    """What has been written in a folder since then, by its path from there."""
    for path, folders, names in os.walk(folder):
        if path == str(folder):
            folders[:] = [name for name in folders if name not in {"dev", "proc", "sys"}]
        if "/log/journal/" in path:
            continue  # binary; it is read by its own program
        for file in (Path(path, name) for name in names):
            try:
                seen = file.lstat()
                if not stat.S_ISREG(seen.st_mode) or seen.st_ctime < since:
                    continue
                content, folder_mode = unpacked(file.read_bytes()), file.parent.stat().st_mode
            except FileNotFoundError:  # gone meanwhile: the host lives on
                continue
            yield (
                str(file).removeprefix(str(folder)),
                File(content, stat.filemode(seen.st_mode), stat.filemode(folder_mode), seen.st_uid),
            )


def unpacked(content: bytes) -> bytes:
    """What was compressed, as the engine's logs are, but those that are encrypted."""
    # A log may have no end yet, at which gzip.decompress would give up.
    return zlib.decompressobj(wbits=31).decompress(content) if content[:2] == GZIP else content


@pytest.fixture(scope="module")
def told(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    deployment.start_over()
    environment = deployment.lab.operator.environment()
    home = tmp_path_factory.mktemp("home")
    (home / "plugins").symlink_to(Path(environment["PULUMI_HOME"]) / "plugins")
    with pytest.MonkeyPatch.context() as patch:
        # The engine's own is all labs', with their logs.
        patch.setitem(environment, "PULUMI_HOME", str(home))
        yield Life(deployment, tmp_path_factory.mktemp("temporary")).run()
    deployment.start_over()


@symptom("I want to show somebody a log")
def test_nothing_that_is_printed_logged_or_given_as_an_argument_has_a_secret(told: Told) -> None:
    found = {name: told.secrets.found_in(text) for name, text in told.texts.items()}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


def test_what_was_searched_is_what_was_meant(told: Told) -> None:
    """Nothing has no secrets, either."""
    texts = {name: str(text) for name, text in told.texts.items()}
    outputs = [text for name, text in texts.items() if name[0].isdigit()]
    assert any("cannot overwrite directory '/etc/reverse-tunnel" in text for text in outputs)
    assert any("tcp 80 -> 172.16.0.4:8080" in text for text in outputs)
    for host in HOSTS:
        assert "/local/sbin/wg " in texts[f"arguments on {host}"]
        assert "Accepted publickey" in texts[f"journal of {host}"]
    assert (
        "COMMAND=/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 key"
        in texts["journal of attic"]
    )
    assert "pulumi-resource-command" in texts["arguments of all processes"]
    for place in ("/.pulumi/stacks/", "/.pulumi/history/", "/stacks/Pulumi.lab.yaml"):
        assert any(place in path for path in told.files)
    logs = [file.content for path, file in told.files.items() if "/logs/" in path]
    assert any(b'"Command":"pulumi stack output"' in log for log in logs)


def test_no_file_has_a_secret_on_the_operators_side_or_after_a_destroy(told: Told) -> None:
    found = {name: told.secrets.found_in(file.content) for name, file in told.files.items()}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


@pytest.mark.parametrize("host", HOSTS)
def test_a_hosts_keys_lie_in_files_that_only_root_can_read(told: Told, host: str) -> None:
    files = told.kept[host]
    holders = {path for path, file in files.items() if told.secrets.found_in(file.content)}
    assert holders - FORMER_FILES[host] == KEY_FILES | SHARED_FILES[host]
    ours = {path for path in files if path.startswith("/etc/reverse-tunnel/")}
    for path in holders | ours:
        file = files[path]
        assert (path, file.mode, file.owner) == (path, "-rw-------", 0)
        assert (path, file.folder_mode) == (path, "drwx------")


def test_a_host_has_its_own_key_alone_and_those_that_it_shares(told: Told) -> None:
    shared = {"vps": {"homelab", "laptop"}, "homelab": {"homelab"}, "attic": set[str]()}
    for host in HOSTS:
        for path in KEY_FILES | SHARED_FILES[host]:
            found = told.secrets.found_in(told.kept[host][path].content)
            keys = {words.partition(" in ")[0] for words in found}
            own = {f"key of {host}"} if path in KEY_FILES else set()
            theirs = {f"shared key of {name}" for name in shared[host]}
            if host == "vps":  # a minute longer
                theirs.add("first shared key of homelab")
            assert keys <= own | theirs, path
            assert keys, path


def test_files_that_are_handed_out_are_for_their_owner_alone(told: Told) -> None:
    """A picture has no letters to be found."""
    found = {
        name: {words.partition(" in ")[0] for words in told.secrets.found_in(file.content)}
        for name, file in told.handed_out.items()
    }
    assert found == {
        "laptop.conf": {"key of laptop", "shared key of laptop"},
        "laptop.png": set(),
        "laptop.svg": set(),
        "cabin.sh": {"key of cabin"},
    }
    for file in told.handed_out.values():
        assert (file.mode, file.owner) == ("-rw-------", 0)


def test_public_keys_are_what_wg_makes_of_the_private_ones(told: Told) -> None:
    assert told.public_keys.keys() == {"vps", "homelab", "attic", "laptop"}
    for ours, of_wg in told.public_keys.values():
        assert ours == of_wg


KEY = private_key("a seed of the tests")
RAW = base64.b64decode(KEY)


@pytest.mark.parametrize(
    "disclosed",
    [
        f"PrivateKey = {KEY}\n",
        f"the key {KEY[:20]}... is wrong",
        f"curl https://example.org/?key={KEY.replace('+', '%2B').replace('/', '%2F')}",
        json.dumps({"stdin": f"{KEY}\n"}),
        base64.b64encode(f"[Interface]\nPrivateKey = {KEY}\nAddress =".encode()).decode(),
        base64.b64encode(f"{KEY}\n".encode()).decode(),
        base64.urlsafe_b64encode(b"ab" + RAW + b"c").decode(),
        KEY.encode().hex(),
        RAW.hex(),
        RAW.hex().upper(),
        RAW.hex(":"),
        str(list(RAW)),
        b"\0\1" + RAW,
    ],
)
def test_the_search_finds_a_key_in_any_form(disclosed: str | bytes) -> None:
    assert Secrets({"key": KEY}).found_in(disclosed) != []


def test_the_search_finds_an_ssh_key_by_its_secret_half_alone() -> None:
    secrets = Secrets({"SSH key": ssh_secret(SSH_KEY)})
    assert secrets.found_in(SSH_KEY) != []
    assert secrets.found_in(json.dumps(SSH_KEY)) != []
    assert secrets.found_in(SSH_PUBLIC_KEY) == []


def test_a_key_in_an_argument_is_seen_and_recorded(lab: Lab, told: Told) -> None:
    """The hosts still record; their wrappers come first where a program is found by its name."""
    del told
    secrets, vps = Secrets({"key": KEY}), lab.host("vps")
    path = "PATH=/usr/local/sbin:/usr/sbin:/usr/bin"
    with watch() as watched:
        process = vps.popen(["env", path, "python3", "-c", "input()", KEY])
        eventually(lambda: secrets.found_in(watched.seen), 20, "the argument was not seen")
        process.communicate("\n")
    assert secrets.found_in(recorded_arguments(vps)) != []


def test_a_key_in_a_file_is_found_with_who_could_read_it(tmp_path: Path) -> None:
    began = time.time() - 1
    (tmp_path / "copy").write_text(f"{KEY}\n")
    (tmp_path / "copy").chmod(0o644)
    ((path, file),) = written(tmp_path, began)
    assert path == "/copy"
    assert file.mode == "-rw-r--r--"
    assert Secrets({"key": KEY}).found_in(file.content) != []
