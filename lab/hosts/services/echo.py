"""Sends back what it gets, by TCP and UDP: echo.py PORT [ADDRESS] or echo.py FIRST-LAST [ADDRESS].

It listens at every address of the host, of both families, unless one is given.
A TCP connection is first greeted with one line, the visitor's address and port as seen here; the
answer to a UDP packet is that line followed by the packet.
"""

import selectors
import socket
import sys
from contextlib import suppress

_MOST = 65535


def main() -> None:
    """Serve for ever."""
    first, _, last = sys.argv[1].partition("-")
    addresses = sys.argv[2:] or ["0.0.0.0", "::"]  # noqa: S104  # the point of it
    waiting = selectors.DefaultSelector()
    for port in range(int(first), int(last or first) + 1):
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            udp = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.bind((address, port))
            waiting.register(udp, selectors.EVENT_READ, "udp")
            tcp = socket.create_server((address, port), family=family, backlog=128)
            waiting.register(tcp, selectors.EVENT_READ, "listener")
    print("ready", flush=True)  # whoever started it waits for this
    while True:
        for key, _events in waiting.select():
            listener = key.fileobj
            if not isinstance(listener, socket.socket):
                continue
            if key.data == "udp":
                data, visitor = listener.recvfrom(_MOST)
                with suppress(OSError):  # no way there
                    listener.sendto(_greeting(visitor) + data, visitor)
            elif key.data == "listener":
                connection, visitor = listener.accept()
                _greet(connection, visitor, waiting)
            else:
                _answer(listener, waiting)


def _greet(
    connection: socket.socket, visitor: tuple[str, int], waiting: selectors.BaseSelector
) -> None:
    try:
        connection.sendall(_greeting(visitor))
    except OSError:  # the visitor is gone, and all others stay
        connection.close()
    else:
        waiting.register(connection, selectors.EVENT_READ, "connection")


def _answer(connection: socket.socket, waiting: selectors.BaseSelector) -> None:
    try:
        data = connection.recv(_MOST)
        connection.sendall(data)
    except OSError:  # the visitor is gone
        data = b""
    if not data:
        waiting.unregister(connection)
        connection.close()


def _greeting(visitor: tuple[str, int]) -> bytes:
    return f"{visitor[0]} {visitor[1]}\n".encode()


if __name__ == "__main__":
    main()
