"""Random sequences of changes on a host: as many as the profile says, and counted."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

T = TypeVar("T")

# By the profile (tests/conftest.py). The last is the benchmark's: there are two kinds of sequences.
_SEQUENCES = {"fast": 10, "full": 20, "counted": 500}


def at_rest(look: Callable[[], T]) -> T:
    """What two looks in a row have shown: a packet may still be on its way during the first."""
    seen = look()
    while (again := look()) != seen:
        seen = again
    return seen


def run_sequences(kind: type[RuleBasedStateMachine], steps: int) -> int:
    """Try sequences of up to so many steps; how many came to their end."""
    finished = 0

    class Counted(kind):  # type: ignore[misc, valid-type]  # a class that is known at run time
        def teardown(self) -> None:
            nonlocal finished
            super().teardown()
            # Hypothesis gives many up half-way, for its own reasons, and this is done in any case.
            finished += sys.exception() is None

    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=_SEQUENCES[os.environ.get("HYPOTHESIS_PROFILE", "fast")],
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink takes minutes here
        ),
    )
    return finished
