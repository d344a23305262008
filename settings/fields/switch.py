"""Switches: fields that are true or false."""

from typing import Annotated

from settings.fields.check import Check
from settings.problem import Rule

SWITCH = Rule("true or false", "it is either on or off")


def check_switch(value: object) -> bool:
    """Return `value`, a truth value; a text such as "no" is not one."""
    if not isinstance(value, bool):
        raise SWITCH.refuse(value)
    return value


Switch = Annotated[bool, Check(check_switch, SWITCH, {"type": "boolean"})]
