"""What stands in the state of each resource, and what does not."""

import sys
import traceback

import pytest

from components.sdk.lean_state import without_stack_traces


def depth() -> int:
    """How many frames Pulumi's SDK would see."""
    return len(traceback.extract_stack())


def test_frames_are_seen_before_and_after_and_not_meanwhile() -> None:
    before = depth()
    with without_stack_traces():
        assert depth() == 1
    assert depth() == before > 1


def test_a_limit_that_was_set_before_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 7, raising=False)
    with without_stack_traces():
        assert depth() == 1
    assert sys.tracebacklimit == 7


def test_an_error_meanwhile_keeps_its_whole_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as error, without_stack_traces():
        _ = 1 / 0
    assert len(traceback.extract_tb(error.tb)) > 0
    assert not hasattr(sys, "tracebacklimit")
