"""What a host tells, word by word: what of it may be shown. Somebody may have broken in there."""

import re
from collections.abc import Sequence

UNREADABLE = "(unreadable)"
"""In the place of a name that is none."""

_PLAIN = re.compile(r"[A-Za-z0-9._:/@\[\]%+-]{1,255}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_FEW = 50  # names in one message
_LONGEST = 1000  # characters of a line: the longest of the helper's own are half of that

# So Pulumi begins the colours in its messages. One that it does not know makes it crash.
_DIRECTIVE = "<{%"


def is_plain(word: str) -> bool:
    """Whether a word is a name, an address or a number: it steers no terminal, and no shell."""
    return _PLAIN.fullmatch(word) is not None


def plain(word: str) -> str:
    """The word itself if it is plain, or empty; else that it is unreadable."""
    return word if not word or is_plain(word) else UNREADABLE


def printable(line: str, longest: int = _LONGEST) -> str:
    """A line of text, without what would steer a terminal; its end is cut off where it is long."""
    if len(line) > longest:
        line = f"{line[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
    shown = (
        each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in line
    )
    return "".join(shown).replace(_DIRECTIVE, "< {%")


def few(names: Sequence[str]) -> str:
    """Names, one behind the other; of very many the first ones, and how many more there are."""
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def number(word: str) -> int:
    """What a host has counted.

    Raises:
        ValueError: it is no number, or one that no host counts to, with 64 bits.
    """
    if not _NUMBER.fullmatch(word) or int(word) >= 1 << 64:
        raise ValueError("no number of a host's")
    return int(word)
