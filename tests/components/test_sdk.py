"""What the SDK does by default, unless it is asked not to: it writes traces, and says too much."""

import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pytest

from components.sdk import leave_out_sdk_messages, without_stack_traces
from tests.components.recording import deploy

SDK = [
    importlib.import_module(f"pulumi.runtime.{module}") for module in ("resource", "rpc_manager")
]


@pytest.fixture(autouse=True)
def _talkative() -> Iterator[None]:
    """It is so by itself."""
    for module in SDK:
        module.log = pulumi.log  # type: ignore[attr-defined]
    yield
    leave_out_sdk_messages()


def said(monkeypatch: pytest.MonkeyPatch, *, left_out: bool) -> list[str]:
    """What a program with one resource says for `--debug`."""
    heard: list[str] = []
    monkeypatch.setattr(pulumi.log, "debug", lambda text, *_, **__: heard.append(text))

    def program() -> Mapping[str, pulumi.Output[Any]]:
        if left_out:
            leave_out_sdk_messages()
        pulumi.log.debug("from the program")
        pulumi.ComponentResource("test:index:Nothing", "nothing")
        return {}

    deploy(program)
    return heard


def test_the_sdk_says_nothing_and_the_program_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = said(monkeypatch, left_out=True)
    assert "from the program" in heard
    assert [text for text in heard if "nothing" in text] == []


def test_left_alone_it_says_several_things_of_each_resource(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or else it would no longer be worth anything to keep it from that."""
    heard = said(monkeypatch, left_out=False)
    assert len([text for text in heard if "nothing" in text]) >= 3


def test_whatever_else_it_says_is_said() -> None:
    leave_out_sdk_messages()
    assert [module.log.warn for module in SDK] == [pulumi.log.warn] * 2


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
