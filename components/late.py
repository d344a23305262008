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
        self._output = output
        self._path = path

    def apply(self, check: Callable[[Any], Any]) -> pulumi.Output[Any]:
        """What the check makes of the value; a refusal ends the program with its message."""

        def checked(value: object) -> object:
            try:
                return check(value)
            except SettingsError as error:
                problems = [Problem(self._path, problem.refused) for problem in error.problems]
                raise pulumi.RunError(str(SettingsError(problems))) from None

        return self._output.apply(checked)
