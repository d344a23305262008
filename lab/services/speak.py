"""A TCP connection to an echo service, in a person's hands: speak.py ADDRESS PORT.

Prints the service's greeting. Then every line on standard input is sent, and what comes back is
printed; `dead` if nothing does. A connection that is dead stays so.
"""

import socket
import sys

_PATIENCE = 2.0  # seconds in which a connection that is alive answers


def main() -> None:
    """Speak until standard input ends."""
    try:
        connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=_PATIENCE)
        stream = connection.makefile("rw")
        print(stream.readline().strip() or "dead", flush=True)
    except OSError:
        print("dead", flush=True)
        return
    for line in sys.stdin:
        try:
            stream.write(line)
            stream.flush()
            answer = stream.readline().strip() or "dead"
        except OSError:
            answer = "dead"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
