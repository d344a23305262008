"""The package in a program of somebody else's: built as a wheel, installed outside the checkout.

What its arguments mean is tested without an engine, in tests/components.
"""

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cache import cache_folder
from lab.hosts.host import Result
from lab.lab import Lab
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import differences, snapshot

CHECKOUT = Path(__file__).parents[2]

# A RandomShuffle of one word stands for a cloud provider's resource: what it gives is unknown until
# it has been made.
PROGRAM = """
import pulumi
from pulumi_random import RandomShuffle

from components import ReverseTunnel, ReverseTunnelArgs

config = pulumi.Config()


def made(name: str) -> pulumi.Output[str]:
    return RandomShuffle(name, inputs=[config.require(name)]).results[0]


args: ReverseTunnelArgs = {
    "vps": {"ssh": {"host": made("vpsAddress"), "host_key": made("vpsHostKey")}},
    "servers": {
        "homelab": {
            "address": config.require("homelabInTunnel"),
            "ssh": {
                "host": config.require("homelabAddress"),
                "host_key": config.require("homelabHostKey"),
            },
        }
    },
    "forwards": {"http": {"port": 80, "to": "homelab:8080"}},
    "ssh_private_key": config.require_secret("sshPrivateKey"),
}
tunnel = ReverseTunnel("home", args)
pulumi.export("forwards", tunnel.forwards)
"""

PROJECT = """
name: {name}
runtime:
  name: python
  options: {{virtualenv: "{environment}"}}
"""


ROOMS = ("settings", "reach", "components", "operate", "host")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel and the source distribution lie."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", str(folder), str(CHECKOUT))
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (file,) = dist.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment with the wheel in it, and what the wheel itself asks for."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--clear", "--python", "python3", str(folder))
    pins = ("--constraints", str(CHECKOUT / "requirements.lock"))
    uv("pip", "install", "--quiet", "--python", str(folder), *pins, str(wheel))
    return folder


def uv(*words: str) -> None:
    """Run the pinned uv, with the cache that made this environment."""
    home = subprocess.run(
        [CHECKOUT / "lab/environment"], check=True, capture_output=True, text=True
    ).stdout.strip()
    done = subprocess.run(
        [f"{home}/uv", *words],
        env=os.environ | {"UV_CACHE_DIR": str(cache_folder() / "uv-cache")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


class Program:
    """Somebody else's Pulumi project, in a folder that knows nothing of the checkout."""

    def __init__(self, lab: Lab, folder: Path, environment: Path, text: str = PROGRAM) -> None:
        self._lab = lab
        self._folder = folder
        self._path = f"{environment}/bin:{lab.operator.environment()['PATH']}"
        self.write(text)
        # Each has a backend's place of its own.
        project = PROJECT.format(name=folder.name, environment=environment)
        (folder / "Pulumi.yaml").write_text(project)
        self.pulumi("stack", "init", "lab")

    def write(self, text: str) -> None:
        """Let that be the program."""
        (self._folder / "__main__.py").write_text(text)

    def pulumi(self, *words: str, check: bool = True, secret: str | None = None) -> Result:
        command = ["env", f"PATH={self._path}", "pulumi", "-C", str(self._folder)]
        command += [*words, "--non-interactive"]
        return self._lab.operator.run(command, check=check, input=secret)

    def fails(self, *words: str) -> str:
        """What the engine says when it fails."""
        done = self.pulumi(*words, check=False)
        assert done.returncode != 0
        return done.stdout + done.stderr

    def configure(self, **values: str) -> None:
        pairs = [
            word for key, value in values.items() for word in ("--plaintext", f"{key}={value}")
        ]
        self.pulumi("config", "set-all", *pairs)

    def destroy(self) -> None:
        self.pulumi("destroy", "--yes", "--skip-preview")


@pytest.fixture(scope="module")
def program(
    lab: Lab, environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The program, with a stack of its own."""
    program = Program(lab, tmp_path_factory.mktemp("somebody-elses"), environment)
    key = lab.ssh_key.read_text()
    program.pulumi("config", "set", "--secret", "sshPrivateKey", secret=key)
    yield program
    program.pulumi("stack", "rm", "--yes", "--force")


def shown(lab: Lab) -> str:
    """The README's program for the lab's hosts, as it says for one with hundreds of forwards."""
    text = (CHECKOUT / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "begin the program with `leave_out_sdk_messages()`" in text
    assert "end it with `pulumi.run(all_begun)`" in text
    vps, homelab = lab.host("vps"), lab.host("homelab")
    # Each has to be there once, else the result is another program.
    for here, there in {
        "from components import ": "from components import all_begun, leave_out_sdk_messages, ",
        "args: ReverseTunnelArgs": "leave_out_sdk_messages()\nargs: ReverseTunnelArgs",
        "ssh-ed25519 AAAA...": vps.host_key,
        '{"address": "172.16.0.4"}': '{"address": "172.16.0.4", "ssh": '
        f'{{"host": "{homelab.address}", "host_key": "{homelab.host_key}"}}}}',
    }.items():
        assert program.count(here) == 1
        program = program.replace(here, there)
    return f"{program}pulumi.run(all_begun)\n"


@pytest.fixture
def readme(
    lab: Lab, environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The README's program, with a stack of its own."""
    program = Program(lab, tmp_path_factory.mktemp("readme"), environment, shown(lab))
    key = lab.ssh_key.read_text()
    program.pulumi("config", "set", "--secret", "sshPrivateKey", secret=key)
    yield program
    program.pulumi("stack", "rm", "--yes", "--force")


@pytest.fixture
def configured(lab: Lab, program: Program) -> Program:
    """The program, configured for the lab's hosts."""
    program.configure(
        vpsAddress=lab.host("vps").address,
        vpsHostKey=lab.host("vps").host_key,
        homelabAddress=lab.host("homelab").address,
        homelabHostKey=lab.host("homelab").host_key,
        homelabInTunnel="172.16.0.4",
    )
    return program


def has_tunnel(lab: Lab, host: str) -> bool:
    return lab.host(host).run(["test", "-e", "/sys/class/net/wg0"], check=False).returncode == 0


def test_the_wheel_holds_the_rooms_of_the_product_and_their_types_and_nothing_else(
    wheel: Path,
) -> None:
    """A user's editor and type checker see the types only where `py.typed` lies."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *ROOMS],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert names == set(tracked)
    assert {f"{room}/py.typed" for room in ROOMS if room != "host"} <= names


def test_nothing_of_the_build_stays_in_the_checkout(dist: Path) -> None:
    assert len([*dist.iterdir()]) >= 2
    assert not (CHECKOUT / "dist").exists()
    assert not (CHECKOUT / "build").exists()


@pytest.mark.usefixtures("fresh")
def test_a_vps_made_by_the_same_program_becomes_part_of_the_tunnel(
    lab: Lab, configured: Program
) -> None:
    """Until then its address and host key are unknown, and a secret always is one's own Output."""
    preview = configured.pulumi("preview")
    assert "not looked at, the connection is not known yet: vps, homelab" in preview.stdout
    assert not has_tunnel(lab, "vps")

    configured.pulumi("up", "--yes", "--skip-preview")
    forwards = json.loads(configured.pulumi("stack", "output", "--json").stdout)["forwards"]
    assert forwards == {"http": "tcp 203.0.113.10:80 -> homelab 172.16.0.4:8080"}
    page = lab.host("client").run(["curl", "-sS", "http://203.0.113.10/"]).stdout
    assert page == "homelab:8080 sees you as 198.51.100.10\n"

    configured.destroy()
    assert not has_tunnel(lab, "vps")
    assert not has_tunnel(lab, "homelab")


@pytest.mark.usefixtures("fresh")
def test_a_wrong_value_from_another_resource_is_refused_before_its_host_is_reached(
    lab: Lab, configured: Program
) -> None:
    """The check is that of a stack file, made when the value comes to be known."""
    configured.configure(vpsHostKey="ssh-ed25519 AAAA")
    said = configured.fails("up", "--yes", "--skip-preview")
    assert '"ssh-ed25519 AAAA" is not complete' in said
    assert "ssh-keyscan" in said
    assert not has_tunnel(lab, "vps")
    configured.destroy()


def test_a_wrong_plain_argument_is_refused_at_preview_in_the_words_of_a_stack_file(
    configured: Program,
) -> None:
    configured.configure(homelabInTunnel="172.16.1.4")
    said = configured.fails("preview")
    assert "servers.homelab.address: " in said
    assert "Traceback" not in said


@pytest.mark.usefixtures("fresh")
def test_the_program_of_the_readme_for_hundreds_of_forwards_sets_up_and_takes_away(
    lab: Lab, readme: Program
) -> None:
    """It is run as written there: what it leaves out and waits for may cost nothing else."""
    hosts = lab.host("vps"), lab.host("homelab")
    before = [snapshot(host) for host in hosts]
    readme.pulumi("up", "--yes", "--skip-preview")
    assert page(lab.host("client"), f"{VPS}:443", LASTING) == (
        "homelab:8081 sees you as 198.51.100.10"
    )
    forwards = json.loads(readme.pulumi("stack", "output", "--json").stdout)["forwards"]
    assert forwards == {"https": f"tcp {VPS}:443 -> homelab 172.16.0.4:8081"}
    assert lab.ssh_key.read_text().splitlines()[1] not in readme.pulumi("stack", "export").stdout
    steps = json.loads(readme.pulumi("preview", "--json").stdout)["steps"]
    assert {step["op"] for step in steps} == {"same"}
    readme.destroy()
    assert [differences(*each) for each in zip(before, map(snapshot, hosts), strict=True)] == (
        [[], []]
    )


def test_what_it_refuses_it_says_in_the_same_words(lab: Lab, readme: Program) -> None:
    """The end of the program is not come to then."""
    readme.write(shown(lab).replace("172.16.0.4", "172.16.1.4"))
    said = readme.fails("preview")
    assert "servers.homelab.address: " in said
    assert "Traceback" not in said
