"""`reverse-tunnel client`: the QR code, read as a phone reads it, and the files."""

import io
import os
import re
import stat
from pathlib import Path

import pytest
import zxingcpp
from click.testing import CliRunner
from PIL import Image

from operate import client
from operate.main import main
from operate.qr_code import as_terminal
from tests.operate.project import Project, run
from tests.operate.wireguard import KEY, client_file

FILE = client_file("laptop")


@pytest.fixture(autouse=True)
def _up(project: Project) -> None:
    files = {"laptop": FILE, "phone": client_file("phone", own_key=True)}
    project.say("outputs.json", {"clientConfigs": files})


def read(picture: Image.Image) -> str:
    """What a phone would read in a picture."""
    (code,) = zxingcpp.read_barcodes(picture.convert("L"))
    return code.text


def as_seen(text: str) -> Image.Image:
    """The picture that a terminal shows of a code, two modules in a letter."""
    lines = re.sub("\x1b[^m]*m", "", text).splitlines()
    upper, lower = "▀█", "▄█"
    rows = [
        "".join("#" if letter in half else " " for letter in line)
        for line in lines
        for half in (upper, lower)
    ]
    # The last letter's lower half may lie outside of the code.
    size = len(rows[0])
    picture = Image.new("L", (size, size))
    picture.putdata([255 * (pixel == "#") for row in rows[:size] for pixel in row])
    return picture.resize((size * 4, size * 4), Image.Resampling.NEAREST)


def test_the_code_on_the_screen_is_the_whole_file() -> None:
    done = run("client", "laptop")
    assert done.exit_code == 0
    assert read(as_seen(done.stdout)) == FILE
    assert KEY not in done.output


def test_the_code_is_white_on_black_whatever_the_terminals_colours_are() -> None:
    lines = as_terminal(FILE).splitlines()
    assert all(line.startswith("\x1b[97;40m") and line.endswith("\x1b[0m") for line in lines)
    assert len({len(line) for line in lines}) == 1
    assert len(re.sub("\x1b[^m]*m", "", lines[0])) <= 80


@pytest.mark.parametrize(("missing", "status"), [(0, 0), (1, 1)])
def test_a_terminal_that_would_break_its_lines_is_refused(
    monkeypatch: pytest.MonkeyPatch, missing: int, status: int
) -> None:
    needed = len(re.sub("\x1b[^m]*m", "", as_terminal(FILE).splitlines()[0]))
    monkeypatch.setattr(client, "_columns", lambda: needed - missing)
    done = run("client", "laptop")
    assert done.exit_code == status
    assert (f"this terminal has {needed - 1}" in done.stderr) == bool(status)
    assert ("█" in done.stdout) != bool(status)


@pytest.mark.parametrize(
    ("encoding", "shows"), [("latin-1", False), ("cp1252", False), ("cp437", True)]
)
def test_a_terminal_without_the_codes_letters_is_told_of_the_picture(
    encoding: str, *, shows: bool
) -> None:
    """It is UTF-8 nearly everywhere, and some other sets of letters have them, too."""
    done = CliRunner(charset=encoding).invoke(main, ["client", "laptop"])
    assert done.exit_code == int(not shows)
    assert ("█" in done.stdout_bytes.decode(encoding)) == shows
    assert ("--output laptop.png" in done.stderr) == (not shows)
    assert ("UTF-8" in done.stderr) == (not shows)


def test_a_file_is_printed_whatever_letters_the_terminal_has() -> None:
    latin = CliRunner(charset="latin-1")
    assert "\n[Interface]\n" in "\n" + latin.invoke(main, ["client", "phone"]).stdout
    assert latin.invoke(main, ["client", "laptop", "--output", "-"]).stdout == FILE


def test_a_png_is_the_same_code() -> None:
    assert run("client", "laptop", "--output", "laptop.png").exit_code == 0
    assert read(Image.open("laptop.png")) == FILE


def test_an_svg_is_dark_on_a_light_ground() -> None:
    assert run("client", "laptop", "--output", "laptop.svg").exit_code == 0
    text = Path("laptop.svg").read_text()
    assert "<svg" in text
    assert '#fff"' in text


def test_a_conf_is_the_file_itself() -> None:
    done = run("client", "laptop", "--output", "laptop.conf")
    assert done.exit_code == 0
    assert Path("laptop.conf").read_text() == FILE
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["laptop.conf", "laptop.png", "laptop.svg"])
def test_what_is_written_is_for_its_owner_alone_from_the_first_moment(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chmod after the fact would leave a moment in which others can read it."""
    monkeypatch.setattr(os, "chmod", None)
    monkeypatch.setattr(Path, "chmod", None)
    own = os.umask(0)  # the process's own is not what protects it
    try:
        Path(name).write_text("an older one, open to all")
        assert run("client", "laptop", "--output", name).exit_code == 0
    finally:
        os.umask(own)
    assert stat.filemode(Path(name).stat().st_mode) == "-rw-------"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_a_client_with_its_own_key_gets_its_file_with_a_line_to_fill_in() -> None:
    done = run("client", "phone")
    assert done.exit_code == 0
    assert "PrivateKey = PUT-THE-PRIVATE-KEY-OF-phone-HERE" in done.stdout
    assert "keeps its private key to itself" in done.stderr


def test_a_code_of_a_file_without_a_key_is_refused() -> None:
    done = run("client", "phone", "--output", "phone.png")
    assert done.exit_code == 1
    assert "--output phone.conf" in done.stderr
    assert not Path("phone.png").exists()


def test_an_unknown_client_is_refused_with_those_that_there_are() -> None:
    done = run("client", "tablet")
    assert done.exit_code == 1
    assert "there is no client tablet" in done.stderr
    assert "laptop, phone" in done.stderr


def test_before_the_first_up_it_says_so(project: Project) -> None:
    project.say("outputs.json", {})
    done = run("client", "laptop")
    assert done.exit_code == 1
    assert "run `pulumi up` first" in done.stderr


def test_another_ending_is_wrong_usage() -> None:
    done = run("client", "laptop", "--output", "laptop.jpg")
    assert done.exit_code == 2
    assert "laptop.jpg must end in .conf, .png or .svg." in done.stderr


def test_a_folder_that_is_not_there_is_said() -> None:
    done = run("client", "laptop", "--output", "nowhere/laptop.conf")
    assert done.exit_code == 1
    assert "nowhere/laptop.conf can't be written: No such file" in done.stderr


def test_nothing_secret_is_in_the_engines_arguments(project: Project) -> None:
    run("client", "laptop", "--output", "laptop.conf")
    assert project.calls == ["stack output --show-secrets --json --non-interactive"]


def test_a_large_picture_is_sharp(tmp_path: Path) -> None:
    run("client", "laptop", "--output", str(tmp_path / "code.png"))
    with Image.open(io.BytesIO((tmp_path / "code.png").read_bytes())) as picture:
        assert picture.width >= 400
