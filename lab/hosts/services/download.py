"""A download that does not end by itself: download.py ADDRESS PORT RATE, with bytes a second.

Prints `flowing` once the first bytes are there, and gives up if none come. When standard input
ends, it waits for one more piece and prints one line of JSON: `bytes`, how many have come; `alive`,
whether that piece came.
"""

import json
import selectors
import socket
import sys

_ENDLESS = 1 << 40  # bytes; more than anybody waits for
_PATIENCE = 10.0  # seconds in which a download that is alive brings something
_MOST = 65536


class Download:
    """One connection to web.py."""

    def __init__(self, address: str, port: int, rate: int) -> None:
        self._connection = socket.create_connection((address, port), timeout=_PATIENCE)
        request = f"GET /bytes?n={_ENDLESS}&rate={rate} HTTP/1.1\r\nHost: {address}\r\n\r\n"
        self._connection.sendall(request.encode())
        self._count = 0
        self._alive = False

    def run(self) -> dict[str, object]:
        """Flow until standard input ends."""
        if not self._receive():
            sys.exit(f"nothing came in {_PATIENCE:g} seconds")
        print("flowing", flush=True)
        events = selectors.DefaultSelector()
        events.register(sys.stdin, selectors.EVENT_READ)
        events.register(self._connection, selectors.EVENT_READ)
        while not any(key.fileobj is sys.stdin for key, _events in events.select()):
            if not self._receive():
                events.unregister(self._connection)
        # What has come already says nothing about being alive.
        while self._alive and self._is_readable(0):
            self._receive()
        alive = self._alive and self._is_readable(_PATIENCE) and self._receive()
        return {"bytes": self._count, "alive": alive}

    def _is_readable(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as one:
            one.register(self._connection, selectors.EVENT_READ)
            return bool(one.select(seconds))

    def _receive(self) -> bool:
        try:
            size = len(self._connection.recv(_MOST))
        except OSError:
            size = 0
        self._count += size
        self._alive = size > 0
        return self._alive


def main() -> None:
    """Download, and tell."""
    address, port, rate = sys.argv[1:]
    print(json.dumps(Download(address, int(port), int(rate)).run()), flush=True)


if __name__ == "__main__":
    main()
