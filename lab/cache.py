"""The cache: what takes long to make is made once, under a name that says what it was made of."""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lab.progress import StepError, say

# Megabytes that making one thing may take meanwhile: the image takes 370, of which 180 stay.
_ROOM = 1000

# Whatever the cache has had, by `made_once`, by labs, by lab/environment and lab/engine/ensure, and
# by the pictures of the benchmark.
_OURS = re.compile(
    r"labs|engine|apt|matplotlib|environment\.lock|uv-.*|\.?[a-z-]+-[0-9a-f]{12}(\..*)?"
)


def cache_folder() -> Path:
    """Where everything lies that set-up makes; never inside the checkout."""
    chosen = os.environ.get("REVERSE_TUNNEL_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "reverse-tunnel"


def room() -> int:
    """How many megabytes are left where the cache lies."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache_folder()).free // 10**6


def key_of(*pins: str) -> str:
    """A short name for what a thing is made of: other pins, another name."""
    return hashlib.sha256("\0".join(pins).encode()).hexdigest()[:12]


@contextmanager
def locked(path: Path, *, waiting: str = "", inherited: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever holds it; the holder may delete it.

    Args:
        path: the lock file.
        waiting: what is said to the person who waits, if somebody else holds it.
        inherited: whether what `run_step` starts holds it, too, as long as any of it lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    say(waiting)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_at(lock, path):  # deleted while we waited: others use a new one by now
                continue
            os.set_inheritable(lock.fileno(), inherited)
            yield
            return


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` unless somebody else does; tells whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield _is_at(lock, path)


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def made_once(name: str, pins: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """The cached folder `name`-KEY, made by `make(folder)` if it is not there yet.

    It is made under a temporary name and renamed when complete, so an interrupted build leaves
    nothing that is ever used; what it left is removed by the next build.

    Raises:
        StepError: there is no room for it on the disk.
    """
    folder = cache_folder() / f"{name}-{key_of(*pins)}"
    if folder.exists():
        return folder
    lock = folder.with_name(f".{folder.name}.lock")
    waiting = f"waiting for another program that makes {folder.name}"
    # If this program is killed, what it has started may go on writing for a while.
    with locked(lock, waiting=waiting, inherited=True):
        if folder.exists():
            return folder
        for leftover in folder.parent.glob(f".{folder.name}.making-*"):
            shutil.rmtree(leftover)
        if (left := room()) < _ROOM:
            raise StepError(
                f"making {folder.name} takes up to {_ROOM} MB, and {folder.parent} has {left} MB"
                " left: make room, or set REVERSE_TUNNEL_CACHE to a folder on another disk"
            )
        making = Path(tempfile.mkdtemp(prefix=f".{folder.name}.making-", dir=folder.parent))
        making.chmod(0o755)
        try:
            make(making)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        making.rename(folder)
    return folder


def empty_cache() -> None:
    """Remove all that set-up has ever made; what is somebody else's stays.

    Raises:
        OSError: something can't be removed.
    """
    for entry in cache_folder().iterdir() if cache_folder().exists() else ():
        if not _OURS.fullmatch(entry.name):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    with suppress(OSError):  # something of somebody else's is in it
        cache_folder().rmdir()
