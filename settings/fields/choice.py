"""Choices: fields with a few allowed words."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from settings.fields.check import Check
from settings.problem import Rule

Word = TypeVar("Word", bound=StrEnum)


def check_choice(words: type[Word], rule: Rule) -> Callable[[object], Word]:
    """Return the check for one of `words`."""

    def check(value: object) -> Word:
        if not isinstance(value, str) or value not in list(words):
            raise rule.refuse(value)
        return words(value)

    return check


def choice(words: type[StrEnum], why: str) -> Check:
    """Return what annotates a field that takes one of `words`; `why` says why only those."""
    *others, last = (f'"{word}"' for word in words)
    rule = Rule(f"{', '.join(others)} or {last}", why)
    schema = {"type": "string", "enum": list(words)}
    return Check(check_choice(words, rule), rule, schema)
