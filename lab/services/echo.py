"""Sends back what it gets, by TCP and UDP: echo.py PORT [ADDRESS] or echo.py FIRST-LAST [ADDRESS].

It listens at every address of the host unless one is given.
A TCP connection is first greeted with one line, the visitor's address and port as seen here; the
answer to a UDP packet is that line followed by the packet.
"""

import selectors
import socket
import sys

_MOST = 65535


def main() -> None:
    """Serve for ever."""
    first, _, last = sys.argv[1].partition("-")
    address = sys.argv[2] if sys.argv[2:] else "0.0.0.0"  # noqa: S104  # the point of it
    waiting = selectors.DefaultSelector()
    for port in range(int(first), int(last or first) + 1):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, port))
        waiting.register(udp, selectors.EVENT_READ, "udp")
        tcp = socket.create_server((address, port), backlog=128)
        waiting.register(tcp, selectors.EVENT_READ, "listener")
    print("ready", flush=True)  # whoever started it waits for this
    while True:
        for key, _events in waiting.select():
            listener = key.fileobj
            if not isinstance(listener, socket.socket):
                continue
            if key.data == "udp":
                data, visitor = listener.recvfrom(_MOST)
                listener.sendto(_greeting(visitor) + data, visitor)
            elif key.data == "listener":
                connection, visitor = listener.accept()
                connection.sendall(_greeting(visitor))
                waiting.register(connection, selectors.EVENT_READ, "connection")
            else:
                _answer(listener, waiting)


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
