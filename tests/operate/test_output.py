"""Where `--output` writes to: a file of its own, or standard output, and nothing else."""

import os
import stat
from pathlib import Path

import pytest

from tests.operate.project import Project, run
from tests.operate.wireguard import client_file, server_file

COMMANDS = [("server", "cabin"), ("client", "laptop"), ("picture",)]


@pytest.fixture(autouse=True)
def _up(project: Project) -> None:
    files = {"cabin": server_file("cabin")}, {"laptop": client_file("laptop")}
    project.say("outputs.json", dict(zip(("serverConfigs", "clientConfigs"), files, strict=True)))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_dash_is_standard_output(words: tuple[str, ...]) -> None:
    before = sorted(Path().iterdir())
    done = run(*words, "--output", "-")
    assert (done.exit_code, done.stderr) == (0, "")
    # A QR code is for a screen; who asks for output gets the file.
    assert done.stdout == (client_file("laptop") if "client" in words else run(*words).stdout)
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("name", ["pipe.conf", "link.conf"])
def test_what_is_no_regular_file_is_left_as_it_was(words: tuple[str, ...], name: str) -> None:
    """A key that takes the place of /dev/stdout is there for the next program to find."""
    os.mkfifo("pipe.conf")
    reader = os.open("pipe.conf", os.O_RDONLY | os.O_NONBLOCK)  # else a writer would wait
    Path("link.conf").symlink_to("pipe.conf")
    done = run(*words, "--output", name)
    assert done.exit_code == 1
    assert f"{name} is no regular file" in done.stderr
    assert "`--output -`" in done.stderr
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert stat.S_ISFIFO(Path("pipe.conf").lstat().st_mode)
    assert Path("link.conf").readlink() == Path("pipe.conf")


@pytest.mark.parametrize("words", COMMANDS)
def test_a_file_that_is_there_already_is_replaced(words: tuple[str, ...]) -> None:
    file = Path("out.sh" if "server" in words else "out.conf")
    file.write_text("an older one")
    done = run(*words, "--output", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"Written to {file}." in done.stderr
    assert file.read_text() == run(*words, "--output", "-").stdout
