"""The stack on another machine of its user's: by a copy of its state, and where that is lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab.hosts.host import Result
from lab.lab import Lab
from lab.stack import stack_file
from tests.lab.deployment import Deployment
from tests.lab.probes import LASTING, VPS, page
from tests.lab.recipes import recipe
from tests.lab.snapshots import forward_rules
from tests.support import eventually

SOON = 40.0  # seconds

Pulumi = Callable[..., Result]


@pytest.fixture
def old_state(example: Deployment) -> Iterator[None]:
    """Of the tests' own machine, which nothing is like any more afterwards."""
    yield
    example.start_over()


@pytest.fixture
def there(example: Deployment, tmp_path: Path) -> Pulumi:
    """The engine with a backend in which nothing is yet, as on another machine."""
    backend = f"PULUMI_BACKEND_URL=file://{tmp_path}?metadata=skip"

    def pulumi(*words: str) -> Result:
        return example.lab.operator.run(["env", backend, *example.words(*words)], timeout=300.0)

    return pulumi


def steps(pulumi: Pulumi) -> set[str]:
    """What a preview would do."""
    return {step["op"] for step in json.loads(pulumi("preview", "--json").stdout)["steps"]}


def test_with_a_copy_of_the_state_another_machine_goes_on(
    lab: Lab, example: Deployment, there: Pulumi, tmp_path: Path
) -> None:
    copy = tmp_path / "home.json"
    example.pulumi("stack", "export", "--file", str(copy))
    assert '"ciphertext"' in copy.read_text()
    assert lab.ssh_key.read_text().splitlines()[1] not in copy.read_text()
    file = stack_file(lab, example.stack).read_text()
    assert "encryptionsalt: " in file

    there("stack", "init")
    assert stack_file(lab, example.stack).read_text() == file
    assert "create" in steps(there)
    there("stack", "import", "--file", str(copy))
    assert steps(there) == {"same"}


@pytest.mark.usefixtures("old_state")
def test_a_stack_whose_state_is_lost_takes_over_what_is_there(
    lab: Lab, example: Deployment, there: Pulumi
) -> None:
    """With new keys; and what its file has no more goes, though no state knows of it."""
    client, vps = lab.host("client"), lab.host("vps")
    key = vps.run("wg show wg0 public-key").stdout
    assert page(client, f"{VPS}:443", LASTING) is not None
    forwards = example.settings("forwards")
    del forwards["https"]
    example.forwards(forwards)

    there("stack", "init")
    said = there("preview").stdout
    assert "laptop (new keys): `reverse-tunnel client laptop`" in said
    assert "forward https: no stack has it" in said
    there("up", "--yes", "--skip-preview")

    assert vps.run("wg show wg0 public-key").stdout != key
    eventually(lambda: page(client, f"{VPS}:80"), SOON, "no visitor gets through")
    assert page(client, f"{VPS}:443") is None
    assert {rule.name for rule in forward_rules(vps)} == {"http"}
    assert steps(there) == {"same"}
    there("destroy", "--yes", "--skip-preview")
    assert vps.run("ip link show wg0", check=False).returncode != 0


@pytest.mark.usefixtures("old_state")
def test_a_stack_whose_passphrase_is_lost_is_made_anew_in_its_place(
    lab: Lab, example: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is there, and in the way. What is typed is what stands in docs/operations.md."""
    file, client, vps = stack_file(lab, example.stack), lab.host("client"), lab.host("vps")
    text = file.read_text()
    key = vps.run("wg show wg0 public-key").stdout
    monkeypatch.setitem(lab.operator.environment(), "PULUMI_CONFIG_PASSPHRASE", "another one")

    def typed(command: str) -> Result:
        # A person answers what a script can't be asked.
        answers = 'pulumi() { command pulumi --non-interactive "$@"; }'
        yes = {"pulumi stack rm": " --yes", "pulumi up": " --yes --skip-preview"}
        command += "".join(words for begin, words in yes.items() if command.startswith(begin))
        command = command.replace("home", example.stack).replace(
            "~/.ssh/id_ed25519", str(lab.ssh_key)
        )
        return lab.operator.run(f"{answers}; {command}", check=False, timeout=300.0)

    remove, make, *rest = recipe("The passphrase is lost")
    assert "incorrect passphrase" in typed("pulumi preview").stderr
    assert "incorrect passphrase" in typed(make).stderr
    file.write_text(without_secrets(text))
    assert "already exists" in typed(make).stderr
    for command in (remove, make, *rest):
        done = typed(command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(without_secrets(file.read_text())) == yaml.safe_load(
        without_secrets(text)
    )
    assert vps.run("wg show wg0 public-key").stdout != key
    eventually(lambda: page(client, f"{VPS}:80"), SOON, "no visitor gets through")
    assert example.preview_steps() == []
    example.destroy()
    assert vps.run("ip link show wg0", check=False).returncode != 0


def without_secrets(text: str) -> str:
    """A stack file from which somebody has taken what nobody can read."""
    file = yaml.safe_load(text)
    del file["encryptionsalt"]
    file["config"] = {key: value for key, value in file["config"].items() if "secure" not in value}
    return yaml.safe_dump(file, sort_keys=False, width=1000)
