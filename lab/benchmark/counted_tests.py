"""Tests of the suite, run for their numbers: how many cases they tried, how many were right."""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from lab.checkout import CHECKOUT
from lab.progress import StepError, say

# What Hypothesis tells of a test: its name, then its phases.
_RANDOM = re.compile(r"^\S+::(\w+)(?:\[\S*\])?:$", re.MULTILINE)
_EXAMPLES = re.compile(r"(\d+) passing, (\d+) failing")


_PASSED, _SOME_FAILED = 0, 1  # pytest's exit statuses; 5: there was no test


@dataclass(frozen=True)
class Counted:
    """How many cases there were, and how many ended as they should."""

    tried: int
    right: int


@dataclass(frozen=True)
class CountedTests:
    """Some tests.

    Attributes:
        name: what they try.
        words: pytest's words for them.
    """

    name: str
    words: tuple[str, ...]

    def run(self, profile: str) -> Counted:
        """Run them, with so many random examples as the profile says (tests/conftest.py).

        A test counts its examples if they are random, its property `tried` if it has one, and else
        as one case; one that fails has one case that is not right, beside those that were.
        """
        environment = os.environ | {"HYPOTHESIS_PROFILE": profile}
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            # Many cases take longer than what else is a test that hangs.
            options = ["-q", "--timeout=0", "--hypothesis-show-statistics", f"--junit-xml={report}"]
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *self.words],
                cwd=CHECKOUT,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode not in {_PASSED, _SOME_FAILED}:
                raise StepError(f"{self.name}: pytest did not run them:\n{done.stdout[-2000:]}")
            if done.returncode == _SOME_FAILED:  # nobody could have such a random one again
                say(f"{self.name}: not all ended as they should:\n{done.stdout}")
            return count(done.stdout, report.read_text())


def count(said: str, report: str) -> Counted:
    """The numbers in what pytest has said, and in its report (JUnit's XML)."""
    examples = _EXAMPLES.findall(said)
    wrong = sum(int(failing) for _, failing in examples)
    tried = wrong + sum(int(passing) for passing, _ in examples)
    random_tests = set(_RANDOM.findall(said))
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314  # pytest's own
        if str(case.get("name")).partition("[")[0] in random_tests:
            continue
        if case.find("skipped") is not None:
            continue
        told = [int(str(one.get("value"))) for one in case.iterfind(".//property[@name='tried']")]
        failed = case.find("failure") is not None or case.find("error") is not None
        tried += sum(told) + failed if told else 1
        wrong += failed
    return Counted(tried, tried - wrong)
