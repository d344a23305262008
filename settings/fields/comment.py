"""Comments: words of the user's own, for people alone."""

from typing import Annotated

from settings.fields.check import Check
from settings.problem import Rule

LONGEST = 120  # characters: one line of a terminal, beside what it comments

COMMENT = Rule(
    f"one line of 1 to {LONGEST} printable characters",
    "it stands behind the forward in what `pulumi preview` shows",
)


def check_comment(value: object) -> str:
    """Return `value`, one printable line, without blanks around it."""
    if not isinstance(value, str):
        raise COMMENT.refuse(value)
    if len(value) > LONGEST:
        raise COMMENT.refuse(value, f"has {len(value)} characters")
    if not value.isprintable():
        raise COMMENT.refuse(value, "has characters that can't be seen, or more than one line")
    if not value.strip():
        raise COMMENT.refuse(value, "is empty")
    return value.strip()


CommentField = Annotated[
    str | None,
    Check(
        check_comment,
        COMMENT,
        {"type": "string", "maxLength": LONGEST, "pattern": r"\S"},
    ),
]
