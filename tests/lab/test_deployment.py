"""The stack that tests share is the example again, whatever the test before has run."""

import json

from tests.lab.deployment import Deployment


def runs(deployment: Deployment) -> int:
    """How often the stack has been changed."""
    return len(json.loads(deployment.pulumi("stack", "history", "--json").stdout))


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
