"""What is wrong with the settings, in words a user can act on."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from settings.late import is_late

Path = tuple[object, ...]
"""The keys that lead to a field, as the user wrote them: `("forwards", "https", "port")`."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
_WIREGUARD_KEY = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{43}=")
_LONGEST_SHOWN = 60  # characters of a value: enough to find it, short enough for one line
_LARGEST_SHOWN = 10**20  # longer numbers are a slip; Python refuses to print the really long ones


def shown(value: object) -> str:
    """Return `value` as it may stand in a message: one printable line, and nothing secret.

    Mappings and lists are named, not shown: a secret may be inside. So is whatever looks like a
    key, wherever it was pasted: of WireGuard's nobody can tell a public one from a private one.
    """
    match value:
        case None:
            text = "nothing"
        case bool():
            text = "true" if value else "false"
        case int():
            text = str(int(value)) if abs(value) < _LARGEST_SHOWN else "a huge number"
        case float():
            text = repr(float(value))
        case str():
            text = _shown_text(str(value))
        case Mapping():
            text = "a mapping"
        case list() | tuple() | set() | frozenset():
            text = "a list"
        case _:
            text = f"a value of type {type(value).__name__}"
    return text


def _shown_text(text: str) -> str:
    if "PRIVATE KEY" in text.upper():
        return "a private key (hidden)"
    if _WIREGUARD_KEY.search(text):
        return "a WireGuard key (hidden)"
    if len(text) > _LONGEST_SHOWN:
        text = text[: _LONGEST_SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return json.dumps(text, ensure_ascii=not text.isprintable())


def path_text(path: Path) -> str:
    """Return `path` as the user would write it: `forwards.https.port`."""
    return ".".join(
        key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else shown(key) for key in path
    )


class RefusedError(ValueError):
    """A value that is not allowed: what is wrong with it, what is allowed, and why.

    `str()` of it is one line without the field's name; a `Problem` adds that.
    """

    def __init__(self, says: str, allowed: str, why: str) -> None:
        super().__init__(f"{says}. Allowed: {allowed}. Why: {why}.")
        self.says = says
        self.allowed = allowed
        self.why = why


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of field allows, and why; written once, used wherever it is refused."""

    allowed: str
    why: str

    def refuse(self, value: object, says: str = "is not allowed") -> RefusedError:
        """Return the refusal of `value`; `says` follows the value.

        A late value that gets as far as here has come to a place that takes none.
        """
        if is_late(value):
            return self.refuse_hidden(
                "a value that is known only later is not allowed here: write it plainly"
            )
        return RefusedError(f"{shown(value)} {says}", self.allowed, self.why)

    def refuse_hidden(self, says: str) -> RefusedError:
        """Return a refusal that shows no value: for secrets, and for what is not there."""
        return RefusedError(says, self.allowed, self.why)


@dataclass(frozen=True, slots=True)
class Problem:
    """One field and why it is refused."""

    path: Path
    refused: RefusedError

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.refused}"


class SettingsError(ValueError):
    """The settings are refused; the text lists every problem, one on each line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "The settings have an error:" if count == 1 else f"The settings have {count} errors:"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))
