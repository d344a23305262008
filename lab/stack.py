"""The lab's stack: the example of the design, with the host keys and the SSH key of this lab."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from lab.cache import locked
from lab.failure import LabError
from lab.hosts import topology
from lab.hosts.operator_host import STACK
from lab.lab import Lab

_HEAD = "# The lab's (make demo); it goes with the lab (make demo-down).\n"


def stack_file(lab: Lab, stack: str = STACK) -> Path:
    """Where the stack's configuration lies; git ignores it."""
    return lab.project / "stacks" / f"Pulumi.{stack}.yaml"


def ensure_stack(lab: Lab) -> None:
    """Make the lab's stack and its configuration unless they are there.

    What a person has changed in the file since stays.

    Raises:
        LabError: there is a file of that name that no lab has made.
        CommandError: the engine refused.
    """
    made, begun = lab.state / "stack", lab.state / "stack.begun"
    if made.exists():
        return
    with stack_locked(lab):
        if made.exists():  # by another command meanwhile
            return
        if stack_file(lab).exists() and not _is_ours(lab):
            raise LabError(
                f"{stack_file(lab)} is not the lab's, which needs that name: rename your stack"
                " (`pulumi stack rename`), or move the file away"
            )
        if begun.exists():  # and interrupted
            remove = ["pulumi", "--non-interactive", "stack", "rm", "--yes", "--force", STACK]
            lab.operator.run(remove, check=False)
        begun.touch()
        write_stack(lab)
        made.touch()


def stack_locked(lab: Lab) -> AbstractContextManager[None]:
    """A block in which no other program of the lab's makes its stack or runs the engine on it."""
    return locked(lab.state / "stack.lock", waiting="waiting for another make demo, or lab/run")


def write_stack(lab: Lab, stack: str = STACK) -> None:
    """Make a stack in the lab's backend, and its configuration file anew.

    Args:
        lab: a lab that is up.
        stack: its name; `lab/run pulumi` uses the one called `lab`.

    Raises:
        CommandError: the engine refused.
    """
    file = stack_file(lab, stack)
    file.unlink(missing_ok=True)
    pulumi = ["pulumi", "--non-interactive", "--stack", stack]
    lab.operator.run(["pulumi", "--non-interactive", "stack", "init", stack])
    file.write_text(_HEAD + file.read_text() + _settings(lab))
    key = lab.ssh_key.read_text()
    lab.operator.run([*pulumi, "config", "set", "--secret", "sshPrivateKey"], input=key)


def remove_stack_file(lab: Lab) -> None:
    """Remove the configuration file from the checkout, if a lab has made it.

    Raises:
        LabError: that lab is another user's, whose cache has it.
    """
    file = stack_file(lab)
    if not file.exists() or not _is_ours(lab):
        return
    if not lab.state.exists() and os.geteuid() not in {0, file.stat().st_uid}:
        raise LabError(
            f"{file} belongs to root's lab, which is not ended by another user: run"
            " `sudo make demo-down`"
        )
    file.unlink()


def _is_ours(lab: Lab) -> bool:
    """Whether a lab has made the file, or this one had begun to; older ones wrote no head."""
    records = (lab.state / name for name in ("stack", "stack.begun"))
    return any(record.exists() for record in records) or _HEAD in stack_file(lab).read_text()


def _settings(lab: Lab) -> str:
    def ssh(name: str) -> str:
        host = lab.host(name)
        login = host.facts.login or topology.Login("root")
        user = "" if login.user == "root" else f", user: {login.user}"
        return f'ssh: {{host: {host.address}{user}, hostKey: "{host.host_key}"}}'

    return f"""\
config:
  reverse-tunnel:vps: {{{ssh("vps")}}}
  reverse-tunnel:servers:
    homelab: {{address: 172.16.0.4, {ssh("homelab")}}}
    attic: {{address: 172.16.0.6, {ssh("attic")}}}
  reverse-tunnel:clients:
    laptop: {{address: 172.16.0.10}}
  reverse-tunnel:forwards:
    http: {{port: 80, to: "homelab:8080"}}
    https: {{port: 443, to: "homelab:8081"}}
"""
