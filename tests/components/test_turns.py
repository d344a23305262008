"""However many resources Pulumi makes at once, a host has a few logins at a time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pytest

from components import ReverseTunnel
from components.turns import AT_ONCE, Turns
from tests.components.recording import Recording, deploy
from tests.components.samples import example

MANY = {f"f{n}": {"port": 10000 + n, "to": "homelab:8080"} for n in range(3 * AT_ONCE)}
LONG = 30.0  # seconds
A_MOMENT = 0.3  # seconds in which one too many would come


class Crowd:
    """Commands that are made at the same time: none ends before as many have come as may."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._here = 0
        self.most = 0

    @contextmanager
    def _among_them(self) -> Iterator[None]:
        with self._changed:
            self._here += 1
            self.most = max(self.most, self._here)
            self._changed.notify_all()
            yield
            self._here -= 1

    def come(self, name: str) -> None:
        """Called while the command of that name is made."""
        if name in MANY:
            with self._among_them():
                self._changed.wait_for(lambda: self.most >= AT_ONCE, LONG)
                self._changed.wait_for(lambda: self.most > AT_ONCE, A_MOMENT)


def test_so_many_commands_of_a_host_are_under_way_and_no_more() -> None:
    crowd = Crowd()

    def program() -> dict[str, pulumi.Output[Any]]:
        ReverseTunnel("home", example({"forwards": MANY}))
        return {}

    recording = deploy(program, recording=Recording(during_command=crowd.come))
    assert crowd.most == AT_ONCE
    assert {each.name for each in recording.commands} >= {*MANY}


class _SlowServer(Crowd):
    """Beside them a server, which is not set up before as many have come as may."""

    came_meanwhile = False

    def come(self, name: str) -> None:
        if name == "homelab-interface":  # what is behind it comes when the peers are through
            time.sleep(A_MOMENT)
        if name == "attic-interface":
            with self._changed:
                self.came_meanwhile = self._changed.wait_for(lambda: self.most >= AT_ONCE, LONG)
        super().come(name)


def test_who_waits_for_a_slow_servers_handshake_keeps_nobody_waiting_meanwhile() -> None:
    crowd = _SlowServer()
    behind = {name: {**each, "to": "192.168.1.30:8080"} for name, each in MANY.items()}

    def program() -> dict[str, pulumi.Output[Any]]:
        changes = {"forwards": behind, "servers.homelab.networks": ["192.168.1.0/24"]}
        ReverseTunnel("home", example(changes))
        return {}

    recording = deploy(program, recording=Recording(during_command=crowd.come))
    assert crowd.came_meanwhile
    assert "handshake" in {each.name for each in recording.commands}


class _Urn:
    """That of a command which is made, or fails, when it is told; all that is known of it."""

    def __init__(self) -> None:
        self.made: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def future(self) -> asyncio.Future[str]:
        return self.made


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "is made"])
def test_the_next_has_its_turn_when_one_is_made_or_fails_and_not_before(*, fails: bool) -> None:
    async def run() -> None:
        turns, urn = Turns(), _Urn()
        command = cast("pulumi.Resource", SimpleNamespace(urn=urn))
        for _ in range(AT_ONCE):
            await turns.wait(value=0, after=[])
            turns.end_with(command)
        waiting = turns.wait(value=7, after=[])
        done, _ = await asyncio.wait([waiting], timeout=A_MOMENT)
        assert not done
        if fails:
            urn.made.set_exception(ConnectionError("failed"))
        else:
            urn.made.set_result("urn")
        assert await asyncio.wait_for(waiting, LONG) == 7

    asyncio.run(run())


def test_what_is_urgent_comes_before_all_that_wait() -> None:
    """A firewall is in force for a minute, and kept by a second command: behind hundreds of
    forwards that would come too late."""

    async def run() -> None:
        turns, urn = Turns(), _Urn()
        for _ in range(AT_ONCE):
            await turns.wait(value=0, after=[])
        turns.end_with(cast("pulumi.Resource", SimpleNamespace(urn=urn)))
        others = [turns.wait(value=1, after=[]) for _ in range(3)]
        done, _ = await asyncio.wait(others, timeout=A_MOMENT)
        assert not done
        kept = turns.wait(value=7, after=[], urgent=True)
        done, _ = await asyncio.wait([kept], timeout=A_MOMENT)
        assert not done, "no more than so many at once, for whatever"
        urn.made.set_result("urn")
        assert await asyncio.wait_for(kept, LONG) == 7
        assert not any(each.done() for each in others)

    asyncio.run(run())


def test_what_waits_for_another_takes_no_turn() -> None:
    """Else those that wait could keep the one from being made that they wait for."""

    async def run() -> None:
        turns, urn = Turns(), _Urn()
        first = cast("pulumi.Resource", SimpleNamespace(urn=urn))
        waiting = [turns.wait(value=0, after=[first.urn]) for _ in range(AT_ONCE)]
        assert await asyncio.wait_for(turns.wait(value=7, after=[]), LONG) == 7
        turns.end_with(first)
        urn.made.set_result("urn")
        await asyncio.wait_for(asyncio.gather(*waiting), LONG)

    asyncio.run(run())


def test_what_fails_before_its_turn_gives_back_no_more_than_it_takes() -> None:
    """Pulumi asks for no input of a command whose dependency has failed."""

    async def run() -> None:
        turns = Turns()
        for _ in range(2 * AT_ONCE):
            urn = _Urn()
            turns.wait(value=0, after=[cast("pulumi.Output[str]", urn)])
            turns.end_with(cast("pulumi.Resource", SimpleNamespace(urn=urn)))
            urn.made.set_exception(ConnectionError("failed"))
        for _ in range(AT_ONCE):
            await asyncio.wait_for(turns.wait(value=0, after=[]), LONG)
        done, _ = await asyncio.wait([turns.wait(value=7, after=[])], timeout=A_MOMENT)
        assert not done

    asyncio.run(run())
