"""The operator: the person at home with this checkout, its Pulumi engine and the SSH key.

A host like the others in the network; but its commands see this machine's files, so that what
they do is what a user would do at home, and nothing they do reaches beyond the lab.
"""

import os
import subprocess
from pathlib import Path

from lab.checkout import CHECKOUT, NO_ENGINE
from lab.failure import LabError
from lab.hosts import topology
from lab.hosts.host import Command, Host, Place

STACK = "lab"

# Joins the lab's control group, so that nothing the operator has started outlives the lab.
_JOIN = ["sh", "-euc", 'echo 0 >"$0"; exec "$@"']

# What a shell runs in the background ignores SIGINT, and so would all that it starts. But by that
# the engine ends its language host, and would wait five seconds for it in each run.
_HEAR = ["env", "--default-signal=INT"]

# The engine's place is known by a script for shells; `env -0` turns what it says into data.
_ENSURE = """
lab/environment >/dev/null
engine=$(lab/engine/ensure --quiet)
eval "$engine"
exec env -0
"""


class Operator(Host):
    """The host whose commands run on this machine's file system.

    Attributes:
        project: the folder its commands start in, with Pulumi.yaml and stacks/.
    """

    def __init__(self, facts: topology.Node, place: Place, state: Path, project: Path) -> None:
        super().__init__(facts, place)
        self.project = project
        self._state = state
        self._environment: dict[str, str] | None = None

    def start(self) -> None:
        """Plug the host in and boot it; returns when it is up."""
        super().start()
        self._commands.mkdir()

    def prefix(self) -> list[str]:
        """The words before a command that make it run on the host."""
        join = [*_JOIN, f"{self._commands}/cgroup.procs"]
        return [*join, *_HEAR, "nsenter", f"--net=/proc/{self._leader()}/ns/net", "--"]

    def environment(self) -> dict[str, str]:
        """What the user's shell has, with the engine, the lab's backend and its stack selected.

        The engine and the Python environment are made first if need be, with progress on stderr.

        Raises:
            LabError: they can't be made.
        """
        if self._environment is None:
            # A user's own Pulumi settings and SSH agent have no place in the lab. But where plugins
            # are is asked by who looks for them, and he sets another place.
            inherited = {
                name: value
                for name, value in os.environ.items()
                if name == "PULUMI_HOME"
                or not (name.startswith("PULUMI_") or name == "SSH_AUTH_SOCK")
            }
            ensured = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", _ENSURE],
                cwd=CHECKOUT,
                env=inherited,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if ensured.returncode:
                raise LabError(NO_ENGINE)
            environment = dict(line.split("=", 1) for line in ensured.stdout.split("\0") if line)
            self._environment = environment | {
                "PATH": f"{CHECKOUT}/.venv/bin:{environment['PATH']}",
                "VIRTUAL_ENV": f"{CHECKOUT}/.venv",
                # Each file would have another beside it, which is not written in one step: an
                # engine that is killed meanwhile leaves a state that can't be read.
                "PULUMI_BACKEND_URL": f"file://{self._state}/pulumi?metadata=skip",
                "PULUMI_CONFIG_PASSPHRASE": (self._state / "passphrase").read_text(),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_STACK": STACK,
            }
        return self._environment

    @property
    def working_folder(self) -> Path:
        """Where a command is started: in the project."""
        return self.project

    @property
    def _commands(self) -> Path:
        return self._cgroup / "commands"

    def _tied(self, command: Command) -> list[str]:
        words = ["bash", "-c", command] if isinstance(command, str) else [*command]
        return [*self.prefix(), *words]  # everything here replaces itself by what it starts
