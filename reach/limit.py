"""How many log in to a machine at once: sshd drops who comes where too many have yet to log in.

OpenSSH begins with the eleventh (MaxStartups 10:30:100), and strangers count, too.
"""

import asyncio
from collections import defaultdict
from collections.abc import MutableMapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from reach.failure import ReachError
    from reach.login import Login

AT_ONCE = 6
"""Logins, by whatever way and to whatever host that one passes on to."""


class Limit:
    """At one machine.

    Attributes:
        turns: has one for each login that may begin.
        silences: by the seconds of patience, why nobody got in: whoever has waited for his turn
            need not wait for the same again.
    """

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(AT_ONCE)
        self.silences: dict[float, ReachError] = {}


_Limits = MutableMapping[tuple[str, int], Limit]

_limits: MutableMapping[asyncio.AbstractEventLoop, _Limits] = WeakKeyDictionary()


def limit_at(login: "Login") -> Limit:
    """The one for all who log in there, in the loop that runs."""
    here = _limits.setdefault(asyncio.get_running_loop(), defaultdict(Limit))
    return here[login.host, login.port]
