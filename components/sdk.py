"""What Pulumi's SDK does by default, and what costs too much with hundreds of resources.

Three workarounds for one SDK. At each upgrade of it they are judged anew, together: whether each is
still needed, and still has an effect.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pulumi

# Where it says four things of each resource. Their attribute `log` is the module `pulumi.log`.
_TALKATIVE = ("pulumi.runtime.resource", "pulumi.runtime.rpc_manager")


class _WithoutDebug:
    """`pulumi.log` as these modules see it."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(pulumi.log, name)

    def debug(self, *_args: object, **_options: object) -> None:
        """Says nothing."""


def leave_out_sdk_messages() -> None:
    """Lets the SDK register resources without a word, from now on; may be called again.

    At the beginning of a program, of whose resources all register so. Each message is a call to the
    engine that the program waits for, whether `--debug` is given or not, and which the engine
    writes into its own log: with hundreds of forwards an eighth of a preview. What a program itself
    says by `pulumi.log.debug` is said as ever, and errors are raised whole.
    """
    for name in _TALKATIVE:
        setattr(import_module(name), "log", _WithoutDebug())  # noqa: B010 - not ours, and untyped


@contextmanager
def without_stack_traces() -> Iterator[None]:
    """Resources made meanwhile have no stack trace in the state.

    A trace is a third of what a forward has there, and the engine writes the whole state at every
    step. It also names folders of the operator's machine, so that each colleague's `up` would
    write it anew. What an error shows is not affected: its traceback is printed later, and whole.

    Pulumi's SDK asks `traceback.extract_stack`, which goes by `sys.tracebacklimit`.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 1  # the SDK's own frame, of which it makes an empty trace
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before


async def all_begun() -> None:
    """Lets every registration begin, at the end of a program: `pulumi.run(all_begun)`.

    The SDK then waits for registrations, one after the other, and for values after that. If none
    has begun when it looks, it takes the values at once, and goes through all that are open
    whenever one of them is there: with hundreds of forwards a third of a preview.
    """
    await asyncio.sleep(0)  # one turn of the loop, in which each of them begins
