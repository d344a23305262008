"""Whole numbers, between bounds."""

from settings.fields.check import Check
from settings.problem import Rule


def whole(rule: Rule, lowest: int, highest: int, *, late: bool = False) -> Check:
    """Return what annotates a field that takes a whole number from `lowest` to `highest`."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise rule.refuse(value)
        return int(value)

    schema = {"type": "integer", "minimum": lowest, "maximum": highest}
    return Check(check, rule, schema, late=late)
