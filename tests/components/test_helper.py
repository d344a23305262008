"""The shell that goes to the hosts is read whole and in the order that `host/build` has it."""

import subprocess
from pathlib import Path

from reach.shell import helper_text, probe_text

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_helper_is_what_the_build_script_prints() -> None:
    """Whoever works on the hosts by hand has the same file as Pulumi installs."""
    built = subprocess.run([CHECKOUT / "host" / "build"], capture_output=True, check=True)
    assert helper_text().encode() == built.stdout


def test_the_helper_is_a_program_with_a_version() -> None:
    first, second, *_ = helper_text().splitlines()
    assert first.startswith("#!")
    assert second.startswith("HELPER_VERSION=")


def test_the_probe_is_sh_without_errors() -> None:
    checked = subprocess.run(["sh", "-n"], input=probe_text(), text=True, check=False)
    assert checked.returncode == 0
