"""A stack's settings for as long as somebody watches it: as its file says by now."""

from pathlib import Path

from operate.failure import CommandError
from operate.stack import Stack


class CurrentSettings:
    """The settings of a stack, read anew where its file has changed; that alone starts the engine.

    Attributes:
        settings: as they were when they could last be read.
    """

    def __init__(self, stack: Stack) -> None:
        """Read them.

        Raises:
            CommandError: they can't be had, or are wrong.
        """
        self._stack = stack
        self._file = stack.file()
        self._read = _state(self._file)
        self.settings = stack.settings()

    def follow(self) -> str | None:
        """Read them anew if need be; returns why that can't be done, as while somebody edits."""
        state = _state(self._file)  # before they are read: what comes meanwhile is another change
        if state == self._read:
            return None
        try:
            self.settings = self._stack.settings()
        except CommandError as error:
            return error.message
        self._read = state
        return None


def _state(file: Path) -> tuple[int, ...] | None:
    """What another text changes, also where an editor puts another file in its place."""
    try:
        found = file.stat()
    except OSError:  # as in the middle of that
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
