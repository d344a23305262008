"""The image comes from the mirror that the machine's own apt is set up for."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import image, preparation
from lab.cache import locked, locked_if_free, made_once
from lab.image import debian_source
from lab.progress import StepError, run_step
from tests.support import eventually

LONG = 30.0  # seconds, for what normally takes one or two

DEB822 = """\
# A comment: with a colon
Types: deb
URIs: https://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
deb [arch=amd64 signed-by=/usr/share/other.gpg] https://vendor.example.com/browser stable main
# deb https://old.example.org/debian bookworm main
deb-src https://mirror.example.org/debian bookworm main
deb https://mirror.example.org/debian/ bookworm main non-free
"""
DISABLED = DEB822.replace("Types: deb", "Enabled: no\nTypes: deb")


def apt(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        place = "sources.list" if name == "sources_list" else f"sources.list.d/{name}.sources"
        (folder / place).write_text(text)
    return folder


def test_a_source_in_the_new_style_is_found(tmp_path: Path) -> None:
    assert debian_source(apt(tmp_path, debian=DEB822)) == {
        "Types": "deb",
        "URIs": "https://mirror.example.org/debian",
        "Suites": "bookworm",
        "Components": "main",
        "Signed-By": "/usr/share/keyrings/debian-archive-keyring.gpg",
    }


def test_a_source_in_the_old_style_is_found_behind_a_vendors(tmp_path: Path) -> None:
    """Vendors, too, call what they offer `stable main`."""
    source = debian_source(apt(tmp_path, sources_list=ONE_LINE))
    assert source["URIs"] == "https://mirror.example.org/debian/"
    assert "Signed-By" not in source


@pytest.mark.parametrize(
    "theirs",
    [
        "https://x.example.com/linux/debian/amd64 stable main",
        "[signed-by=/usr/share/keyrings/vendor.gpg] https://x.example.com/debian stable main",
        "[signed-by=/usr/share/keyrings/vendor.gpg] https://x.example.com/repos stable main",
    ],
)
def test_a_vendors_own_folder_of_that_name_is_not_taken_for_it(tmp_path: Path, theirs: str) -> None:
    """Its file may come first."""
    folder = apt(tmp_path, debian=DEB822)
    (folder / "sources.list.d" / "a-vendor.list").write_text(f"deb {theirs}\n")
    assert debian_source(folder)["URIs"] == "https://mirror.example.org/debian"


def test_debians_signed_by_a_key_of_ones_own_is_debians(tmp_path: Path) -> None:
    own = DEB822.replace("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/own.gpg")
    assert debian_source(apt(tmp_path, debian=own))["URIs"] == "https://mirror.example.org/debian"


REMOTE = "https://artifactory.example.org/artifactory/debian-remote"
OWN_KEY = "/usr/share/keyrings/example-org.gpg"


@pytest.mark.parametrize("beside", ["", "https://x.example.com/repos", "https://x.example.com/a"])
def test_a_mirror_of_another_name_is_taken_where_there_is_no_better_one(
    tmp_path: Path, beside: str
) -> None:
    """Mirrors inside companies are called as their program has it, and sign by their own key."""
    vendors = f"deb [signed-by={OWN_KEY}] {beside} stable main\n" if beside else ""
    text = f"{vendors}deb [signed-by={OWN_KEY}] {REMOTE} bookworm main\n"
    assert debian_source(apt(tmp_path, sources_list=text)) == {
        "Types": "deb",
        "URIs": REMOTE,
        "Suites": "bookworm",
        "Components": "main",
        "Signed-By": OWN_KEY,
    }
    (tmp_path / "sources.list").write_text(text + ONE_LINE)
    assert debian_source(tmp_path)["URIs"] == "https://mirror.example.org/debian/"


def test_sources_of_source_code_are_none(tmp_path: Path) -> None:
    """They may come first."""
    code = DEB822.replace("Types: deb", "Types: deb-src").replace("mirror", "code")
    folder = apt(tmp_path, code=code)
    with pytest.raises(StepError, match="no source of Debian's main archive"):
        debian_source(folder)
    both = DEB822.replace("Types: deb", "Types: deb-src deb")
    (folder / "sources.list.d/debian.sources").write_text(both)
    source = debian_source(folder)
    assert (source["Types"], source["URIs"]) == ("deb", "https://mirror.example.org/debian")


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("style", ["debian", "sources_list"])
def test_a_mirror_without_signatures_is_trusted_as_the_machine_trusts_it(
    tmp_path: Path, style: str, *, trusted: bool
) -> None:
    line, field = (" trusted=yes", "Trusted: yes\n") if trusted else ("", "")
    texts = {
        "sources_list": f"deb [arch=amd64{line}] https://m.example.org/debian bookworm main\n",
        "debian": "Types: deb\nURIs: https://m.example.org/debian\nSuites: bookworm\n"
        f"Components: main\n{field}",
    }
    source = debian_source(apt(tmp_path, **{style: texts[style]}))
    assert source.get("Trusted") == ("yes" if trusted else None)
    # debootstrap looks at signatures by itself.
    assert ("--no-check-gpg" in image._debootstrap_options(source, ("sudo",))) == trusted


def test_a_key_of_ones_own_is_debootstraps_too() -> None:
    """It knows Debian's itself."""
    for key, named in ((OWN_KEY, True), ("/usr/share/keyrings/debian-archive-keyring.gpg", False)):
        options = image._debootstrap_options({"Signed-By": key}, ("sudo",))
        assert (f"--keyring={key}" in options) == named


def test_a_vendors_alone_is_none(tmp_path: Path) -> None:
    theirs = "deb [signed-by=/usr/share/keyrings/x.gpg] https://x.example.com/repos stable main\n"
    with pytest.raises(StepError, match="no source of Debian's main archive"):
        debian_source(apt(tmp_path, sources_list=theirs))


def test_a_list_of_mirrors_is_read_as_on_debians_cloud_images(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors" / "debian.list"
    mirrors.parent.mkdir()
    mirrors.write_text("# by priority\n\nhttps://mirror.example.org/debian priority:1\n")
    assert image._first_mirror(f"mirror+file:{mirrors}") == "https://mirror.example.org/debian"
    mirrors.write_text("# none\n")
    with pytest.raises(StepError, match=r"no mirror of Debian stands in .*debian\.list"):
        image._first_mirror(f"mirror+file:{mirrors}")
    assert image._first_mirror("http://a.example.org/debian http://b") == (
        "http://a.example.org/debian"
    )


def test_a_wireguard_go_that_is_in_the_cache_needs_no_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("REVERSE_TUNNEL_CACHE", str(tmp_path))
    assert image.wireguard_go() is None
    assert "Go is not installed: the hosts use Debian's own" in capsys.readouterr().err
    (lock,) = tmp_path.glob(".wireguard-go-*.lock")
    (tmp_path / lock.name.removeprefix(".").removesuffix(".lock")).mkdir()
    assert image.wireguard_go() is not None


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
    assert image.wireguard_go() is None
    assert "/go-build." in capsys.readouterr().err
    assert not [*(tmp_path / "tmp").iterdir()]
    assert not [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()]


@pytest.mark.parametrize(
    "text", ["", DISABLED, "deb https://x.example.org/debian bookworm contrib"]
)
def test_without_a_source_the_message_says_where_one_is_missing(tmp_path: Path, text: str) -> None:
    name = "sources_list" if text.startswith("deb ") else "debian"
    with pytest.raises(StepError, match=r"no source of Debian's main archive .*sources\.list"):
        debian_source(apt(tmp_path, **{name: text}))


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
    free(monkeypatch, 5999)
    preparation.tell_of_room()
    told = f"lab: {tmp_path}/cache has 5999 MB left; an engine that must be built takes 6000 MB\n"
    assert capsys.readouterr().err == told
    free(monkeypatch, 6000)
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
