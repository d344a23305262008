"""The stack of the settings' tests, which has one of everything, and ways to change it."""

from collections.abc import Mapping

from settings import Settings
from tests.settings.samples import loaded


def example(changes: Mapping[str, object] | None = None) -> Settings:
    """The example's settings without a look-up, each value at a dotted path changed or `ABSENT`."""
    return loaded({"lookUp": False, **(changes or {})})
