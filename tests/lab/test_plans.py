"""Saved plans: `pulumi preview --save-plan`, and an `up` that may do nothing else."""

import pytest

from lab.hosts.host import Result
from lab.lab import Lab
from tests.lab.deployment import Deployment, failures
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import rules
from tests.lab.test_drift import DRIFTED, HARMS, told

NEW = {"new": {"port": 7000, "to": "attic:8080"}}


@pytest.fixture(params=["its first up", "another up"])
def healthy(fresh: Deployment, request: pytest.FixtureRequest) -> Deployment:
    """The example after its first `up`, which asks the state more than others do, and after two."""
    fresh.up()
    if request.param == "another up":
        fresh.up()
    return fresh


def save(deployment: Deployment) -> None:
    deployment.pulumi("preview", "--save-plan", "plan.json")


def up_by_plan(deployment: Deployment) -> Result:
    return deployment.pulumi("up", "--yes", "--skip-preview", "--plan", "plan.json", check=False)


def test_an_up_by_a_plan_does_what_was_planned(lab: Lab, healthy: Deployment) -> None:
    """A change, a new forward, a removal; and nothing where there is nothing to do."""
    client, forwards = lab.host("client"), healthy.settings("forwards")
    changed = {**forwards, "http": {**forwards["http"], "port": 8088}}
    for planned in (forwards, changed | NEW, changed, forwards):
        healthy.forwards(planned)
        save(healthy)
        done = up_by_plan(healthy)
        assert done.returncode == 0, done.stdout
        assert healthy.preview_steps() == []
        for port in {each["port"] for each in planned.values()}:
            assert page(client, f"{VPS}:{port}", LASTING)
        for port in {80, 8088, 7000} - {each["port"] for each in planned.values()}:
            assert page(client, f"{VPS}:{port}") is None


def test_an_up_by_a_plan_does_nothing_that_was_not_planned(lab: Lab, example: Deployment) -> None:
    """The stack file says more by now."""
    before = rules(lab.host("vps"))
    save(example)
    example.forwards(example.settings("forwards") | NEW)
    done = up_by_plan(example)
    assert done.returncode
    assert "create is not allowed by the plan" in done.stdout
    assert rules(lab.host("vps")) == before
    example.up()
    assert example.preview_steps() == []


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_plan_does_not_hold_where_a_host_drifts_and_an_up_without_it_puts_that_right(
    lab: Lab, example: Deployment, when: str
) -> None:
    """As docs/operations.md has it; what has drifted is named, and stays as it is."""
    harm = HARMS[0]
    example.forwards(example.settings("forwards") | NEW)
    if when == "between":
        save(example)
    lab.host(harm.host).run(harm.command)
    if when == "before":
        save(example)
    done = up_by_plan(example)
    (said,) = [text for name, text in failures(done).items() if name == harm.resource]
    assert " violates plan: " in said
    assert harm.words in done.stdout
    status, lines = told(example)
    assert status == DRIFTED
    assert harm.words in lines
    example.up()
    assert told(example) == (0, [])
    assert example.preview_steps() == []
    assert page(lab.host("client"), f"{VPS}:80", LASTING)
