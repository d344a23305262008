"""Runs on a host: prints what a tunnel could have changed there, as JSON; see snapshots.py."""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

# What changes by itself or with a login, or belongs to packages, which stay after a destroy.
_VOLATILE = (
    "/dev",
    "/proc",
    "/sys",
    "/tmp",
    "/usr/share",
    "/var/backups",
    "/var/cache",
    "/var/log",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/tmp",
    "/run/credentials",
    "/run/lock",
    "/run/log",
    "/run/motd.dynamic",
    "/run/sudo",
    "/run/systemd",
    "/run/udev",
    "/run/user",
    "/run/utmp",
    "/run/wireguard",
    "/run/xtables.lock",
    "/etc/ld.so.cache",
    "/etc/mtab",
)
# A lab host can set no others; they are the machine's below.
_SYSCTLS = "^net\\."
_VOLATILE_SYSCTLS = ("net.netfilter.nf_conntrack_count",)
_EXPIRES = re.compile(r" expires -?\d+sec")  # of routes that are advertised anew all the time
_PIECE = 1 << 20


def _files() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in sorted(folders) if str(Path(folder, name)) not in _VOLATILE]
        for name in folders + files:
            path = Path(folder, name)
            if str(path) not in _VOLATILE:
                found[str(path)] = _describe(path)
    return found


def _describe(path: Path) -> str:
    try:
        seen = path.lstat()
        content = ""
        if stat.S_ISLNK(seen.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(seen.st_mode):
            content = _hash(path)
    except FileNotFoundError:
        return "gone"
    return f"{stat.filemode(seen.st_mode)} {seen.st_uid}:{seen.st_gid} {content}"


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _said(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:  # else two looks that both failed would be the same
        sys.exit(f"{' '.join(command)} says nothing: {done.stderr}")
    return done.stdout.splitlines()


def _routes() -> list[str]:
    return [
        f"{' '.join(what)}: {_EXPIRES.sub('', ' '.join(line.split()))}"
        for what in (("rule",), ("-6", "rule"), ("route", "show", "table", "all"), ("address",))
        for line in _said("ip", "-o", *what)
        if "valid_lft" not in line or "forever" in line
    ]


def _sysctls() -> dict[str, str]:
    pairs = (line.partition(" = ") for line in _said("sysctl", "-a", "-r", _SYSCTLS))
    return {key: value for key, _, value in pairs if key not in _VOLATILE_SYSCTLS}


def _units() -> dict[str, str]:
    """Files with whether they are enabled; and those services that are loaded, with their state."""
    files = [line.split() for line in _said("systemctl", "list-unit-files", "--no-legend")]
    loaded = [
        line.split()
        for line in _said(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=service"
        )
    ]
    return {words[0]: words[1] for words in files if len(words) > 1} | {
        f"{words[0]} is": " ".join(words[2:4])
        for words in loaded
        if words[0].startswith(("wg-quick", "reverse-tunnel"))
    }


def main() -> None:
    json.dump(
        {
            "files": _files(),
            "routes": _routes(),
            "sysctls": _sysctls(),
            "units": _units(),
            "users": _said("getent", "passwd") + _said("getent", "group"),
        },
        sys.stdout,
    )


main()
