"""Whether a public port answers, asked from the machine that runs the command."""

import asyncio
from contextlib import suppress

from reach import most_telling

_WAIT = 5.0  # seconds; a visitor far away takes less than one


async def answer_of(host: str, port: int) -> str:
    """How a TCP port takes a connection, which ends at once: `answers`, `refuses` or `silent`."""
    try:
        async with asyncio.timeout(_WAIT):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:  # a time-out is one, too
        return "refuses" if isinstance(most_telling(error), ConnectionRefusedError) else "silent"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return "answers"
