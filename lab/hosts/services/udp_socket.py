"""A UDP socket in a test's hands: udp_socket.py PORT.

Every line `ADDRESS PORT TEXT` on standard input is sent as a packet; every packet that comes is
printed as such a line. The first line printed is `ready`.
"""

import socket
import sys
import threading

_MOST = 65535


def main() -> None:
    """Send and print packets until standard input ends."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", int(sys.argv[1])))  # noqa: S104  # every address is the point
    threading.Thread(target=_print_packets, args=(udp,), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        address, port, text = line.rstrip("\n").split(" ", 2)
        udp.sendto(text.encode(), (address, int(port)))


def _print_packets(udp: socket.socket) -> None:
    while True:
        data, (address, port) = udp.recvfrom(_MOST)
        print(address, port, data.decode(), flush=True)


if __name__ == "__main__":
    main()
