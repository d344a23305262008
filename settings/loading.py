"""From a stack's configuration to `Settings`, or to one message with everything that is wrong."""

import json
from collections.abc import Collection, Mapping

from settings.conflicts import conflicts
from settings.facts import read
from settings.fields.keys import SSH_PRIVATE_KEY, SSH_PRIVATE_KEY_FIELD
from settings.problem import Path, Problem, SettingsError
from settings.stack import Settings

_TEXTS = frozenset({SSH_PRIVATE_KEY_FIELD})
"""Top-level keys whose value is a text; those of all others are JSON when they are texts."""


def load(values: Mapping[str, object], *, agent: bool, in_clear: Collection[str] = ()) -> Settings:
    """Return the settings that a stack's configuration means.

    Args:
        values: all keys of the project's namespace, without the namespace: `network`, `vps`,
            `servers`, `clients`, `forwards`, `sshPrivateKey`, `lookUp`. Values may be decoded, or
            the JSON texts that Pulumi hands to a program; late values (see `settings.late`) are
            taken where a field allows them. None counts as not given, and so does an empty text: a
            section whose entries are all commented out.
        agent: whether an SSH agent is there to log in with (`SSH_AUTH_SOCK`).
        in_clear: the keys that the stack file has unencrypted.

    Raises:
        SettingsError: something is wrong; the text names every wrong field, its value unless it
            is secret, what is allowed, and why.
    """
    problems: list[Problem] = []
    given = {
        key: _decoded(key, value)
        for key, value in values.items()
        if value is not None and (value != "" or key in _TEXTS)
    }
    facts = read(Settings, given, (), problems.append)
    problems.extend(conflicts(facts))
    if facts.get("ssh_private_key", "refused") is None and not agent:
        says = "is missing, and no SSH agent is running (SSH_AUTH_SOCK is not set)"
        problems.append(Problem((SSH_PRIVATE_KEY_FIELD,), SSH_PRIVATE_KEY.refuse_hidden(says)))
    if SSH_PRIVATE_KEY_FIELD in in_clear and facts.get("ssh_private_key") is not None:
        says = "is in the stack file in clear; make a new key if others have seen the file"
        problems.append(Problem((SSH_PRIVATE_KEY_FIELD,), SSH_PRIVATE_KEY.refuse_hidden(says)))
    if problems:
        raise SettingsError(_by_entry(problems))
    return Settings.model_validate(_plain_dicts(given))


def _by_entry(problems: list[Problem]) -> list[Problem]:
    """Return the problems with those of one entry, such as `forwards.https`, side by side."""
    first: dict[Path, int] = {}
    for place, problem in enumerate(problems):
        first.setdefault(problem.path[:2], place)
    return sorted(problems, key=lambda problem: first[problem.path[:2]])


def _decoded(key: object, value: object) -> object:
    """Return what the JSON text of a top-level key means; anything else as it is."""
    if key in _TEXTS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _plain_dicts(value: object) -> object:
    """Return `value` with every mapping as a dict, which is what pydantic reads."""
    if isinstance(value, Mapping):
        return {key: _plain_dicts(entry) for key, entry in value.items()}
    return value
