"""What tests are counted as: examples if they are random, what they tell, or one case."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import assume, settings, strategies
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.stateful import rule

from lab.benchmark import faults
from lab.benchmark.counted_tests import Counted, CountedTests, count
from lab.checkout import CHECKOUT
from lab.progress import StepError
from tests.host.sequences import Sequence, run_sequences

_SAID = """\
....F
======================= Hypothesis Statistics ========================
tests/settings/test_random.py::test_right:

  - during generate phase (1.20 seconds):
    - Typical runtimes: ~ 1-2 ms
    - 2000 passing, {failing} failing, and 12 invalid test cases

  - Stopped because settings.max_examples=2000

tests/settings/test_random.py::test_each[server]:

  - during reuse phase (0.20 seconds):
    - 1 passing, 0 failing, and 0 invalid test cases

  - during generate phase (1.20 seconds):
    - 100 passing, 0 failing, and 0 invalid test cases
"""
_REPORT = """\
<testsuites><testsuite>
  <testcase name="test_right">{random_failure}</testcase>
  <testcase name="test_each[server]" />
  <testcase name="test_plain" />
  <testcase name="test_of_another_kernel"><skipped message="none here" /></testcase>
  <testcase name="test_steps[one]"><properties>
    <property name="tried" value="17" /><property name="tried" value="3" />
  </properties>{failure_of_many}</testcase>
  <testcase name="test_steps[two]">{failure}</testcase>
</testsuite></testsuites>
"""


_FAILURE = "<failure message='no' />"


def _report(failure: str = "", random_failure: str = "", failure_of_many: str = "") -> str:
    return _REPORT.format(
        failure=failure, random_failure=random_failure, failure_of_many=failure_of_many
    )


def test_examples_told_numbers_and_plain_tests_are_added_up() -> None:
    counted = count(_SAID.format(failing=0), _report())
    assert counted == Counted(tried=2000 + 101 + 1 + 20 + 1, right=2123)


def test_what_fails_is_not_right() -> None:
    counted = count(_SAID.format(failing=1), _report(failure=_FAILURE, random_failure=_FAILURE))
    assert (counted.tried, counted.tried - counted.right) == (2124, 2)


def test_what_was_right_before_a_failure_is_counted_with_it() -> None:
    counted = count(_SAID.format(failing=0), _report(failure_of_many=_FAILURE))
    assert (counted.tried, counted.tried - counted.right) == (2124, 1)


def test_tests_that_are_not_there_are_not_right() -> None:
    gone = CountedTests("gone", ("tests/benchmark", "-k", "no_test_has_this_name"))
    with pytest.raises(StepError, match="gone: pytest did not run them"):
        gone.run("fast")


def test_what_failed_is_shown_and_what_did_not_is_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "test_it.py"
    wrong = "assert 'sequence 17' == ''"
    for body, counted in (
        (wrong, (1, 0)),
        (f"record_property('tried', 2); {wrong}", (3, 2)),
        ("pass", (1, 1)),
    ):
        file.write_text(f"def test_it(record_property):\n    {body}\n", encoding="utf-8")
        done = CountedTests("some", (str(file), "-c", "/dev/null")).run("fast")
        assert (done.tried, done.right) == counted
        shown = capfd.readouterr().err
        assert ("some: not all ended as they should" in shown) == (done.right < done.tried)
        assert ("assert 'sequence 17' == ''" in shown) == (done.right < done.tried)


@pytest.mark.parametrize("tests", faults._TESTS, ids=lambda tests: str(tests.name))
def test_there_are_tests_for_each_row_of_the_faults(tests: CountedTests) -> None:
    words = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", *tests.words]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_test_that_could_not_begin_is_not_right() -> None:
    counted = count(_SAID.format(failing=0), _report(failure="<error message='no lab' />"))
    assert counted.tried - counted.right == 1


class Choosy(Sequence):
    """It takes not every number."""

    begun: ClassVar[int] = 0

    def __init__(self) -> None:
        type(self).begun += 1
        super().__init__()

    @rule(number=strategies.integers(0, 1000))
    def step(self, number: int) -> None:
        assume(number % 5)


class Failing(Sequence):
    """From some sequence on each fails."""

    begun: ClassVar[int] = 0
    ended: ClassVar[int] = 0

    def __init__(self) -> None:
        type(self).begun += 1
        super().__init__()

    @rule(number=strategies.integers(0, 1000))
    def step(self, number: int) -> None:
        assert self.begun < 4, number

    def end(self) -> None:
        """Count, too."""
        type(self).ended += 1


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryExampleDatabase]:
    """What Hypothesis keeps of failures, for ten sequences of a kind."""
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "fast")
    before = settings.get_current_profile_name()
    kept = InMemoryExampleDatabase()
    settings.register_profile("kept", settings.get_profile(before), database=kept)
    settings.load_profile("kept")
    yield kept
    settings.load_profile(before)


@pytest.mark.usefixtures("database")
def test_a_sequence_that_is_given_up_half_way_is_not_counted() -> None:
    Choosy.begun = 0
    recorded: dict[str, object] = {}
    run_sequences(Choosy, 3, recorded.__setitem__)
    assert recorded == {"tried": 10}
    assert Choosy.begun > 10


@pytest.mark.usefixtures("database")
def test_sequences_are_counted_up_to_the_one_that_fails_which_has_no_end() -> None:
    Failing.begun = Failing.ended = 0
    recorded: dict[str, object] = {}
    with pytest.raises(AssertionError):
        run_sequences(Failing, 3, recorded.__setitem__)
    assert recorded == {"tried": 3}
    assert Failing.ended == 3


def test_a_kind_of_sequences_does_not_forget_what_another_has_failed_at(
    database: InMemoryExampleDatabase,
) -> None:
    Failing.begun = 3
    with pytest.raises(AssertionError):
        run_sequences(Failing, 3, lambda *_: None)
    failed = {key: set(values) for key, values in database.data.items() if values}
    assert failed
    run_sequences(Choosy, 3, lambda *_: None)
    assert all(failed[key] <= database.data[key] for key in failed)
    # But its own, once it fails no more.
    Failing.begun = -1000
    run_sequences(Failing, 3, lambda *_: None)
    assert not any(failed[key] & database.data[key] for key in failed)
