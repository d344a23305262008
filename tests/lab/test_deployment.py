"""The stack that tests share is the example again, whatever the test before has run."""

import json

import pytest

from tests.lab.deployment import Deployment


def runs(deployment: Deployment) -> int:
    """How often the stack has been changed."""
    all_of_them = ("stack", "history", "--json", "--page-size", "1000")  # else the last ten
    return len(json.loads(deployment.pulumi(*all_of_them).stdout))


def test_a_run_by_hand_is_followed_by_an_up_and_a_look_is_not(example: Deployment) -> None:
    before = runs(example)
    example.preview_steps()
    example.export()
    example.up_if_changed()
    assert runs(example) == before

    example.forwards({})
    example.pulumi("up", "--yes", "--skip-preview")
    example.configure_as_example()
    example.up_if_changed()
    assert runs(example) == before + 2
    assert example.preview_steps() == []


def test_a_test_that_fails_is_followed_by_an_up(
    example: Deployment, request: pytest.FixtureRequest
) -> None:
    def fails() -> None:
        pytest.fail("as it shall")

    before = runs(example)
    for test, more in ((lambda: None, 0), (fails, 1)):
        call = pytest.CallInfo.from_call(test, "call")
        request.node.ihook.pytest_runtest_makereport(item=request.node, call=call)
        example.up_if_changed()
        assert runs(example) == before + more
