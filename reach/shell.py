"""The shell that runs on the hosts, as text, read from the folder `host/`.

The folder lies beside this package, in a checkout and in an installed wheel alike.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path

from deflate import gzip_compress

_HOST = Path(__file__).resolve().parent.parent / "host"
_SMALLEST = 12  # libdeflate's highest level


@cache
def helper_text() -> str:
    """The helper as it lies on a host: one bash file, put together as `host/build` does it."""
    rooms = [sorted((_HOST / room).glob("*.sh")) for room in ("entry", "lib")]
    parts = [*chain.from_iterable(rooms), _HOST / "main.sh"]
    return "".join(part.read_text(encoding="utf-8") for part in parts)


@cache
def helper_digest() -> str:
    """SHA-256 of the helper, in hex, by which a host tells which one it has."""
    return _digest(helper_text())


@cache
def packed(helper: str) -> str:
    """A helper as it travels: a script that unpacks it and runs it.

    The engine keeps it twice for each host, and writes that at every step. The compressor is
    pinned, and has its own library: another one's bytes would look like another helper.
    """
    about = f"\n# The helper {_digest(helper)}.\n"
    unpack = (_HOST / "unpack.sh").read_text(encoding="utf-8").replace("\n", about, 1)
    body = b64encode(gzip_compress(helper.encode("utf-8"), _SMALLEST)).decode("ascii")
    return f"{unpack}{body}\n"


def _digest(helper: str) -> str:
    return sha256(helper.encode("utf-8")).hexdigest()


@cache
def probe_text() -> str:
    """The look-up's script: plain sh that only reads, and prints facts as `key=value` lines."""
    return (_HOST / "probe.sh").read_text(encoding="utf-8")
