"""A UDP socket in a person's hands: talk.py PORT.

Every line `ADDRESS PORT TEXT` on standard input is sent as a packet; every packet that comes is
printed as such a line. The first line printed is `ready`.
"""

import socket
import sys
import threading

_MOST = 65535


def main() -> None:
    """Talk until standard input ends."""
    talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    talker.bind(("0.0.0.0", int(sys.argv[1])))  # noqa: S104  # every address is the point
    threading.Thread(target=_listen, args=(talker,), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        address, port, text = line.rstrip("\n").split(" ", 2)
        talker.sendto(text.encode(), (address, int(port)))


def _listen(talker: socket.socket) -> None:
    while True:
        data, (address, port) = talker.recvfrom(_MOST)
        print(address, port, data.decode(), flush=True)


if __name__ == "__main__":
    main()
