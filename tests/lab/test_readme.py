"""What a new user types: the steps of the README, as they stand there."""

import re
import shutil
from pathlib import Path

from lab.checkout import CHECKOUT, lay_project
from lab.hosts.host import Result
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.probes import VPS, page
from tests.support import eventually

LONG = 300.0  # seconds
# A new user's shell has none of what the lab's operator has, but for the engine.
BARE = ["env", "-u", "PULUMI_BACKEND_URL", "-u", "PULUMI_CONFIG_PASSPHRASE", "-u", "PULUMI_STACK"]
KEY = re.compile(r"host: (\S+)(.*?hostKey: )ssh-ed25519 \S+", re.DOTALL)


def commands(step: int) -> str:
    """The lines of a step that are to be typed."""
    text = (CHECKOUT / "README.md").read_text()
    (text,) = re.findall(r"^## Use it .*?(?=^## )", text, re.DOTALL | re.MULTILINE)
    (found,) = re.findall(rf"^{step}\. (.*?)(?=^\S)", text, re.DOTALL | re.MULTILINE)
    return "".join(f"{line}\n" for line in found.splitlines() if line.startswith(" " * 7))


def test_the_steps_lead_to_a_tunnel(lab: Lab, fresh: Deployment, tmp_path: Path) -> None:
    del fresh  # its hosts
    home, project = tmp_path / "home", tmp_path / "project"
    (home / ".ssh").mkdir(parents=True)
    shutil.copy(lab.ssh_key, home / ".ssh" / "id_ed25519")
    lay_project(project, CHECKOUT)
    shutil.copy(CHECKOUT / "stacks" / "Pulumi.example.yaml", project / "stacks")
    exports = "".join(line for line in commands(2).splitlines(keepends=True) if "export " in line)
    assert exports.count("export ") == 2

    def typed(text: str) -> Result:
        # The engine takes ~ for the home of who runs it, whatever HOME says.
        text = text.replace("file://~", f"file://{home}")
        # A person answers what a script can't be asked.
        words = f'cd {project}\npulumi() {{ command pulumi --non-interactive "$@"; }}\n{text}'
        return lab.operator.run([*BARE, f"HOME={home}", "bash", "-euc", words], timeout=LONG)

    typed(commands(2))
    file = project / "stacks" / "Pulumi.home.yaml"
    salt = file.read_text()
    assert salt.startswith("encryptionsalt: ")
    typed(exports + commands(3))
    assert file.read_text().startswith(salt)
    # Step 4, by the keys that the lab knows.
    keys = {
        str(lab.host(name).address): lab.host(name).host_key for name in ("vps", "homelab", "attic")
    }
    file.write_text(
        KEY.sub(lambda found: f"host: {found[1]}{found[2]}{keys[found[1]]}", file.read_text())
    )
    typed(exports + commands(5))
    assert "secure: " in file.read_text()

    assert "to create" in typed(f"{exports}pulumi preview").stdout
    typed(f"{exports}pulumi up --yes --skip-preview")
    reached = "homelab:8080 sees you as 198.51.100.10"
    eventually(lambda: page(lab.host("client"), f"{VPS}:80") == reached, 60.0, "nobody gets in")
    typed(exports + commands(8))
    assert "PrivateKey = " in (project / "laptop.conf").read_text()
    typed(f"{exports}pulumi destroy --yes --skip-preview")
    assert lab.host("vps").run("ip link show wg0", check=False).returncode != 0
