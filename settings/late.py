"""Late values: those that another resource hands over, known only while Pulumi runs.

This room imports no Pulumi, so a late value is recognised by what it can do: whatever has a
method `apply`, as a `pulumi.Output` has, is late. The same plain check is called at once on a
plain value and inside `apply` on a late one.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeGuard, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Later(Protocol):
    """A value that is known later; a `pulumi.Output` is one."""

    def apply(self, func: Callable[[Any], Any], /) -> Any:  # noqa: ANN401 - what it is, is the other library's business
        """Return what `func` makes of the value, itself known later."""


Late: TypeAlias = T | Later
"""`Late[str]`: a text, known now or later."""


def is_late(value: object) -> TypeGuard[Later]:
    """Say whether `value` is known only later."""
    return callable(getattr(value, "apply", None))
