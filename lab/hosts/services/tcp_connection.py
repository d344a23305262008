"""A TCP connection to an echo service, in a test's hands: tcp_connection.py ADDRESS PORT.

Prints the service's greeting, or `dead` if there is none. Then of every line `SECONDS TEXT` on
standard input the text is sent, and what comes back is printed; `dead` if nothing does in so many
seconds. A connection that is dead stays so.
"""

import socket
import sys

_PATIENCE = 10.0  # seconds in which a service greets


def main() -> None:
    """Send texts and print what comes back until standard input ends."""
    try:
        connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=_PATIENCE)
        stream = connection.makefile("rw")
        print(stream.readline().strip() or "dead", flush=True)
    except OSError:
        print("dead", flush=True)
        return
    for line in sys.stdin:
        seconds, _, text = line.partition(" ")
        connection.settimeout(float(seconds))
        try:
            stream.write(text)
            stream.flush()
            answer = stream.readline().strip() or "dead"
        except OSError:
            answer = "dead"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
