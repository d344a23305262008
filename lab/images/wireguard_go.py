"""A current wireguard-go, for hosts whose kernel knows no WireGuard."""

import os
import platform
import shutil
from pathlib import Path

from lab.cache import made_once
from lab.progress import StepError, run_step, say

_WIREGUARD_GO = "golang.zx2c4.com/wireguard"
_WIREGUARD_MODULE = Path(__file__).parent / "wireguard"


def wireguard_go() -> Path | None:
    """A current wireguard-go, from the cache; built first if need be.

    None where Go is missing, or too old for it: the hosts then use Debian's own, which is slower.
    Where the kernel knows WireGuard neither is used.
    """

    def build(folder: Path) -> None:
        go = shutil.which("go")
        if go is None:
            raise StepError("Go is not installed")
        cache = folder / "go"
        (cache / "tmp").mkdir(parents=True)
        settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        environment = os.environ | {
            "CGO_ENABLED": "0",  # it must run on the tree's C library, or none
            "GOFLAGS": "-mod=readonly -trimpath -modcacherw",
            "GOMODCACHE": str(cache / "mod"),
            "GOCACHE": str(cache / "build"),
            "GOTMPDIR": str(cache / "tmp"),  # which it leaves full when it is killed
            "GOWORK": "off",
            # Its user's settings, such as a proxy, count; the counters of its use go elsewhere.
            "GOENV": os.environ.get("GOENV") or str(settings / "go/env"),
            "XDG_CONFIG_HOME": str(cache),
        }
        program = str(folder / "wireguard-go")
        command = [go, "build", "-v", "-ldflags=-s -w", "-o", program, _WIREGUARD_GO]
        run_step("building wireguard-go", command, env=environment, cwd=str(_WIREGUARD_MODULE))
        shutil.rmtree(cache)

    sums = (_WIREGUARD_MODULE / "go.sum").read_text()
    try:
        return made_once("wireguard-go", (sums, platform.machine()), build) / "wireguard-go"
    except StepError as error:
        say(f"{error}: the hosts use Debian's own, slower wireguard-go")
        return None
