"""`.ci/lint` looks at all files, or says why it can't."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("ruff", "lint-imports", "mypy", "shellcheck", "shfmt", "yamllint")


@pytest.mark.parametrize("in_git", [True, False])
def test_lint_finds_programs_by_git_and_says_so_where_there_is_none(
    tmp_path: Path, *, in_git: bool
) -> None:
    """As in an unpacked archive."""
    checkout, tools = tmp_path / "checkout", tmp_path / "tools"
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy2(CHECKOUT / ".ci/lint", checkout / ".ci/lint")
    for tool in (*(tools / name for name in TOOLS), checkout / "host/build"):  # in their place
        tool.parent.mkdir(exist_ok=True)
        # What is piped to it is read, as by the tool itself: else who writes may be ended by it.
        reads = 'case $* in *" -") cat >/dev/null ;; esac'
        tool.write_text(f'#!/bin/sh\necho {tool.name} "$@"\n{reads}\n')
        tool.chmod(0o755)
    if in_git:
        subprocess.run(["git", "init", "--quiet", checkout], check=True)
    done = subprocess.run(
        [checkout / ".ci/lint"],
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is in_git
    assert ("lint: needs a git checkout" in done.stderr) is not in_git
    assert ("shellcheck --severity=style .ci/lint host/build\n" in done.stdout) is in_git
    assert ("mypy" in done.stdout) is in_git
