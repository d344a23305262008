"""The refusal of a program's arguments, which Pulumi prints as a message, without a traceback."""

import pulumi

from settings import SettingsError


class ArgumentsError(SettingsError, pulumi.RunError):
    """The arguments are wrong; the text lists all that is, as it does for a stack file."""
