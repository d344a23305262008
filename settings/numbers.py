"""Whole numbers, between bounds."""

from collections.abc import Callable

from .problem import Rule


def whole(rule: Rule, lowest: int, highest: int) -> Callable[[object], int]:
    """Return the check for a whole number from `lowest` to `highest`."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise rule.refuse(value)
        return int(value)

    return check
