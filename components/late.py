"""Values that come from other resources, on their way into the settings' checks."""

from collections.abc import Callable
from typing import Any

import pulumi

from settings import Problem, SettingsError


class LateValue:
    """An Output with the place it was given for.

    The settings check it inside `apply`, where nobody is left to say which field is wrong, and
    where a check's own error would reach the user in a traceback. Here it gets both.

    Args:
        output: the value, known later.
        path: of its field, as a stack file has it: `("vps", "ssh", "hostKey")`.
    """

    def __init__(self, output: pulumi.Output[Any], path: tuple[object, ...]) -> None:
        self.output = output
        self._path = path

    def apply(self, check: Callable[[Any], Any]) -> "LateValue":
        """What the check makes of the value; a refusal ends the program with its message."""

        def checked(value: object) -> object:
            # All numbers that come from the engine are floats: 22.0 is a port.
            plain = int(value) if isinstance(value, float) and value.is_integer() else value
            try:
                return check(plain)
            except SettingsError as error:
                placed = SettingsError(map(self._placed, error.problems))
                raise pulumi.RunError(str(placed)) from None

        return LateValue(self.output.apply(checked), self._path)

    def _placed(self, problem: Problem) -> Problem:
        # A field's own check knows nothing but its name; what compares fields, the whole path.
        return Problem(self._path, problem.refused) if len(problem.path) == 1 else problem
