"""The shell that goes to the hosts is read whole and in the order that `host/build` has it."""

import re
import subprocess
from collections import Counter
from hashlib import sha256
from pathlib import Path

from reach.shell import helper_text, packed, probe_text

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_helper_is_what_the_build_script_prints() -> None:
    """Whoever works on the hosts by hand has the same file as Pulumi installs."""
    built = subprocess.run([CHECKOUT / "host" / "build"], capture_output=True, check=True)
    assert helper_text().encode() == built.stdout


def test_the_helper_is_a_program_with_a_version() -> None:
    first, second, *_ = helper_text().splitlines()
    assert first.startswith("#!")
    assert second.startswith("HELPER_VERSION=")


def test_no_function_of_the_helper_takes_the_place_of_another_file_s() -> None:
    """It is one text, in which the last of a name is the one that is called."""
    names = Counter(re.findall(r"^(\w+)\(\) ", helper_text(), re.MULTILINE))
    assert len(names) > 200
    assert [name for name, times in names.items() if times > 1] == []


def test_a_packed_helper_is_the_same_on_each_colleagues_machine() -> None:
    """By the pinned compressor; should it change, each host gets its helper anew."""
    assert sha256(packed("#!/bin/bash\n" + "true\n" * 1000).encode()).hexdigest() == (
        "3513edc5d8def3af1667942da30c56a278b5fcccc6d1505400de75b5abfa9d76"
    )


def test_the_probe_is_sh_without_errors() -> None:
    checked = subprocess.run(["sh", "-n"], input=probe_text(), text=True, check=False)
    assert checked.returncode == 0
