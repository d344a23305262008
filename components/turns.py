"""Turns: how many commands of one host are under way at once, whatever `--parallel` says.

Pulumi makes four resources at a time for each processor of the operator's machine, and each
command is a login: on a large machine dozens, of 2 MB and more each, on a VPS that has 512.

Only what the program registers can be held back. Deletes are the engine's own; a `destroy` has one
for each host.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import pulumi

T = TypeVar("T")

AT_ONCE = 7
"""A dozen more connections are open at most, since each ends a moment after its command.
More would gain nothing: on the host one waits for the other."""


class Turns:
    """The commands of one host, of which few are under way at the same time."""

    def __init__(self) -> None:
        self._free = AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ends: set[asyncio.Future[None]] = set()  # else nobody would hold them

    def wait(
        self, value: T, after: Iterable[pulumi.Output[Any]], *, urgent: bool = False
    ) -> "asyncio.Future[T]":
        """Give an input of a command, when it is its turn; `end_with` must follow.

        Args:
            value: the input's.
            after: what the command waits for besides: it must not take a turn meanwhile.
            urgent: whether it then comes before all that wait, of which there may be hundreds.
        """
        # A future: the turn is taken, and so may be ended, even if nobody comes to wait for it.
        return asyncio.ensure_future(self._wait(value, after, urgent=urgent))

    async def _wait(self, value: T, after: Iterable[pulumi.Output[Any]], *, urgent: bool) -> T:
        for late in after:
            with suppress(Exception):  # whatever it fails with, Pulumi says it
                await late.future()
        if self._free:
            self._free -= 1
            return value
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if urgent else self._waiting.append)(turn)
        await turn
        return value

    def end_with(self, command: pulumi.Resource) -> None:
        """The command whose turn it is; what waits is next when it is done, or has failed."""
        end = asyncio.ensure_future(self._end_with(command))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    async def _end_with(self, command: pulumi.Resource) -> None:
        with suppress(Exception):
            await command.urn.future()
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._free += 1
