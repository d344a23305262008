"""Numbers as people read them."""

from rich.filesize import decimal

_MINUTE, _HOUR, _DAY = 60, 3600, 86400  # seconds


def age_words(seconds: int) -> str:
    """`12 s`, `3 min`, `5 h` or `2 d`."""
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def size_words(size: int) -> str:
    """`0 B`, `12.3 kB` or `4.5 GB`."""
    return decimal(size).replace("bytes", "B").replace("byte", "B")
