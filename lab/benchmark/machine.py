"""What the figures were taken on, in words."""

import datetime as dt
import os
import platform
import re
import subprocess
from pathlib import Path

from lab.checkout import CHECKOUT


def today() -> str:
    """The day, as `YYYY-MM-DD`."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def machine() -> str:
    """Processor, kernel, and how busy it was before: other programs' work shows in the figures."""
    cores = os.cpu_count() or 1
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kernel = ".".join(platform.release().split(".")[:2])
    name = f" of {model[1].strip()}" if model else ""
    busy = os.getloadavg()[0]
    return f"{cores} cores{name}, Linux {kernel}, load {busy:.1f} when it began"


def engine() -> str:
    """The engine and its plugins, and where each comes from: one of them may be a stand-in."""
    ensure = [str(CHECKOUT / "lab/engine/ensure")]
    said = subprocess.run(ensure, check=True, capture_output=True, text=True).stderr
    words = said.splitlines()[-1].removeprefix("engine: ")
    return words.replace(
        "(REVERSE_TUNNEL_COMMAND_PLUGIN)", "(one that was given, not the stand-in)"
    )
