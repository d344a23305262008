"""The lab's private part of the machine: one process that everything of a lab lives and dies with.

It holds a mount and a process namespace. All hosts, their network namespaces and their file
systems exist in these only: nothing of them shows on the machine, no name can clash with another
lab's, and when the process ends, however it ends, the kernel ends and unmounts everything.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from lab.cache import key_of
from lab.failure import LabError

_CGROUPS = "/sys/fs/cgroup"

# The first process of the namespace. It waits for orphans, so that they leave no zombies.
# nspawn keeps notes in /run, which nobody else needs to see.
_INIT = f"""
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 {_CGROUPS}
mkdir -p {_CGROUPS}/$1
: >"$2"
while :; do sleep 86400 & wait; done
"""

# Control groups outlive the mount through which they were made.
_REMOVE_CGROUP = f"""
mount -t cgroup2 cgroup2 {_CGROUPS}
cd {_CGROUPS}
[ -d "$1" ] || exit 0
[ ! -e "$1/cgroup.kill" ] || echo 1 >"$1/cgroup.kill"
until grep -q 'populated 0' "$1/cgroup.events"; do sleep 0.02; done
find "$1" -depth -type d -exec rmdir {{}} +
"""

_PRIVATE_MOUNTS = ("unshare", "--mount", "--propagation", "slave")


class SandboxError(LabError):
    """The machine did not give the lab what it needs."""


class Sandbox:
    """The namespaces of the lab whose state lies in `state`."""

    def __init__(self, state: Path) -> None:
        self._record = state / "sandbox"
        self._log = state / "sandbox.log"
        self._ready = state / "sandbox.ready"
        self._cgroup = f"reverse-tunnel-lab-{state.name}-{key_of(str(state))}"

    @property
    def pid(self) -> int | None:
        """The process that holds the namespaces; None when it is not alive."""
        try:
            pid, born = self._record.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        # A number may be given to another process later; its time of birth tells.
        return int(pid) if _born(int(pid)) == born else None

    @property
    def cgroup_inside(self) -> str:
        """The lab's control group, as seen from inside."""
        return f"{_CGROUPS}/{self._cgroup}"

    @property
    def cgroup(self) -> Path:
        """The lab's control group, as seen from the machine."""
        return Path(f"/proc/{self.pid}/root{self.cgroup_inside}")

    def start(self, *, survives: bool) -> None:
        """Make the namespaces.

        Args:
            survives: whether they outlive the calling thread. If not, the kernel ends them with
                it, however it ends.

        Raises:
            SandboxError: with what the machine said.
        """
        self._ready.unlink(missing_ok=True)
        tied = [] if survives else ["setpriv", "--pdeathsig", "KILL"]
        # Its own /proc: else a process inside looks itself up there and finds one of the machine's.
        apart = [*_PRIVATE_MOUNTS, "--pid", "--fork", "--kill-child", "--mount-proc"]
        init = ["sh", "-eu", "-c", _INIT, "sh", self._cgroup, str(self._ready)]
        command = [*tied, *apart, *init]
        log = (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
        errors = (os.POSIX_SPAWN_DUP2, 1, 2)
        pid = os.posix_spawnp(
            command[0], command, os.environ, file_actions=[nothing, log, errors], setsid=True
        )
        try:  # first, to end it whatever comes
            self._record.write_text(f"{pid} {_born(pid)}\n")
        except BaseException:
            _end(pid)
            raise
        while not self._ready.exists():
            if os.waitpid(pid, os.WNOHANG)[0]:
                raise SandboxError(f"no namespaces for the lab: {self._log.read_text().strip()}")
            time.sleep(0.005)

    def enter(self) -> list[str]:
        """The command prefix with which a program runs inside."""
        pid = self.pid
        if pid is None:
            raise SandboxError("the lab is not up: start it with lab/up")
        namespaces = f"/proc/{pid}/ns"
        return ["nsenter", f"--mount={namespaces}/mnt", f"--pid={namespaces}/pid_for_children"]

    def run(self, script: str) -> None:
        """Run a shell script inside.

        Raises:
            SandboxError: it failed; the message holds what it printed.
        """
        done = subprocess.run(
            [*self.enter(), "sh", "-eu"],
            input=script,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise SandboxError(f"a step of the lab failed: {done.stdout.strip()}\n{script}")

    def end(self) -> None:
        """End everything inside; no error when there is nothing."""
        pid = self.pid
        if pid is not None:
            _end(pid)
        subprocess.run(
            [*_PRIVATE_MOUNTS, "sh", "-eu", "-c", _REMOVE_CGROUP, "sh", self._cgroup], check=True
        )
        self._record.unlink(missing_ok=True)


def _born(pid: int) -> str | None:
    """When the process was started, in clock ticks since boot; None if it is not alive."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, born = fields[0], fields[19]  # fields 3 and 22 of proc_pid_stat(5)
    return None if state in "ZX" else born


def _end(pid: int) -> None:
    """End the process on record, with all that it has started.

    With the first process of a process namespace all others are killed; its parent, which is the
    one on record, ends when all are gone. Just after the start there may be no first one yet.
    """
    while _born(pid) is not None:
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        with suppress(ChildProcessError):  # another program started it
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)
