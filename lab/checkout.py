"""This checkout, whose programs the lab runs, and project folders that share it."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

# Said where lab/environment or lab/engine/ensure has failed.
NO_ENGINE = "the operator has no engine; the lines above say why"

_NOT_SHARED = {".git", "stacks"}  # what a project folder outside of the checkout has of its own


def lay_project(folder: Path, checkout: Path) -> None:
    """Make a project folder that shares the program with a checkout, with stacks of its own."""
    folder.mkdir()
    for entry in checkout.iterdir():
        if entry.name not in _NOT_SHARED:
            (folder / entry.name).symlink_to(entry)
    (folder / "stacks").mkdir()
