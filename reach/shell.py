"""The shell that runs on the hosts, as text, read from the folder `host/`.

The folder lies beside this package, in a checkout and in an installed wheel alike.
"""

import gzip
from base64 import encodebytes
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path

_HOST = Path(__file__).resolve().parent.parent / "host"


@cache
def helper_text() -> str:
    """The helper as it lies on a host: one bash file, put together as `host/build` does it."""
    rooms = [sorted(_HOST.glob(room)) for room in ("entry/*.sh", "lib/*/*.sh")]
    parts = [*chain.from_iterable(rooms), _HOST / "main.sh"]
    return "".join(part.read_text(encoding="utf-8") for part in parts)


@cache
def helper_digest() -> str:
    """SHA-256 of the helper, in hex, by which a host tells which one it has."""
    return sha256(helper_text().encode("utf-8")).hexdigest()


@cache
def delivery_text(folder: str) -> str:
    """The script that puts the helper into a tunnel's folder, which is a word of shell."""
    script = (_HOST / "deliver.sh").read_text(encoding="utf-8")
    body = encodebytes(gzip.compress(helper_text().encode("utf-8"))).decode("ascii")
    return f"set -- {folder}\n{script.replace('@HELPER@', body.strip())}"


@cache
def installation_text() -> str:
    """The script that installs what was delivered: bash, after `helper=` and the words."""
    return (_HOST / "install.sh").read_text(encoding="utf-8")


@cache
def probe_text() -> str:
    """The look-up's script: plain sh that only reads, and prints facts as `key=value` lines."""
    return (_HOST / "probe.sh").read_text(encoding="utf-8")


@cache
def unmanaged_text() -> str:
    """The script for a server that nobody logs in to: plain sh, with a line for its file."""
    return (_HOST / "unmanaged.sh").read_text(encoding="utf-8")
