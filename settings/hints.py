"""Hints: what is allowed and may still not be meant."""

from collections.abc import Iterator

from .forward import SourceAddress
from .stack import Settings


def hints(settings: Settings) -> Iterator[str]:
    """Yield each hint in one line: which field, what may happen, and what to do.

    Whether a host behind a server answers through it is known to nobody but that host: its own
    default route decides. So the choice is asked for, and writing it down, either way, is the
    answer.
    """
    for name, forward in settings.forwards.items():
        there = settings.destination(name)
        if there.behind and "source_address" not in forward.model_fields_set:
            yield (
                f"forwards.{name}: {there.address} is behind {there.server} and is shown the "
                "visitor's own address, so it must answer through that server. A container there "
                "does, and so does a host whose default route is that server; any other answers "
                "through its own router, and the visitor hears nothing. For those write "
                f"sourceAddress: {SourceAddress.TUNNEL}; if it does answer through "
                f"{there.server}, write sourceAddress: {SourceAddress.CLIENT}, and this is not "
                "said again."
            )
