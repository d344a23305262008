"""A project folder with a stand-in for the engine, which answers from files and notes its calls."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from operate.main import main
from tests.settings.samples import changed

# What `pulumi` is here: it knows the words that the commands say, and no others.
_ENGINE = """#!/bin/sh
cd "${0%/*}"
printf '%s\\n' "$*" >>calls
case "$*" in
  "config --show-secrets --json "*) cat config.json ;;
  "stack output --show-secrets --json "*) cat outputs.json ;;
  "stack export "*) cat export.json ;;
  "stack --show-name --non-interactive") cat selected ;;
  *) echo "error: the stand-in does not know: $*" >&2; exit 255 ;;
esac || { echo "error: incorrect passphrase" >&2; exit 255; }
"""
_SECRET = "sshPrivateKey"  # noqa: S105 - the name of a setting


@dataclass(frozen=True)
class Project:
    """The folder, which is also the current one, and what the engine there says."""

    folder: Path

    def configure(self, changes: Mapping[str, object] | None = None, stack: str = "home") -> None:
        """Write the stack file of the settings' example with the changes made."""
        values = changed(changes or {})
        config: dict[str, Any] = {f"reverse-tunnel:{key}": value for key, value in values.items()}
        entries = {
            key: {
                "value": value if isinstance(value, str) else json.dumps(value),
                "secret": key.endswith(_SECRET),
            }
            for key, value in config.items()
        }
        config[f"reverse-tunnel:{_SECRET}"] = {"secure": "v1:encrypted"}
        file = self.folder / f"stacks/Pulumi.{stack}.yaml"
        file.write_text(yaml.safe_dump({"config": config}, sort_keys=False))
        self.say("config.json", entries)

    def say(self, file: str, answer: object) -> None:
        """What the engine answers from now on: `config.json` or `outputs.json`."""
        (self.folder / "bin" / file).write_text(json.dumps(answer))

    def forget(self, file: str) -> None:
        """Take a file of the folder away."""
        (self.folder / file).unlink()

    @property
    def calls(self) -> list[str]:
        """The words of each call of the engine."""
        file = self.folder / "bin/calls"
        return file.read_text().splitlines() if file.exists() else []


def make_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose selected stack is `home`, configured as the example and not up."""
    for name in ("bin", "stacks"):
        (folder / name).mkdir()
    (folder / "Pulumi.yaml").write_text("name: reverse-tunnel\nstackConfigDir: stacks\n")
    engine = folder / "bin/pulumi"
    engine.write_text(_ENGINE)
    engine.chmod(0o755)
    (folder / "bin/selected").write_text("home\n")
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.chdir(folder)
    project = Project(folder)
    project.configure()
    project.say("outputs.json", {})
    project.say("export.json", {"deployment": {}})
    return project


def run(*words: str) -> Result:
    """Run the command line with these words."""
    return CliRunner().invoke(main, list(words))
