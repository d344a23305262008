"""The program of a stack file: how it reads the configuration."""

import gc
import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.components.inspected import heard
from tests.components.recording import Recording, deploy
from tests.settings import samples

PROGRAM = Path(__file__).parents[2] / "__main__.py"


def run(monkeypatch: pytest.MonkeyPatch, secret: list[str]) -> Recording:
    """The program with the example's configuration, of which these keys have something secret."""
    values = {**samples.example(), "lookUp": False}
    texts = {
        f"reverse-tunnel:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(texts))
    monkeypatch.setattr(pulumi, "run", lambda _: None)
    monkeypatch.setattr(gc, "disable", lambda: None)  # the tests live on

    def program() -> Mapping[str, pulumi.Output[Any]]:
        pulumi.runtime.set_all_config({}, [f"reverse-tunnel:{key}" for key in secret])
        runpy.run_path(str(PROGRAM))
        return {}

    return deploy(program)


def test_it_warns_of_what_is_kept_as_a_secret_in_the_stack_file_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not heard(run(monkeypatch, ["sshPrivateKey"]), "WARNING: ")
    (said,) = heard(run(monkeypatch, ["sshPrivateKey", "vps"]), "WARNING: ")
    assert said.startswith("WARNING: vps: ")
    assert "in the state in clear" in said
