"""What the tests of the command line share."""

from pathlib import Path

import pytest

from tests.operate.project import Project, make_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a stand-in for the engine, in the current folder."""
    return make_project(tmp_path, monkeypatch)
