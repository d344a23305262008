"""The shell that goes to the hosts is read whole and in the order that `host/build` has it."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from reach.shell import (
    delivery_text,
    helper_text,
    installation_text,
    probe_text,
    unmanaged_text,
)

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


def test_each_verb_has_a_caller() -> None:
    """Of the program's, or of the helper's own: a verb that tests alone call is none."""
    verbs = {*re.findall(r"^    ([a-z-]+)\) verb_", helper_text(), re.MULTILINE)}
    assert len(verbs) > 20
    program = (path for part in ("components", "reach") for path in (CHECKOUT / part).rglob("*.py"))
    text = "".join([helper_text(), *(path.read_text() for path in program)])
    # By the helper's own text, and by the program's calls.
    callers = [
        r'PROTOCOL\}?"? ', r'reverse-tunnel" 1 ', r'"\$0" 1 ', r"start_beside ",
        r"""(call(_if_there)?\(([\w.]+, )?|\bPROTOCOL\), )["']""",
    ]  # fmt: skip
    called = rf"({'|'.join(callers)})(?P<verb>[a-z-]+)"
    found = {match["verb"] for match in re.finditer(called, text)}
    assert verbs - found == set()


def deliver(folder: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the script that brings the helper, as it is run on a host."""
    script = delivery_text(str(folder)) if text is None else text
    return subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=False)


def test_a_helper_is_delivered_whole_for_root_alone_and_beside_the_installed_one(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "reverse-tunnel" / "wg0"
    for _ in range(2):
        assert deliver(folder).returncode == 0
        assert [path.name for path in folder.iterdir()] == ["delivered"]
        assert (folder / "delivered").read_text() == helper_text()
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "delivered")]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("tunnel", ["new", "there"])
def test_a_delivery_that_has_no_room_says_so_and_leaves_nothing(
    tmp_path: Path, tunnel: str
) -> None:
    """A disk that is full when the first byte is written; here, a file that can't be opened."""
    folder = tmp_path / "reverse-tunnel" / "wg0"
    if tunnel == "there":
        (folder / ".delivered.new").mkdir(parents=True)
    else:
        folder.parent.touch()
    before = sorted(tmp_path.rglob("*"))
    done = deliver(folder)
    assert done.returncode == 1
    # First what the system says.
    assert done.stderr.index("irectory") < done.stderr.index("reverse-tunnel: the helper could no")
    assert f"written to {folder}: make room there" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_delivery_that_is_cut_short_brings_nothing(tmp_path: Path) -> None:
    """The connection may break at any byte."""
    text = delivery_text(str(tmp_path / "reverse-tunnel" / "wg0"))
    end = text.index("END-OF-HELPER\n}")
    for length in (len(text) // 2, end - 20, end, end + 14, text.rindex("if mkdir")):
        deliver(tmp_path, text[:length])
        assert list(tmp_path.iterdir()) == [], length
    # Nor does one whose helper was damaged.
    whole = text[: end - 400] + text[end - 80 :]
    assert "could not be written" in deliver(tmp_path, whole).stderr
    assert list(tmp_path.iterdir()) == []


def test_what_installs_it_is_bash_without_errors() -> None:
    checked = subprocess.run(["bash", "-n"], input=installation_text(), text=True, check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize("text", [probe_text, unmanaged_text])
def test_what_comes_without_the_helper_is_sh_without_errors(text: Callable[[], str]) -> None:
    checked = subprocess.run(["sh", "-n"], input=text(), text=True, check=False)
    assert checked.returncode == 0
