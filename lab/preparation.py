"""What takes minutes on a new machine and is in the cache afterwards: the engine and the image."""

import os
import signal
import subprocess

from lab.cache import cache_folder, room
from lab.checkout import CHECKOUT, NO_ENGINE
from lab.failure import LabError
from lab.images import systems
from lab.images.image import debian_tree
from lab.images.wireguard_go import wireguard_go
from lab.progress import StepError, say

# Megabytes that all this takes on an empty disk while the engine is built; 1250 of 6300 stay.
_ENGINE_ROOM = 6500

_ENGINE = "lab/environment >/dev/null; lab/engine/ensure >/dev/null"


def prepare(*, tests: bool = False) -> None:
    """Make whatever is missing, with progress on stderr; the engine and the image side by side.

    Args:
        tests: whether to make the systems, too, that only tests put hosts on.

    Raises:
        LabError: the Python environment or the engine can't be made.
        StepError: the image can't be made.
    """
    tell_of_room()
    command = ["bash", "-euo", "pipefail", "-c", _ENGINE]
    # A group of its own, so that nothing of it goes on when this is over.
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, process_group=0
    ) as engine:
        try:
            debian_tree()
            wireguard_go()
            if tests:
                systems.crowded()
                systems.faketime()
                _make_releases()
            status = engine.wait()
        except BaseException:
            os.killpg(engine.pid, signal.SIGTERM)
            raise
    if status:
        raise LabError(NO_ENGINE)


def tell_of_room() -> None:
    """Say where the room is missing that the engine takes; it asks itself whether it must be built.

    A download takes little, so this is no reason to refuse anything.
    """
    if not [*cache_folder().glob("engine/ready-*")] and (left := room()) < _ENGINE_ROOM:
        say(
            f"{cache_folder()} has {left} MB left; an engine that must be built takes"
            f" {_ENGINE_ROOM} MB"
        )


def _make_releases() -> None:
    """One that can't be had fails the tests that need it, and no others: mirrors drop old ones."""
    for suite in systems.RELEASES:
        try:
            systems.release(suite)
        except StepError as error:
            say(f"{error}\nThe tests that need it will fail.")
