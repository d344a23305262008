"""What a machine must be and have for a lab to stand on it."""

import os
import re
import shutil
from pathlib import Path

from lab.cache import cache_folder
from lab.failure import LabError

_OS_RELEASE = Path("/etc/os-release")

# Five for the systemd of each of the three hosts that boot, one for each wireguard-go.
_INOTIFY_INSTANCES = 20
_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")

# What of a path neither a shell nor the options of a mount read as anything else.
_ODD = re.compile(r"[^\w./+@%=~-]")


def require_machine() -> None:
    """Check that a lab can stand here.

    Raises:
        LabError: it can't, with the reason.
    """
    if not _is_debian() or not shutil.which("apt-get"):
        raise LabError("the lab needs a Debian 12 machine (make test-fast runs anywhere)")
    if os.geteuid() != 0:
        raise LabError("the lab needs root, for network namespaces (make test-fast does not)")
    if not cache_folder().is_absolute():
        raise LabError(
            f"the cache is {cache_folder()}, another folder for each program: set"
            " REVERSE_TUNNEL_CACHE to a path that begins with /"
        )
    if odd := _ODD.findall(str(cache_folder())):
        raise LabError(
            f"the lab's cache is {cache_folder()}; its mounts and scripts take no {odd[0]!r} in a"
            " path, only letters, digits and . _ + @ % = ~ -. Set REVERSE_TUNNEL_CACHE to another"
            " folder"
        )


def require_plain(name: str) -> None:
    """Check that a lab can be called so: its folder is, and its end removes that.

    Raises:
        LabError: it can't.
    """
    if not re.fullmatch("[A-Za-z0-9-]+", name):
        raise LabError(
            f"REVERSE_TUNNEL_LAB is {name!r}; a lab's name has letters, digits and - only"
        )


def _is_debian() -> bool:
    """Not a relative of it, which has other packages."""
    try:
        return re.search(r'^ID="?debian"?$', _OS_RELEASE.read_text(), re.MULTILINE) is not None
    except OSError:
        return False


def require_room() -> None:
    """Check that the hosts will get their inotify instances, of which a user has few (128).

    Without them systemd and wireguard-go fail in ways that nobody understands.

    Raises:
        LabError: there are not enough left.
    """
    limit = int(_INOTIFY_LIMIT.read_text())
    used = sum(_is_roots_inotify(entry) for entry in Path("/proc").glob("[0-9]*/fd/*"))
    if used + _INOTIFY_INSTANCES > limit:
        raise LabError(
            f"root uses {used} of {limit} inotify instances and the lab needs"
            f" {_INOTIFY_INSTANCES}: end another lab, or raise fs.inotify.max_user_instances"
        )


def _is_roots_inotify(entry: Path) -> bool:
    try:
        is_inotify = entry.readlink() == Path("anon_inode:inotify")
        return is_inotify and entry.parents[1].stat().st_uid == 0
    except OSError:  # the process is gone
        return False
