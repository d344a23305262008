"""Running the tree's programs on the machine, which needs none of them installed."""

from pathlib import Path

_PLACES = ("usr/sbin", "usr/bin")


def libraries(tree: Path) -> Path:
    """The folder of the tree's shared libraries, named after its architecture."""
    (folder,) = (tree / "usr/lib").glob("*-linux-gnu*")
    return folder


def tool(tree: Path, name: str) -> list[str]:
    """The command that starts the tree's program `name` with the tree's own libraries.

    The program sees the machine's files. This suits small tools that read none of their own.
    """
    folder = libraries(tree)
    (loader,) = folder.glob("ld-linux*.so.*")
    path = next(tree / place / name for place in _PLACES if (tree / place / name).exists())
    return [str(loader), "--library-path", f"{folder}:{folder}/systemd", str(path)]
