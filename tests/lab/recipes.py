"""The recipes of docs/operations.md, as they are to be typed."""

import re

from lab.checkout import CHECKOUT

_PAGE = CHECKOUT / "docs" / "operations.md"


def recipe(begin: str) -> list[str]:
    """The commands of the one paragraph that begins with these words in bold, in their order."""
    paragraphs = _PAGE.read_text(encoding="utf-8").split("\n\n")
    (text,) = (each for each in paragraphs if each.startswith(f"**{begin}"))
    commands = re.findall(r"`((?:pulumi|reverse-tunnel) .*?)`", text.replace("\n", " "))
    assert commands, f"nothing is to be typed below {begin!r}"
    return commands
