"""The Python environment: made once, for its checkout alone, whatever else the machine has."""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Collection
from pathlib import Path

import pytest

from lab.cache import cache_folder

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
    checkout: Path, *words: str, unset: Collection[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """The script, with these variables and without those that are unset."""
    environment = os.environ | variables
    return subprocess.run(
        [checkout / "lab/environment", *words],
        env={name: environment[name] for name in environment.keys() - set(unset)},
        capture_output=True,
        text=True,
        check=False,
    )


def make(checkout: Path, *words: str, **variables: str) -> str:
    """What making it says."""
    done = run(checkout, *words, **variables)
    assert done.returncode == 0, done.stderr
    return done.stderr


def refused(checkout: Path, *words: str, unset: Collection[str] = (), **variables: str) -> str:
    """What it says where it can't be made."""
    done = run(checkout, *words, unset=unset, **variables)
    assert done.returncode != 0
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


def installed(checkout: Path) -> dict[str, str]:
    """The packages of its environment, and which version of each."""
    words = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    python = checkout / ".venv/bin/python"
    done = subprocess.run([python, "-Ic", words], stdout=subprocess.PIPE, text=True, check=True)
    return dict(line.lower().replace("_", "-").split() for line in done.stdout.splitlines())


def locked(checkout: Path) -> set[tuple[str, str]]:
    """All that the lock names, for whatever machine."""
    text = (checkout / "requirements.lock").read_text()
    return {*re.findall(r"^([a-z][^= ]*)==(\S+)", text, re.MULTILINE)}


def uv_in(cache: Path) -> Path:
    """Where it lies in there."""
    script = (CHECKOUT / "lab/environment").read_text()
    version = re.search(r"^readonly UV_VERSION=(\S+)", script, re.MULTILINE)
    assert version
    return cache / f"uv-{version[1]}" / "bin/uv"


@pytest.fixture
def fake_uv(tmp_path: Path) -> Path:
    """A cache with a uv that makes an empty folder; its calls are in its file `uv.log`."""
    cache = tmp_path / "cache"
    words = f'echo "$@" >>"{cache}/uv.log"\n[ "$1" != venv ] || mkdir -p .venv/bin'
    program(uv_in(cache), words)
    return cache


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


TOOLS = {"matplotlib", "mypy", "numpy", "pillow", "pytest", "ruff", "zxing-cpp"}


def test_who_runs_the_program_needs_none_of_what_it_is_developed_with(checkout: Path) -> None:
    """They are two thirds of it, and not for every machine: what there is no wheel of is built."""
    assert "making .venv for the program" in make(checkout, "--program")
    small = installed(checkout)
    assert {"pulumi", "pip", "reverse-tunnel"} <= small.keys()
    assert not TOOLS & small.keys()
    ours = {("reverse-tunnel", small["reverse-tunnel"])}
    assert small.items() - ours <= locked(checkout)
    programs = checkout / ".venv/bin"
    subprocess.run([programs / "reverse-tunnel", "--help"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run([programs / "python", "-c", "import components"], cwd=checkout, check=True)
    assert make(checkout, "--program") == ""

    # The rest comes to it, under whatever runs in it; and what has all is good for the program.
    marker = checkout / ".venv/kept"
    marker.touch()
    assert make(checkout) == "environment: making .venv from requirements.lock\n"
    all_of_it = installed(checkout)
    assert all_of_it.keys() >= TOOLS
    assert small.items() <= all_of_it.items()
    assert all_of_it.items() - ours <= locked(checkout)
    assert make(checkout, "--program") == make(checkout) == ""
    (checkout / "requirements.lock").open("a").write("# another\n")
    assert make(checkout, "--program") == "environment: making .venv from requirements.lock\n"
    assert make(checkout) == ""
    assert installed(checkout) == all_of_it
    assert marker.exists()


@pytest.mark.parametrize("words", [["--program"], []])
@pytest.mark.parametrize("python", ["", "another "])
def test_only_what_was_for_the_program_stays_for_it(
    checkout: Path, fake_uv: Path, words: list[str], python: str
) -> None:
    """When the lock or Python changes, what one develops with is not taken away by set-up."""
    cache = {"REVERSE_TUNNEL_CACHE": str(fake_uv)}
    make(checkout, *words, **cache)
    made_from = checkout / ".venv/made-from"
    made_from.write_text(python + made_from.read_text())
    (checkout / "requirements.lock").open("a").write("# another\n")
    said = make(checkout, "--program", **cache)
    extras = re.findall(
        r"pip install .*pyproject\.toml (.*) --con", (fake_uv / "uv.log").read_text()
    )
    if words:
        assert said.startswith("environment: making .venv for the program from")
        assert extras == ["--extra setup"] * 2
        assert "making .venv from" in make(checkout, **cache)
    else:
        assert said.startswith("environment: making .venv from")
        assert extras == ["--all-extras"] * 2
        assert make(checkout, **cache) == ""


UNFIT = "environment: requirements.lock does not fit pyproject.toml: make lock\n"


@pytest.mark.parametrize("words", [["--program"], []])
def test_a_package_that_is_not_the_locked_one_is_refused(checkout: Path, words: list[str]) -> None:
    lock = checkout / "requirements.lock"
    text = lock.read_text()
    found = re.search(r"^segno==.*\n((    --hash=.*\n)+)", text, re.MULTILINE)
    assert found
    other = f"    --hash=sha256:{'0' * 64}\n"
    lock.write_text(text.replace(found[1], other))
    said = refused(checkout, *words)
    assert "mismatch" in said.lower()
    assert UNFIT not in said  # a new lock would take whatever there is now
    lock.write_text(text.replace(found[0], ""))
    assert "segno" in refused(checkout, *words)
    assert not (checkout / ".venv/made-from").exists()


SEGNO = '"segno>=1.6.6,<2"'


@pytest.mark.parametrize("words", [["--program"], []])
@pytest.mark.parametrize("changed", [f'{SEGNO}, "tomli>=2"', '"segno<1.6"'])
def test_a_lock_of_another_project_is_said_to_be_that(
    checkout: Path, words: list[str], changed: str
) -> None:
    """A package more, or another bound: uv speaks of hashes and of what can't be solved."""
    project = checkout / "pyproject.toml"
    text = project.read_text()
    assert SEGNO in text
    project.write_text(text.replace(SEGNO, changed))
    assert refused(checkout, *words).endswith(UNFIT)


def test_what_can_not_be_had_is_no_fault_of_the_lock(checkout: Path, tmp_path: Path) -> None:
    """Such as from a mirror that lacks it: nothing can be solved then, either."""
    (tmp_path / "empty").mkdir()
    said = refused(checkout, "--program", UV_DEFAULT_INDEX=f"file://{tmp_path}/empty")
    assert "No solution found" in said
    assert "make lock" not in said


def test_a_lock_that_does_not_fit_takes_nothing_from_what_is_made(
    checkout: Path, fake_uv: Path
) -> None:
    """What is refused before anything is installed leaves all as it was."""
    cache = {"REVERSE_TUNNEL_CACHE": str(fake_uv)}
    make(checkout, **cache)
    project, uv = checkout / "pyproject.toml", uv_in(fake_uv)
    before, works = project.read_text(), uv.read_text()
    project.write_text(before.replace(SEGNO, '"segno<1.6"'))
    program(uv, 'case "$*" in *pyproject.toml*) exit 1 ;; esac')
    assert refused(checkout, **cache).endswith(UNFIT)
    uv.write_text(works)
    project.write_text(before)
    assert make(checkout, **cache) == ""

    # Of another failure, nobody knows how far it came.
    project.write_text(before.replace(SEGNO, '"segno<1.6"'))
    program(uv, "exit 1")
    assert UNFIT not in refused(checkout, **cache)
    uv.write_text(works)
    project.write_text(before)
    assert "making .venv" in make(checkout, **cache)


def test_what_was_emptied_for_another_python_is_not_taken_for_made(
    checkout: Path, fake_uv: Path
) -> None:
    """There a lock that does not fit is found out too late."""
    cache = {"REVERSE_TUNNEL_CACHE": str(fake_uv)}
    make(checkout, **cache)
    made_from = checkout / ".venv/made-from"
    made_from.write_text(f"another {made_from.read_text()}")
    program(uv_in(fake_uv), 'case "$*" in *pyproject.toml*) exit 1 ;; esac')
    assert refused(checkout, **cache).endswith(UNFIT)
    assert not made_from.exists()


def test_a_lock_is_made_of_a_project_that_the_old_one_does_not_fit(
    checkout: Path, fake_uv: Path
) -> None:
    """Nothing is installed for it, which could not be had by the old one."""
    project, uv = checkout / "pyproject.toml", uv_in(fake_uv)
    project.write_text(project.read_text().replace(SEGNO, '"segno<1.6"'))
    log = fake_uv / "uv.log"
    program(uv, f'echo "$@" >>"{log}"\n[ "$1 $2" = "pip compile" ]')
    lock = ["make", "-C", str(checkout), "lock"]
    environment = os.environ | {"REVERSE_TUNNEL_CACHE": str(fake_uv)}
    subprocess.run(lock, env=environment, check=True)
    assert log.read_text().startswith("pip compile pyproject.toml --all-extras ")
    assert log.read_text().count("\n") == 1
    assert not (checkout / ".venv").exists()
    program(uv, "exit 1")
    assert subprocess.run(lock, env=environment, check=False).returncode != 0


def test_a_word_that_it_does_not_know_is_refused(checkout: Path) -> None:
    assert refused(checkout, "--programm") == (
        "environment: usage: lab/environment [--program | --uv]\n"
    )
    assert not (checkout / ".venv").exists()


def test_a_user_gets_the_program_and_a_developer_all(checkout: Path) -> None:
    def done_by(target: str) -> str:
        return subprocess.run(
            ["make", "-n", target], cwd=checkout, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    assert "lab/environment --program" in done_by("setup")
    assert "lab/environment >" in done_by("lint")
    assert "--program" not in done_by("lint")


def test_a_python_that_uv_has_installed_is_not_taken_for_that_of_path(
    checkout: Path, tmp_path: Path
) -> None:
    """Else it would be made anew by what runs in it: there, `python3` on PATH is its own."""
    minor = f"python3.{sys.version_info.minor}"
    number = ".".join(map(str, sys.version_info[:3]))
    uvs = tmp_path / "uv" / f"cpython-{number}-linux-{os.uname().machine}-gnu"
    (uvs / "bin").mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), uvs / "bin" / minor)
    (uvs / "lib").symlink_to(Path(sys.base_prefix) / "lib")
    make(checkout, UV_PYTHON_INSTALL_DIR=str(uvs.parent))
    settings = (checkout / ".venv/pyvenv.cfg").read_text()
    assert str(uvs) not in settings
    path = f"{checkout / '.venv/bin'}:{os.environ['PATH']}"
    assert make(checkout, UV_PYTHON_INSTALL_DIR=str(uvs.parent), PATH=path) == ""

    # Where it is the one of PATH, it is meant.
    (uvs / "bin/python3").symlink_to(minor)
    path = f"{uvs / 'bin'}:{os.environ['PATH']}"
    assert "making .venv" in make(checkout, UV_PYTHON_INSTALL_DIR=str(uvs.parent), PATH=path)
    assert str(uvs) in (checkout / ".venv/pyvenv.cfg").read_text()


def test_a_checkout_that_is_reached_by_a_symlink_is_the_same(
    checkout: Path, fake_uv: Path, tmp_path: Path
) -> None:
    """`lab/run` in its folder stacks/ sees it as it lies."""
    (tmp_path / "link").symlink_to(checkout)
    cache = {"REVERSE_TUNNEL_CACHE": str(fake_uv)}
    assert "making .venv" in make(checkout, **cache)
    # `..` is followed by the shell in its own way.
    for folder, words in (("link", "lab/environment"), ("link/stacks", "../lab/environment")):
        call = ["bash", "-euc", f'cd "$0"; {words}', str(tmp_path / folder)]
        done = subprocess.run(
            call, env=os.environ | cache, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == (f"{uv_in(fake_uv).parent}\n", "")


def test_a_path_for_cd_of_the_users_own_leads_nowhere_else(
    checkout: Path, fake_uv: Path, tmp_path: Path
) -> None:
    """Where there is another folder `lab`, such as another checkout's."""
    (tmp_path / "elsewhere" / "lab").mkdir(parents=True)
    variables = {"REVERSE_TUNNEL_CACHE": str(fake_uv), "CDPATH": str(tmp_path / "elsewhere")}
    done = subprocess.run(
        ["lab/environment"],
        cwd=checkout,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f"{uv_in(fake_uv).parent}\n"
    assert (checkout / ".venv").is_dir()


def test_a_machines_settings_of_pip_do_not_keep_uv_from_being_installed(
    checkout: Path, fake_uv: Path, tmp_path: Path
) -> None:
    """People set these against mistakes of their own; and a killed run may have left something."""
    uv = uv_in(fake_uv)
    shutil.rmtree(uv.parents[1])
    for leftover in (f"{uv.parents[1]}.77/bin", f"{uv.parents[1]}.77.pip/bin"):
        Path(leftover).mkdir(parents=True)
    (fake_uv / "uv-cache").symlink_to(cache_folder() / "uv-cache")
    base = Path(sys.executable).resolve().parent  # pip refuses --user in an environment
    said = make(
        checkout,
        REVERSE_TUNNEL_CACHE=str(fake_uv),
        PATH=f"{base}:{os.environ['PATH']}",
        PIP_REQUIRE_VIRTUALENV="1",
        PIP_USER="1",
        PIP_CACHE_DIR=str(tmp_path / "pip"),
    )
    assert said.startswith("environment: installing uv")
    assert place_of(checkout) == str(checkout / "operate/__init__.py")
    assert {entry.name for entry in fake_uv.iterdir()} == {
        uv.parents[1].name,
        "uv-cache",
        "environment.lock",
    }
    assert not (tmp_path / "pip").exists()


@pytest.mark.parametrize("apt", ["exit 1", "touch python3-pip-whl_1.deb", "exit 0"])
def test_where_there_is_no_pip_to_be_had_it_says_what_to_install(
    checkout: Path, fake_uv: Path, tmp_path: Path, apt: str
) -> None:
    """Debian's apt may fail, or give what is none."""
    shutil.rmtree(uv_in(fake_uv).parents[1])
    tools = tmp_path / "bin"
    without = 'case "$1 $2" in "-m pip" | "-m venv") exit 1 ;; esac'
    program(tools / "python3", f'{without}\nexec "{sys.executable}" "$@"')
    program(tools / "apt-get", apt)
    program(tools / "dpkg", "exit 0")
    said = refused(
        checkout, REVERSE_TUNNEL_CACHE=str(fake_uv), PATH=f"{tools}:{os.environ['PATH']}"
    )
    assert said.endswith("environment: pip can't be had from Debian; install python3-venv\n")
    assert not [*fake_uv.glob("uv-*")]


@pytest.mark.parametrize("name", ["REVERSE_TUNNEL_CACHE", "XDG_CACHE_HOME"])
def test_a_cache_that_would_be_another_in_each_folder_is_refused(checkout: Path, name: str) -> None:
    other = ({"REVERSE_TUNNEL_CACHE", "XDG_CACHE_HOME"} - {name}).pop()
    place = "cache" if name == "REVERSE_TUNNEL_CACHE" else "cache/reverse-tunnel"
    assert refused(checkout, unset=[other], **{name: "cache"}) == (
        f"environment: the cache is {place}, another folder for each program: set"
        " REVERSE_TUNNEL_CACHE to a path that begins with /\n"
    )
    assert [*checkout.parent.iterdir()] == [checkout]


def test_under_sudo_a_failure_says_how_to_keep_ones_settings(checkout: Path, fake_uv: Path) -> None:
    """Such as where packages come from."""
    cache = {"REVERSE_TUNNEL_CACHE": str(fake_uv)}
    uv = uv_in(fake_uv)
    works = uv.read_text()
    program(uv, "echo no such package >&2; exit 1")
    said = refused(checkout, SUDO_USER="me", **cache)
    assert "no such package\nenvironment: sudo has a PATH of its own and drops settings" in said
    assert "--preserve-env=GOPROXY,PIP_INDEX_URL" in said
    assert refused(checkout, unset=["SUDO_USER"], **cache).endswith("no such package\n")
    uv.write_text(works)
    assert make(checkout, SUDO_USER="me", **cache).endswith("from requirements.lock\n")


def test_what_somebody_else_has_made_is_said_with_the_way_out(
    checkout: Path, fake_uv: Path
) -> None:
    """`sudo make demo` and `make setup` in one checkout: uv would only say what it can't write."""
    make(checkout, REVERSE_TUNNEL_CACHE=str(fake_uv))
    (checkout / "requirements.lock").open("a").write("# another\n")
    os.chown(checkout / ".venv/bin", 65534, -1)
    # Root without its powers is a user like others.
    user = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    done = subprocess.run(
        [*user, checkout / "lab/environment"],
        env=os.environ | {"REVERSE_TUNNEL_CACHE": str(fake_uv)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"environment: {checkout}/.venv/bin belongs to nobody, perhaps by sudo: sudo rm -r"
        f" '{checkout}/.venv', and run this again\n"
    )
    make(checkout, REVERSE_TUNNEL_CACHE=str(fake_uv))  # root can


def test_without_a_home_in_the_environment_it_is_that_of_the_user(
    checkout: Path, tmp_path: Path
) -> None:
    """It ends where it would begin to write there: on a system that it does not know."""
    path = f"{program(tmp_path / 'bin/uname', 'echo Plan9').parent}:{os.environ['PATH']}"
    homes = ("HOME", "XDG_CACHE_HOME", "REVERSE_TUNNEL_CACHE")
    assert refused(checkout, unset=homes, PATH=path).startswith(
        "environment: Plan9 is not supported"
    )
