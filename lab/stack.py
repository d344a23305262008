"""The lab's stack: the example of the design, with the host keys and the SSH key of this lab."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from lab import topology
from lab.lab import Lab
from lab.operator_host import STACK


def stack_file(lab: Lab, stack: str = STACK) -> Path:
    """Where the stack's configuration lies; git ignores it."""
    return lab.project / "stacks" / f"Pulumi.{stack}.yaml"


def ensure_stack(lab: Lab) -> None:
    """Make the lab's stack and its configuration unless they are there.

    What a person has changed in the file since stays.
    """
    made = lab.state / "stack"
    if not made.exists():
        write_stack(lab)
        made.touch()


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
    with file.open("a") as text:
        text.write(_settings(lab))
    key = lab.ssh_key.read_text()
    lab.operator.run([*pulumi, "config", "set", "--secret", "sshPrivateKey"], input=key)


def set_forwards(lab: Lab, forwards: Mapping[str, object]) -> None:
    """Let the lab's stack have these forwards, as its file has them, from the next `up` on."""
    file = stack_file(lab)
    stack = yaml.safe_load(file.read_text())
    stack["config"]["reverse-tunnel:forwards"] = dict(forwards)
    file.write_text(yaml.safe_dump(stack))


def remove_stack_file(lab: Lab) -> None:
    """Remove the configuration file from the checkout."""
    stack_file(lab).unlink(missing_ok=True)


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
