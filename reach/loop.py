"""The event loop in which hosts are asked: it waits for nobody who says nothing.

Neither for a name server, nor for one address of a name that has more.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_NEXT_ADDRESS_AFTER = 0.25
"""Seconds until the next address of a name is tried, beside the one before (RFC 8305)."""


def run_in_loop(asking: Coroutine[Any, Any, T]) -> T:
    """Runs it in a loop of its own, as `asyncio.run` does.

    That one ends, and so does the program, only when all names that it has ever asked for are
    found or given up by the system, which may take half a minute, whoever has long stopped
    waiting. And it asks for a few at a time, so that such a name keeps others waiting.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(asking)


def run_beside(asking: Coroutine[Any, Any, T]) -> T:
    """Runs it in such a loop, where another loop may be running already, as in a Pulumi program."""
    return _by_thread("ask hosts", partial(run_in_loop, asking)).result()


async def in_loop(asking: Coroutine[Any, Any, T]) -> T:
    """Waits for it in whatever loop, while it runs in such a one.

    The Pulumi SDK's own loop has a few threads for what blocks, and each resource that is being
    registered has one of them. Whoever asks a host there, while the engine waits for the answer
    before it registers, may wait for such a thread for ever: a name look-up needs one.
    """
    if isinstance(asyncio.get_running_loop(), _Loop):
        return await asking
    return await asyncio.wrap_future(_by_thread("ask a host", partial(run_in_loop, asking)))


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:  # noqa: ANN401 - as there
        looked_up = _by_thread(f"look up {host}", partial(socket.getaddrinfo, host, port, **how))
        return await asyncio.wrap_future(looked_up, loop=self)

    async def create_connection(self, *to: Any, **how: Any) -> Any:  # noqa: ANN401 - as there
        # Addresses of IPv6 come first; where a network drops it, all patience would go to them.
        how.setdefault("happy_eyeballs_delay", _NEXT_ADDRESS_AFTER)
        return await super().create_connection(*to, **how)


def _by_thread(name: str, call: Callable[[], T]) -> Future[T]:
    """What it returns, or raises, in a thread of its own, which keeps no program from its end."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # nothing stops it, it is only waited for no more

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done
