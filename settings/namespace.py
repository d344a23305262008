"""Namespaces: whose a key of a stack's configuration is."""

from collections.abc import Mapping
from typing import TypeVar

from settings.near import nearest
from settings.problem import Problem, Rule, SettingsError

T = TypeVar("T")

PROJECT = "reverse-tunnel"
"""Whose keys the settings are, by the name in Pulumi.yaml."""

_ALIKE = 0.8
"""From here on, of 1, a name is a slip; a provider's or another project's is none."""


def in_namespace(project: str, configuration: Mapping[str, T]) -> dict[str, T]:
    """Return the values of the project's keys, by the keys without their namespace.

    Args:
        project: its name.
        configuration: all that a stack's file has under `config`.

    Raises:
        SettingsError: there are keys of a namespace that is nearly the project's. They would be
            left out, and what they describe be taken off the hosts.
    """
    own: dict[str, T] = {}
    problems: list[Problem] = []
    for key, value in configuration.items():
        namespace, colon, name = key.partition(":")
        if colon and namespace == project:
            own[name] = value
        elif colon and nearest(namespace, [project], _ALIKE):
            rule = Rule(
                f"{project}:{name}, or another project's or provider's key",
                "a misspelt setting would silently be left out",
            )
            says = f'is of another namespace, "{namespace}" (perhaps {project}:{name})'
            problems.append(Problem((key,), rule.refuse_hidden(says)))
    if problems:
        raise SettingsError(problems)
    return own
