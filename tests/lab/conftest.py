"""The lab that all tests here share: one for the whole run, with a name of its own."""

import os
from collections.abc import Iterator

import pytest

from lab.lab import Lab
from tests.lab.deployment import Deployment


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """After a failure nobody knows what the stack that tests share is like."""
    if call.excinfo is not None and isinstance(item, pytest.Function):
        deployment = item.funcargs.get("deployment")
        if isinstance(deployment, Deployment):
            deployment.distrust()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab that ends with this run, however the run ends."""
    with Lab(f"test-{os.getpid()}").standing() as lab:
        yield lab


@pytest.fixture(scope="session")
def deployment(lab: Lab) -> Deployment:
    """The stack that the tests share, whatever it is like just now."""
    return Deployment(lab)


@pytest.fixture
def example(deployment: Deployment) -> Deployment:
    """The example of the design, up; it takes an up only where a test has left something else.

    A test that changes the hosts behind the stack's back puts that right itself.
    """
    deployment.configure_as_example()
    deployment.up_if_changed()
    return deployment


@pytest.fixture
def fresh(deployment: Deployment) -> Deployment:
    """Hosts as the image has them, and a stack, configured as the example, that is not up."""
    deployment.start_over()
    return deployment


@pytest.fixture(scope="module")
def fresh_afterwards(deployment: Deployment) -> Iterator[None]:
    """For a file whose tests leave hosts and stack as they may; once for all of them."""
    yield
    deployment.start_over()
