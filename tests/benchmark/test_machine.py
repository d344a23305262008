"""What the figures were taken on is told in words."""

import subprocess
from subprocess import CompletedProcess

import pytest

from lab.benchmark import machine

SAID = "engine: building random (2 minutes)\nengine: pulumi 3.259.0, command 1.2.1 (STAND-IN)\n"


def test_a_stand_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: list[str], **_: object) -> CompletedProcess[str]:
        return CompletedProcess(words, 0, stdout="export A=b\n", stderr=SAID)

    monkeypatch.setattr(subprocess, "run", run)

    assert machine.engine() == "pulumi 3.259.0, command 1.2.1 (STAND-IN)"
