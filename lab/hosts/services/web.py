"""A web page that says who asked: web.py PORT NAME.

    GET /                      one line: NAME, PORT and the visitor's address as seen here
    GET /bytes?n=N&rate=R      N bytes, R bytes a second (default: as fast as it goes)

Every request is a line in /var/log/lab-web-PORT.log: the visitor's address, then the request.
"""

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_STEP = 0.1  # seconds between two pieces of a slow download
_PIECE = 65536  # bytes written at once of a fast one


class Page(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    name: str
    port: int
    log: Path

    def do_GET(self) -> None:
        """Serve a request."""
        parts = urlsplit(self.path)
        if parts.path == "/bytes":
            query = parse_qs(parts.query)
            self._send_bytes(int(query["n"][0]), int(query.get("rate", ["0"])[0]))
            return
        body = f"{self.name}:{self.port} sees you as {self._visitor()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_bytes(self, count: int, rate: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(count))
        self.end_headers()
        piece = max(1, int(rate * _STEP)) if rate else _PIECE
        while count:
            size = min(piece, count)
            self.wfile.write(b"x" * size)
            count -= size
            if rate:
                time.sleep(_STEP)

    def _visitor(self) -> str:
        # A listener for both families shows IPv4 addresses in the guise of IPv6.
        return str(self.client_address[0]).removeprefix("::ffff:")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """One line per request."""
        with self.log.open("a") as log:
            log.write(f"{self._visitor()} {format % args}\n")


class Server(ThreadingHTTPServer):
    """Takes a burst of visitors, of both families."""

    address_family = socket.AF_INET6
    request_queue_size = 256
    daemon_threads = True

    def server_bind(self) -> None:
        """Listen at every address."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    """Serve for ever."""
    Page.port, Page.name = int(sys.argv[1]), sys.argv[2]
    Page.log = Path(f"/var/log/lab-web-{Page.port}.log")
    Server(("", Page.port), Page).serve_forever()


if __name__ == "__main__":
    main()
