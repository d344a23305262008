"""A stack of the project: its settings, and what the last `pulumi up` told."""

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from operate.engine import ask, ask_for_json
from operate.failure import CommandError
from operate.project import Project
from operate.stack_file import read_file
from reach.entries.part import Part
from reach.entries.recorded import COMMAND, entry_of, read_urn
from settings import SSH_PRIVATE_KEY_FIELD, Settings, SettingsError, in_namespace, load

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


def stack_option(command: Command) -> Command:
    """Give a command the option `--stack`, as the argument `stack`."""
    return click.option(
        "--stack",
        metavar="NAME",
        envvar="PULUMI_STACK",
        help="Which stack; default: the one that is selected (`pulumi stack select`).",
        type=Stack,
        default=None,
        callback=lambda _context, _option, value: value or Stack(None),
    )(command)


@dataclass(frozen=True)
class Stack:
    """A stack by its name; None is the selected one."""

    name: str | None

    def settings(self) -> Settings:
        """All settings, the SSH key included.

        Raises:
            CommandError: they can't be had, or are wrong.
        """
        entries: dict[str, dict[str, Any]] = ask_for_json(
            "the configuration", ["config", "--show-secrets"], self.name
        )
        own = _own(Project.here(), entries)
        values = {key: entry.get("value") for key, entry in own.items()}
        in_clear = {key for key, entry in own.items() if not entry["secret"]}
        return _loaded(values, agent=bool(os.environ.get("SSH_AUTH_SOCK")), in_clear=in_clear)

    def settings_without_key(self) -> Settings:
        """The settings without the SSH key, in the order of the stack file.

        It takes neither a passphrase nor the engine, unless no stack was named, or its file has
        not all of them in clear: beside that key others are encrypted, or come from the project's
        file or an environment of Pulumi ESC.

        Raises:
            CommandError: they can't be had, or are wrong.
        """
        project, file = Project.here(), self.file()
        try:
            content = read_file(file)
        except FileNotFoundError:
            raise CommandError(
                f"there is no {file}. Is the stack's name right? `pulumi stack ls` lists them."
            ) from None
        stack = content if isinstance(content, dict) else {}
        config = stack.get("config")
        values = _own(project, _in_full(project, config if isinstance(config, dict) else {}))
        values.pop(SSH_PRIVATE_KEY_FIELD, None)
        if project.configures or "environment" in stack or _has_encrypted(values):
            return self.settings()
        return _loaded(values, agent=True, in_clear=())

    def output(self, name: str) -> Mapping[str, str]:
        """One output that has a text for each name, secret or not.

        Raises:
            CommandError: there is none yet, it is not known, or it can't be had.
        """
        outputs = ask_for_json("the outputs", ["stack", "output", "--show-secrets"], self.name)
        if name not in outputs:
            raise CommandError(f"the stack has no output {name} yet: run `pulumi up` first")
        texts: Mapping[str, str] | str = outputs[name]
        if isinstance(texts, str):  # what the engine writes in place of an unknown value
            raise CommandError(
                f"the stack's output {name} is not known, since the last `pulumi up` was for some"
                " targets alone: run `pulumi up`"
            )
        return texts

    def set_up(self) -> set[str]:
        """The hosts that an `up` has given a tunnel, by name; as far as the state knows.

        Raises:
            CommandError: it can't be had.
        """
        state = json.loads(ask("the state", ["stack", "export"], self.name))
        urns = [each["urn"] for each in (state.get("deployment") or {}).get("resources") or ()]
        entries = (
            entry_of(within, name) for within, kind, name in map(read_urn, urns) if kind == COMMAND
        )
        return {entry[0] for entry in entries if entry is not None and entry[1] is Part.INTERFACE}

    def pinned(self) -> "Stack":
        """The same one, whichever is selected later.

        Raises:
            CommandError: nobody knows which one is selected.
        """
        return self if self.name else Stack(_selected())

    def file(self) -> Path:
        """Where its stack file is, if it has one.

        Raises:
            CommandError: there is no project here, or nobody knows which stack is selected.
        """
        project = Project.here()
        return project.stacks / f"Pulumi.{self._own_name()}{project.suffix}"

    def owner(self) -> str:
        """Return the stack as its hosts note whose tunnel they have: `project/stack`.

        Raises:
            CommandError: there is no project here, or nobody knows which stack is selected.
        """
        return f"{Project.here().name}/{self._own_name()}"

    def _own_name(self) -> str:
        # On Pulumi Cloud a stack may be named with its organisation and project in front.
        return (self.name or _selected()).rpartition("/")[2]


def _selected() -> str:
    return ask("the name", ["stack", "--show-name"], None).strip()


def _in_full(project: Project, config: Mapping[object, T]) -> Mapping[str, T]:
    """What a stack file has, by whole keys: one without a namespace is the project's."""
    keys = {str(key): value for key, value in config.items()}
    return {key if ":" in key else f"{project.name}:{key}": each for key, each in keys.items()}


def _own(project: Project, configuration: Mapping[str, T]) -> dict[str, T]:
    try:
        return in_namespace(project.name, configuration)
    except SettingsError as error:
        raise CommandError(str(error)) from None


def _loaded(values: Mapping[str, object], *, agent: bool, in_clear: Collection[str]) -> Settings:
    try:
        return load(values, agent=agent, in_clear=in_clear)
    except SettingsError as error:
        raise CommandError(str(error)) from None


def _has_encrypted(value: object) -> bool:
    """Whether something in it is a secret, as stack files have them."""
    if isinstance(value, dict):
        return "secure" in value or any(map(_has_encrypted, value.values()))
    return isinstance(value, list) and any(map(_has_encrypted, value))
