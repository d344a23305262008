"""Names that are near to a misspelt one."""

import difflib
from collections.abc import Sequence


def nearest(name: object, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """Return the one of `known` that was probably meant, first of all one that begins so."""
    near = difflib.get_close_matches(name, known, cutoff=cutoff) if isinstance(name, str) else ()
    return next((each for each in near if each.startswith(str(name))), next(iter(near), None))


def perhaps(name: object, known: Sequence[str]) -> str:
    """Return ` (perhaps homelab)`, or nothing where none is near."""
    near = nearest(name, known)
    return f" (perhaps {near})" if near else ""
