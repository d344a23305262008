"""TLS with a ClientHello that fills more than one packet, as browsers' have by now.

    tls.py serve PORT                      a server with a key made now, that greets with `hello`
    tls.py hello ADDRESS PORT SECONDS      one visit to it, until so many bring nothing

The visit prints one line of JSON: `client_hello`, the bytes of its first flight; `greeted`, whether
it came to the greeting.
"""

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

_PATIENCE = 10.0  # seconds after which a visitor who says nothing is gone
_PROTOCOLS = [f"protocol-{number:03d}" for number in range(140)]  # 13 bytes each, on the wire
_MOST = 65536


def _serve(port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key"), Path(folder, "certificate")
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=lab"
        made = [*words.split(), "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(made, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    print("ready", flush=True)  # whoever started it waits for this
    while True:
        connection, _ = listener.accept()
        # Each by itself: one whose packets vanish keeps nobody waiting.
        threading.Thread(target=_greet, args=(context, connection), daemon=True).start()


def _greet(context: ssl.SSLContext, connection: socket.socket) -> None:
    connection.settimeout(_PATIENCE)
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(b"hello")
    except OSError:  # the visitor is gone
        connection.close()


def _visit(address: str, port: int, patience: float) -> dict[str, object]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(_PROTOCOLS)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=f"{'long' * 15}.example.org")
    client_hello = 0
    greeting = b""
    try:
        with socket.create_connection((address, port), timeout=patience) as connection:
            while not greeting:
                try:
                    session.do_handshake()
                    greeting = session.read(_MOST)
                except ssl.SSLWantReadError:
                    flight = outgoing.read()
                    client_hello = client_hello or len(flight)
                    connection.sendall(flight)
                    received = connection.recv(_MOST)
                    if not received:  # the server has lost patience first
                        break
                    incoming.write(received)
    except OSError:
        pass
    return {"client_hello": client_hello, "greeted": greeting == b"hello"}


def main() -> None:
    """Serve, or visit and tell."""
    what, *words = sys.argv[1:]
    if what == "serve":
        _serve(int(words[0]))
    print(json.dumps(_visit(words[0], int(words[1]), float(words[2]))), flush=True)


if __name__ == "__main__":
    main()
