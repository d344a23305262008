"""What tests are counted as: examples if they are random, what they tell, or one case."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, strategies
from hypothesis.stateful import RuleBasedStateMachine, rule

from lab.benchmark import faults
from lab.benchmark.counted_tests import Counted, CountedTests, count
from lab.checkout import CHECKOUT
from lab.progress import StepError
from tests.host.sequences import run_sequences

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
    for body, counted in (("assert 'sequence 17' == ''", (1, 0)), ("pass", (1, 1))):
        file.write_text(f"def test_it():\n    {body}\n", encoding="utf-8")
        done = CountedTests("some", (str(file), "-c", "/dev/null")).run("fast")
        assert (done.tried, done.right) == counted
        shown = capfd.readouterr().err
        assert ("some: not all ended as they should" in shown) == (done.right == 0)
        assert ("assert 'sequence 17' == ''" in shown) == (done.right == 0)


@pytest.mark.parametrize("tests", faults._TESTS, ids=lambda tests: str(tests.name))
def test_there_are_tests_for_each_row_of_the_faults(tests: CountedTests) -> None:
    words = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", *tests.words]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_test_that_could_not_begin_is_not_right() -> None:
    counted = count(_SAID.format(failing=0), _report(failure="<error message='no lab' />"))
    assert counted.tried - counted.right == 1


def test_a_sequence_that_is_given_up_half_way_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = 0

    class Sequence(RuleBasedStateMachine):
        def __init__(self) -> None:
            nonlocal begun
            begun += 1
            super().__init__()

        @rule(number=strategies.integers(0, 1000))
        def step(self, number: int) -> None:
            assume(number % 5)

    monkeypatch.setenv("HYPOTHESIS_PROFILE", "fast")
    assert run_sequences(Sequence, steps=3) == 10
    assert begun > 10
