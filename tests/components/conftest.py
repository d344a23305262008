"""What these tests share: servers on loopback, and what is to be removed there."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from components.preflight import inspection
from reach import Login
from reach.entries.part import Part
from tests.components.sshd import Sshd, running


@pytest.fixture(scope="session", autouse=True)
def _no_agent_of_the_testers() -> Iterator[None]:
    """It may be gone, and then no program begins."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("SSH_AUTH_SOCK", raising=False)
        yield


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with running(Sshd()) as server:
        yield server


@pytest.fixture
def other(sshd: Sshd) -> Iterator[Sshd]:
    """Another machine, with the same login."""
    with running(Sshd(client_key=sshd.client_key)) as server:
        yield server


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[tuple[Part, str]]]]:
    """What is to be removed: the host and the entries. Mocks can't call back at an update."""
    asked: list[tuple[str, Sequence[tuple[Part, str]]]] = []

    def removal(host: str, ways: Sequence[Login], interface: str, entries: Any) -> None:  # noqa: ANN401
        assert [way.host for way in ways] == ["127.0.0.1"]
        assert interface == "wg0"
        asked.append((host, entries))

    monkeypatch.setattr(inspection, "removal", removal)
    return asked
