"""The event loop in which hosts are asked: it waits for no name server that says nothing."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_loop(asking: Coroutine[Any, Any, T]) -> T:
    """Runs it in a loop of its own, as `asyncio.run` does.

    That one ends, and so does the program, only when all names that it has ever asked for are
    found or given up by the system, which may take half a minute, whoever has long stopped
    waiting. And it asks for a few at a time, so that such a name keeps others waiting.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(asking)


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:  # noqa: ANN401 - as there
        found: Future[Any] = Future()
        found.set_running_or_notify_cancel()  # nothing stops it, it is only waited for no more

        def ask() -> None:
            try:
                found.set_result(socket.getaddrinfo(host, port, **how))
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                found.set_exception(error)

        threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
        return await asyncio.wrap_future(found, loop=self)
