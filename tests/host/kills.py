"""kill -9 at a step of the helper: at each that a call has, one after the other.

The steps are those that the helper names. A test that kills there is marked with the verbs that it
kills, `pytest.mark.kills("put-forward")`. By that mark the benchmark finds it
(lab/benchmark/faults.py), and test_crashes.py the verbs that no test kills.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from tests.host.tunnel import KILLED

Tell = Callable[[str, object], None]  # `record_property`, for lab/benchmark/faults.py

_MORE_STEPS_THAN_ANY_VERB_HAS = 80


def killed_at_each_step(call: Callable[[int], int]) -> Iterator[int]:
    """Kill a call at each step, until it has no more and succeeds.

    Args:
        call: begins it, and has it killed at the step of that number; its exit status.

    Yields:
        The step at which it was killed.
    """
    for step in range(1, _MORE_STEPS_THAN_ANY_VERB_HAS):
        status = call(step)
        if status == 0:
            return
        assert status == KILLED, f"at step {step} it ended with status {status}"
        yield step
    raise AssertionError("there is no end of steps")


def killed_verbs() -> set[str]:
    """The verbs that any test of this folder kills."""
    verbs = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for test in vars(import_module(f"tests.host.{path.stem}")).values():
            marks = getattr(test, "pytestmark", [])
            verbs |= {verb for mark in marks if mark.name == "kills" for verb in mark.args}
    return verbs
