"""A stream of 50 UDP packets a second to an echo service: stream.py ADDRESS PORT.

Prints `flowing` once a first packet has come back, and gives up if none does. When standard input
ends, it waits for what is still under way and prints one line of JSON: `sent`, the number of
packets; `lost`, the numbers of those that never came back; `silence`, the longest time without one
that comes back, in seconds; `seen_as`, the addresses that the service saw.
"""

import json
import selectors
import socket
import sys
import time
from contextlib import suppress

_PAUSE = 0.02  # seconds between two packets: 50 a second
_FIRST = 0.2  # seconds between two attempts to get through at all
_PATIENCE = 10.0  # seconds in which a first packet comes back, and the last one
_LATE = 2.0  # seconds after the last one in which others may still come, by another path
_MOST = 65535


class Stream:
    """One stream. Packet 0 is the one that tries to get through, and does not count."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((address, port))
        self._events = selectors.DefaultSelector()
        self._events.register(self._socket, selectors.EVENT_READ)
        self._sent = 0
        self._missing: set[int] = set()
        self._sent_when_heard = 0
        self._unheard = 0
        self._seen_as: set[str] = set()

    def run(self) -> dict[str, object]:
        """Flow until standard input ends."""
        end = time.monotonic() + _PATIENCE
        while not self._seen_as:
            if time.monotonic() > end:
                sys.exit(f"no packet came back in {_PATIENCE:g} seconds")
            self._send(0)
            self._receive_until(time.monotonic() + _FIRST)
        print("flowing", flush=True)
        self._events.register(sys.stdin, selectors.EVENT_READ)
        following = time.monotonic()
        while not self._receive_until(following):
            self._sent += 1
            self._missing.add(self._sent)
            self._send(self._sent)
            # It makes up for a moment, but does not send in one go what it could not send while the
            # machine stood still.
            following = max(following + _PAUSE, time.monotonic() - _PAUSE)
        self._events.unregister(sys.stdin)
        end = time.monotonic() + _PATIENCE
        while self._missing and time.monotonic() < end:
            self._receive_until(min(end, time.monotonic() + _PAUSE))
            if self._sent not in self._missing:
                end = min(end, time.monotonic() + _LATE)
        self._receive_until(0.0)  # what came while it stood still
        self._end_silence()
        return {
            "sent": self._sent,
            "lost": sorted(self._missing),
            "silence": self._unheard * _PAUSE,
            "seen_as": sorted(self._seen_as),
        }

    def _send(self, number: int) -> None:
        with suppress(ConnectionError):  # the answer to an earlier one: nobody listens there
            self._socket.send(str(number).encode())

    def _receive_until(self, moment: float) -> bool:
        """Take in what comes until then; true at once when standard input has ended."""
        while True:
            ready = self._events.select(max(0.0, moment - time.monotonic()))
            if not ready:
                return False
            for key, _events in ready:
                if key.fileobj is not self._socket:
                    return True
                self._receive()

    def _receive(self) -> None:
        try:
            seen_as, _, number = self._socket.recv(_MOST).decode().partition("\n")
        except ConnectionError:
            return
        self._seen_as.add(seen_as.split()[0])
        self._missing.discard(int(number))
        self._end_silence()

    def _end_silence(self) -> None:
        # By packets: while the machine stood still none was sent, and none could come.
        self._unheard = max(self._unheard, self._sent - self._sent_when_heard)
        self._sent_when_heard = self._sent


def main() -> None:
    """Stream, and tell."""
    print(json.dumps(Stream(sys.argv[1], int(sys.argv[2])).run()), flush=True)


if __name__ == "__main__":
    main()
