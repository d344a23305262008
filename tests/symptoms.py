"""The symptoms of docs/troubleshooting.md, each with the text below its heading."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])

_PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"

SYMPTOMS: dict[str, str] = dict(
    re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
)


def symptom(heading: str) -> Callable[[Test], Test]:
    """Marks the test that provokes a symptom; tests/settings/test_docs.py wants one for each."""
    assert heading in SYMPTOMS, f"docs/troubleshooting.md has no heading {heading!r}"
    return lambda test: test


def advised(heading: str, words: str) -> str:
    """The same words, a command or what it shows, which must stand below that heading."""
    text = " ".join(SYMPTOMS[heading].split())
    assert words in text, f"docs/troubleshooting.md does not say {words!r} below {heading!r}"
    return words
