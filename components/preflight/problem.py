"""A problem of a host, as it is told to the user."""

from dataclasses import dataclass
from enum import Enum


class Warns(Enum):
    """What a warning of hosts is about, in the words above those of that kind."""

    UNCERTAIN = "This may keep the tunnel from working:"  # it can't be told from outside
    SLOW = "The tunnel works, but could be faster:"
    HIDDEN = "Visitors will no longer reach these services of a host's own:"


@dataclass(frozen=True)
class HostProblem:
    """Something that keeps a host from being part of the tunnel, or that a user should know of.

    Attributes:
        text: which host, what is wrong, and what to do.
        unreachable: nobody answered, or not in time, which may be over soon: a preview goes on
            without.
        warns: the tunnel can be made in spite of it, and what is said is of this kind; None where
            it can't.
    """

    text: str
    unreachable: bool = False
    warns: Warns | None = None
