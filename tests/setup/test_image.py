"""What takes long is made once, whole or not at all, and leaves nothing elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import preparation
from lab.cache import locked, locked_if_free, made_once
from lab.images.wireguard_go import wireguard_go
from lab.progress import StepError, run_step
from tests.support import eventually

LONG = 30.0  # seconds, for what normally takes one or two


def test_a_wireguard_go_that_is_in_the_cache_needs_no_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path))
    assert wireguard_go() is None
    assert "Go is not installed: the hosts use Debian's own" in capsys.readouterr().err
    (lock,) = tmp_path.glob(".wireguard-go-*.lock")
    (tmp_path / lock.name.removeprefix(".").removesuffix(".lock")).mkdir()
    assert wireguard_go() is not None


# In the place of Go: makes what it works with, as Go does, and is killed.
GO = """\
#!/bin/sh
mktemp -d "${GOTMPDIR:-${TMPDIR:-/tmp}}/go-build.XXXX"
kill -KILL $$
"""


def test_a_build_of_wireguard_go_that_is_killed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("bin", "tmp"):
        (tmp_path / folder).mkdir()
    go = tmp_path / "bin/go"
    go.write_text(GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GOTMPDIR", raising=False)
    assert wireguard_go() is None
    assert "/go-build." in capsys.readouterr().err
    assert not [*(tmp_path / "tmp").iterdir()]
    assert not [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()]


def test_a_thing_is_made_once_and_anew_when_it_is_made_of_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path / "cache"))
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "thing").write_text(str(len(made)))

    first = made_once("thing", ("1.0",), make)
    assert made_once("thing", ("1.0",), make) == first
    second = made_once("thing", ("1.1",), make)
    assert second != first
    assert [(folder / "thing").read_text() for folder in (first, second)] == ["1", "2"]


def test_a_build_that_fails_or_is_killed_leaves_nothing_that_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(cache))

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise StepError("no")

    with pytest.raises(StepError):
        made_once("thing", ("1.0",), fail)
    assert [entry.name for entry in cache.iterdir() if entry.is_dir()] == []

    killed = (
        "import os; from lab.cache import made_once;"
        "made_once('thing', ('1.0',), lambda folder: os._exit(9))"
    )
    done = subprocess.run(
        [sys.executable, "-c", killed], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 9
    assert [entry.name for entry in cache.iterdir() if entry.is_dir()] != []

    thing = made_once("thing", ("1.0",), lambda folder: (folder / "whole").touch())
    assert [entry.name for entry in thing.iterdir()] == ["whole"]
    assert [entry for entry in cache.iterdir() if entry.is_dir()] == [thing]


# A step which has started something, as apt and Go do, that no signal ends with it: the first word
# is where that says that it has begun, the second lets it end, in the third it works on.
SLOW = """
trap '' PIPE
(echo $$ >"$1"; until [ -e "$2" ]; do sleep 0.05; mkdir -p "$3/more"; done; echo over >>"$1") &
wait
"""
KILLED = """
import sys
from lab.cache import made_once
from lab.progress import run_step
step = ["sh", "-c", sys.argv[1], "sh", *sys.argv[2:]]
made_once("thing", ("1.0",), lambda folder: run_step("slow", [*step, str(folder)]))
"""


def test_what_a_killed_build_has_started_ends_before_the_next_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write into what the next one removes."""
    cache, begun, end = tmp_path / "cache", tmp_path / "begun", tmp_path / "end"
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(cache))
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED, SLOW, str(begun), str(end)], cwd=Path(__file__).parents[2]
    )
    step = int(eventually(lambda: begun.exists() and begun.read_text(), LONG, "no step begins"))
    program.kill()
    program.wait()
    try:
        eventually(lambda: not Path(f"/proc/{step}").exists(), LONG, "the step itself lives on")
        (lock,) = cache.glob(".thing-*.lock")
        with locked_if_free(lock) as held:
            assert not held
    finally:
        end.touch()
    thing = made_once("thing", ("1.0",), lambda folder: (folder / "whole").touch())
    assert begun.read_text().split()[1:] == ["over"]
    assert [entry.name for entry in thing.iterdir()] == ["whole"]


def free(monkeypatch: pytest.MonkeyPatch, megabytes: int) -> None:
    """Lets every disk have so much room."""
    usage = SimpleNamespace(free=megabytes * 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def test_a_disk_without_room_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path / "cache"))
    made: list[Path] = []
    free(monkeypatch, 999)
    with pytest.raises(
        StepError, match=r"^making thing-[0-9a-f]{12} takes up to 1000 MB, and "
    ) as no:
        made_once("thing", ("1.0",), made.append)
    assert f"{tmp_path}/cache has 999 MB left: make room, or set REVERSE_TUNNEL" in str(no.value)
    assert not made
    free(monkeypatch, 1000)
    thing = made_once("thing", ("1.0",), made.append)
    assert len(made) == 1
    free(monkeypatch, 0)  # what is there takes none
    assert made_once("thing", ("1.0",), made.append) == thing


def test_who_may_have_to_build_the_engine_is_told_of_the_room_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No more than told: where it can be downloaded it takes less."""
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path / "cache"))
    free(monkeypatch, 6499)
    preparation.tell_of_room()
    told = f"lab: {tmp_path}/cache has 6499 MB left; an engine that must be built takes 6500 MB\n"
    assert capsys.readouterr().err == told
    free(monkeypatch, 6500)
    preparation.tell_of_room()
    free(monkeypatch, 0)
    (tmp_path / "cache/engine/ready-0123").mkdir(parents=True)
    preparation.tell_of_room()
    assert not capsys.readouterr().err


def test_a_lock_is_held_by_one_also_when_its_file_is_deleted(tmp_path: Path) -> None:
    """A lab deletes its lock at its end while another program may wait for it."""
    path = tmp_path / "lock"
    entered = threading.Event()

    def wait_for_it() -> None:
        with locked(path):
            entered.set()

    with locked(path):
        with locked_if_free(path) as held:
            assert not held
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        path.unlink()
    waiting.join()
    assert entered.is_set()
    with locked_if_free(path) as held:
        assert held


def test_a_step_that_fails_shows_its_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepError, match=r"counting failed \(status 3\)(.|\n)*\n  99\n  100$"):
        run_step("counting", ["sh", "-c", "seq 100; exit 3"])
    run_step("counting", ["true"])
    assert re.search(r"counting: done in \d+ s", capsys.readouterr().err)
