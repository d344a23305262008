"""What the state does without: where in the program each resource was made."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
