"""A stack in the lab: its configuration file, and what `pulumi` does with it."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from lab.hosts.host import Result
from lab.hosts.operator_host import STACK
from lab.lab import Lab
from lab.stack import stack_file, write_stack

Values = dict[str, Any]

_NAMESPACE = "reverse-tunnel:"
_LONG = 300.0  # seconds; a run that takes longer hangs
_READING = {"preview", "stack", "config", "cancel"}  # these leave hosts and state as they are


class Step(NamedTuple):
    """What `pulumi preview` would do to one resource."""

    op: str
    type: str
    name: str


class Deployment:
    """One stack of the lab, first configured as the example of the design, and not deployed.

    Attributes:
        lab: the lab whose operator runs the engine.
        stack: its name.
    """

    def __init__(self, lab: Lab, stack: str = STACK) -> None:
        self.lab = lab
        self.stack = stack
        self._deployed: str | None = None  # the configuration file of the last good up
        write_stack(lab, stack)
        self._example = self._text()

    # ---- configuration ----

    def settings(self, key: str) -> Any:  # noqa: ANN401  # whatever stands there
        """A copy of what the file says under one key of ours, such as `forwards`; None without."""
        return self._read()["config"].get(_NAMESPACE + key)

    def configure(self, **settings: Any) -> None:  # noqa: ANN401  # as in YAML
        """Set top-level keys of ours, in the file's spelling; None removes one.

        deployment.configure(network={"keepalive": 0}, clients=None)
        """
        file = self._read()
        for key, value in settings.items():
            if value is None:
                file["config"].pop(_NAMESPACE + key, None)
            else:
                file["config"][_NAMESPACE + key] = value
        self._write(yaml.safe_dump(file, sort_keys=False, width=1000))

    def forwards(self, forwards: Mapping[str, Values]) -> None:
        """Set all forwards."""
        self.configure(forwards=dict(forwards))

    def configure_as_example(self) -> None:
        """The file as it was at first."""
        self._write(self._example)

    # ---- the engine ----

    def words(self, *words: str) -> list[str]:
        """The command line of the engine for this stack, for `lab.operator`."""
        return ["pulumi", "--non-interactive", "--stack", self.stack, *words]

    def pulumi(self, *words: str, check: bool = True) -> Result:
        """Run the engine; after what may have changed something, `up_if_changed` runs an `up`.

        Raises:
            CommandError: it failed, and `check`; the message has all that it printed.
        """
        if words[0] not in _READING:
            self._deployed = None
        return self.lab.operator.run(self.words(*words), check=check, timeout=_LONG)

    def up(self, *, check: bool = True) -> Result:
        """Run `pulumi up`."""
        text = self._text()
        done = self.pulumi("up", "--yes", "--skip-preview", check=check)
        if done.returncode == 0:
            self._deployed = text
        return done

    def up_if_changed(self) -> None:
        """Run `pulumi up`, unless the file is the one of the last run that succeeded."""
        if self._deployed != self._text():
            self.up()

    def distrust(self) -> None:
        """Let the next `up_if_changed` run an `up`, whatever there was before."""
        self._deployed = None

    def preview_steps(self) -> list[Step]:
        """What `pulumi preview` would do, but for the resources that stay the same."""
        said = json.loads(self.pulumi("preview", "--json").stdout)
        steps = [
            Step(step["op"], *_type_and_name(step["urn"]))
            for step in said["steps"]
            if step["op"] != "same"
        ]
        return sorted(steps)

    def destroy(self, *, check: bool = True) -> Result:
        """Run `pulumi destroy`; the stack, empty, and its configuration stay."""
        return self.pulumi("destroy", "--yes", "--skip-preview", check=check)

    def forget(self) -> None:
        """Make the stack anew, without a word to the hosts; configured as the example."""
        self._deployed = None
        self.pulumi("stack", "rm", "--yes", "--force", "--preserve-config")
        write_stack(self.lab, self.stack)
        self._example = self._text()

    def start_over(self) -> None:
        """Make the hosts as the image has them, and then the stack, since their keys may be new."""
        self.lab.reset("vps", "homelab", "attic")
        self.forget()

    def output(self, name: str) -> Any:  # noqa: ANN401  # whatever it is
        """One output of the stack, secret or not."""
        return json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").stdout)[name]

    def export(self) -> dict[str, Any]:
        """The state, with secrets encrypted, as `pulumi stack export` gives it."""
        state: dict[str, Any] = json.loads(self.pulumi("stack", "export").stdout)
        return state

    def urn(self, name: str, kind: str | None = None) -> str:
        """That of the one resource in the state with this name, and of that type."""
        urns = [str(each["urn"]) for each in self.export()["deployment"]["resources"]]
        named = {urn: _type_and_name(urn) for urn in urns}
        (found,) = (urn for urn, of in named.items() if of == (kind or of[0], name))
        return found

    # ---- the file ----

    def _read(self) -> dict[str, Any]:
        file: dict[str, Any] = yaml.safe_load(self._text())
        return file

    def _text(self) -> str:
        return stack_file(self.lab, self.stack).read_text()

    def _write(self, text: str) -> None:
        stack_file(self.lab, self.stack).write_text(text)


def failures(done: Result) -> dict[str, str]:
    """What the engine says, in its one line, of each command that a run failed at; by name."""
    assert done.returncode
    said = re.compile(r"^  command:remote:Command \((\S+)\):\n +error: (.*)", re.MULTILINE)
    return dict(said.findall(done.stdout))


def _type_and_name(urn: str) -> tuple[str, str]:
    """urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME"""
    types, name = urn.split("::")[2:]
    return types.split("$")[-1], name
