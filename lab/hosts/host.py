"""One host of the lab: its file system, its life, and commands run on it."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.failure import LabError
from lab.hosts import topology
from lab.hosts.identity import BOOT_SCRIPT, READY_FILE, host_key_file, new_key, public_line
from lab.hosts.sandbox import Sandbox
from lab.hosts.switch import Switch
from lab.images.tree import tool

Command = str | Sequence[str]

_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": os.environ.get("TERM", "dumb"),
}
_SHUTDOWN = 15.0  # seconds that a host has for an orderly end before its power is cut
_BOOT = 60.0  # seconds after which a host that is not up counts as broken
_PAUSE = 0.02  # seconds between two looks at a condition
_BOOT_PAUSE = 0.1  # the same for a host that boots, where a look is a program run on it


class HostError(LabError):
    """A host did not do what was asked."""


class CommandError(HostError):
    """A command on a host failed. Its input is not shown, since secrets travel there."""

    def __init__(self, host: str, command: Command, result: "Result") -> None:
        shown = command if isinstance(command, str) else shlex.join(command)
        output = f"{result.stdout}{result.stderr}".strip()
        super().__init__(f"on {host}: {shown!r} gave status {result.returncode}: {output}")
        self.result = result


@dataclass(frozen=True)
class Result:
    """What a command left: its output as text and its exit status."""

    stdout: str
    stderr: str
    returncode: int


@dataclass(frozen=True)
class Layers:
    """The folders that a host's file system is made of, the lowest last."""

    identity: Path
    common: Path
    tree: Path


@dataclass(frozen=True)
class Place:
    """Where in a lab a host is: its namespaces, its network, its folder."""

    sandbox: Sandbox
    switch: Switch
    folder: Path
    layers: Layers


class Host:
    """A host of a lab; `Lab.host` gives it.

    A command is either a list of words, run as they are, or one string, run by bash.
    """

    def __init__(self, facts: topology.Node, place: Place) -> None:
        self.facts = facts
        self.name = facts.name
        self.address = str(facts.address)
        self._sandbox = place.sandbox
        self._switch = place.switch
        self._folder = place.folder
        self._layers = place.layers
        self._system: tuple[Path, ...] = (place.layers.tree,)

    # ---- commands ----

    def prefix(self) -> list[str]:
        """The words before a command that make it run on the host."""
        return ["nsenter", f"--target={self._leader()}", "--all", "--wdns=/root", "--"]

    def environment(self) -> dict[str, str]:
        """The environment of a command on the host."""
        return _ENVIRONMENT

    @property
    def working_folder(self) -> Path:
        """Where on this machine a command is started; on the host it starts in /root."""
        return Path("/")

    def run(
        self,
        command: Command,
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002  # subprocess's name for it
        timeout: float | None = 120,
    ) -> Result:
        """Run a command to its end.

        Args:
            command: words, or a line for bash.
            check: whether a status other than 0 is an error.
            input: text for its standard input; none means an empty one.
            timeout: seconds.

        Raises:
            CommandError: its status was not 0, and `check`.
            subprocess.TimeoutExpired: it took longer than `timeout`; it has been killed.
        """
        done = subprocess.run(
            self._tied(command),
            input=input or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=self.environment(),
            cwd=self.working_folder,
        )
        result = Result(done.stdout, done.stderr, done.returncode)
        if check and done.returncode:
            raise CommandError(self.name, command, result)
        return result

    def popen(self, command: Command) -> subprocess.Popen[str]:
        """Start a command in the background, with pipes for all three streams.

        Killing it kills the command, but not what the command has started itself.
        """
        return subprocess.Popen(
            self._tied(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd=self.working_folder,
        )

    def read(self, path: str) -> str:
        """The text of a file on the host."""
        return self.run(["cat", path]).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the host, its folders included."""
        script = 'umask 077; mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"'
        self.run(["sh", "-euc", script, "sh", path, f"{mode:o}"], input=text)

    def _tied(self, command: Command) -> list[str]:
        words = ["bash", "-c", command] if isinstance(command, str) else [*command]
        # nsenter starts the command as a child; it must not outlive nsenter.
        return [*self.prefix(), "setpriv", "--pdeathsig", "KILL", "--", *words]

    # ---- life ----

    def start(self) -> None:
        """Plug the host in and boot it; returns when it is up."""
        self._switch.plug(self.facts)
        self._sandbox.run(self._mount() + self._boot())
        self._wait_until_up()

    def stop(self, *, orderly: bool = True) -> None:
        """Shut the host down and pull all its plugs.

        Args:
            orderly: False cuts its power.
        """
        if orderly and self.facts.login:
            for pid in self._processes("supervisor"):
                os.kill(pid, signal.SIGTERM)
            _wait(lambda: not self._is_populated(), _SHUTDOWN)
        if self._is_populated():
            (self._cgroup / "cgroup.kill").write_text("1")
        if not _wait(lambda: not self._is_populated(), _SHUTDOWN):
            raise HostError(f"{self.name} does not stop")
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            Path(folder).rmdir()
        self._switch.unplug(self.facts)

    def reboot(self, *, orderly: bool = True) -> None:
        """Stop the host and start it again, with a new network namespace.

        The file system stays; rules, addresses and connections in the kernel do not.
        """
        self.stop(orderly=orderly)
        self.start()

    def reset(self, *, new_key_too: bool = False, system: Sequence[Path] = ()) -> None:
        """Put the host back to the image, in a new network namespace.

        Args:
            new_key_too: whether its SSH host key is another one from now on, as with a rebuilt
                machine. Otherwise name, keys and services are the same.
            system: the folders of another system than the image, see images/systems.py; for a
                host whose login is root.
        """
        self._system = (*system,) or (self._layers.tree,)
        self.stop(orderly=False)
        self._sandbox.run(f"umount {self._root}\n")
        for name in ("upper", "work"):
            shutil.rmtree(self._folder / name)
        if new_key_too:
            key = host_key_file(self._layers.identity)
            key.unlink()
            new_key(key, self._layers.tree, "lab")
        self.start()

    @property
    def host_key(self) -> str:
        """The SSH host key as stack files have it: `ssh-ed25519 AAAA...`."""
        return public_line(host_key_file(self._layers.identity))

    @property
    def _root(self) -> Path:
        return self._folder / "root"

    @property
    def _cgroup(self) -> Path:
        return self._sandbox.cgroup / self.name

    def _mount(self) -> str:
        root = self._root
        if (self._folder / "upper").exists():
            return ""
        lower = ":".join(map(str, (self._layers.identity, self._layers.common, *self._system)))
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        upper, work = self._folder / "upper", self._folder / "work"
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        return f"mount -t overlay overlay -o {options} {root}\n"

    def _boot(self) -> str:
        """A script that starts the container; see systemd-nspawn(1)."""
        payload = ["--boot"] if self.facts.login else ["--as-pid2", BOOT_SCRIPT]
        command = [
            *tool(self._layers.tree, "systemd-nspawn"),
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            f"--directory={self._root}",
            f"--machine={self.name}",
            f"--network-namespace-path={self._switch.namespace(self.name)}",
            "--capability=CAP_NET_ADMIN",
            "--system-call-filter=@keyring bpf",
            "--bind=/dev/net/tun",
            *payload,
        ]
        # In a control group of its own: the hosts' systemds must not see each other's units.
        # Without API_VFS_WRITABLE a host could not switch on forwarding.
        return f"""
            cgroup={self._sandbox.cgroup_inside}/{self.name}
            mkdir $cgroup
            (
              echo 0 >$cgroup/cgroup.procs
              export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
              exec setsid {shlex.join(command)}
            ) </dev/null >{self._folder}/console.log 2>&1 &
        """

    def _wait_until_up(self) -> None:
        def decided() -> bool:
            # Whoever interrupts a start ends the lab, and need not wait for a host that can't come.
            return self._sandbox.pid is None or self._is_up()

        if not _wait(decided, _BOOT, pause=_BOOT_PAUSE) or self._sandbox.pid is None:
            log = (self._folder / "console.log").read_text(errors="replace")
            raise HostError(f"{self.name} does not come up; its console says:\n{log[-2000:]}")

    def _is_up(self) -> bool:
        leader = self._find_leader()
        if leader is None:
            return False
        if not self.facts.login:
            return Path(f"/proc/{leader}/root/{READY_FILE}").exists()
        # Not with --wait: early in the boot it can miss the signal that it waits for.
        state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        return state in {"running", "degraded"}  # a host is up although one of its units failed

    def _is_populated(self) -> bool:
        try:
            return "populated 1" in (self._cgroup / "cgroup.events").read_text()
        except FileNotFoundError:  # a reboot was interrupted
            return False

    def _leader(self) -> int:
        leader = self._find_leader()
        if leader is None:
            raise HostError(f"{self.name} is not running")
        return leader

    def _find_leader(self) -> int | None:
        """The first process of the host, as the machine numbers it."""
        place = "payload/init.scope" if self.facts.login else "payload"
        for pid in self._processes(place):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            (numbers,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
            if numbers.split()[-1] == "1":
                return pid
        return None

    def _processes(self, place: str) -> list[int]:
        try:
            text = (self._cgroup / place / "cgroup.procs").read_text()
        except OSError:  # the host is not running
            return []
        return [int(pid) for pid in text.split()]


def _wait(condition: Callable[[], bool], seconds: float, pause: float = _PAUSE) -> bool:
    """Whether the condition comes to hold within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
