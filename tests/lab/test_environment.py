"""The Python environment: made once, for its checkout alone, whatever else the machine has."""

import os
import shutil
import subprocess
import venv
from collections.abc import Collection
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is needed of one, in a place of its own; packages come from the cache."""
    folder = tmp_path / "a checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    for name in listed.strip("\0").split("\0"):
        if name.startswith("tests/") or not (CHECKOUT / name).exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, folder / name)
    return folder


def run(
    checkout: Path, *, unset: Collection[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """The script, with these variables and without those that are unset."""
    environment = os.environ | variables
    return subprocess.run(
        [checkout / "lab/environment"],
        env={name: environment[name] for name in environment.keys() - set(unset)},
        capture_output=True,
        text=True,
        check=False,
    )


def make(checkout: Path, **variables: str) -> str:
    """What making it says."""
    done = run(checkout, **variables)
    assert done.returncode == 0, done.stderr
    return done.stderr


def refused(checkout: Path, *, unset: Collection[str] = (), **variables: str) -> str:
    """What it says where it can't be made."""
    done = run(checkout, unset=unset, **variables)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def place_of(checkout: Path) -> str:
    """Where its command line finds the program."""
    words = "import operate; print(operate.__file__)"
    python = checkout / ".venv/bin/python"
    done = subprocess.run(
        [python, "-c", words], cwd="/", env={}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def test_it_is_made_for_its_checkout_whatever_python_others_are_made_for(checkout: Path) -> None:
    other = checkout.with_name("other")
    venv.create(other)
    before = sorted(other.rglob("site-packages/*"))
    assert "making .venv" in make(checkout, UV_PYTHON=str(other / "bin/python"))
    assert sorted(other.rglob("site-packages/*")) == before
    assert place_of(checkout) == str(checkout / "operate/__init__.py")
    assert make(checkout) == ""

    # What says nothing of packages is no reason.
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace("line-length = 100", "line-length = 99"))
    assert make(checkout) == ""
    marker = checkout / ".venv" / "kept"
    marker.touch()
    lock = checkout / "requirements.lock"
    lock.write_text(f"{lock.read_text()}# another\n")
    assert "making .venv" in make(checkout)
    assert marker.exists()

    moved = checkout.with_name("moved")
    checkout.rename(moved)
    assert "making .venv" in make(moved)
    assert place_of(moved) == str(moved / "operate/__init__.py")
    assert not (moved / ".venv" / "kept").exists()


def test_without_a_home_in_the_environment_it_is_that_of_the_user(
    checkout: Path, tmp_path: Path
) -> None:
    """It ends where it would begin to write there: on a system that it does not know."""
    path = f"{program(tmp_path / 'bin/uname', 'echo Plan9').parent}:{os.environ['PATH']}"
    homes = ("HOME", "XDG_CACHE_HOME", "REVERSE_TUNNEL_CACHE")
    assert refused(checkout, unset=homes, PATH=path).startswith(
        "environment: Plan9 is not supported"
    )
