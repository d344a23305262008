"""Single questions to the network; `eventually` asks again where that is due.

Who asks once for an answer that must come has LASTING patience, which costs nothing then.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lab.hosts.host import Host
from tests.support import eventually

VPS = "203.0.113.10"

SHORT = 3  # seconds until no answer counts as none
LASTING = 10  # the same on a machine that is busy with other things
_LONG = 60.0  # seconds
_ASK_BY_UDP = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
asking = socket.socket(family, socket.SOCK_DGRAM)
asking.settimeout(1)
asking.connect((sys.argv[1], int(sys.argv[2])))
for _ in range(int(sys.argv[3])):
    try:
        asking.send(b"hello")
        print(asking.recv(1000).decode())
        break
    except TimeoutError:
        pass
else:
    sys.exit(1)
"""
_TUNNEL_FILE = "/etc/wireguard/wg0.conf"


def page(visitor: Host, address: str, patience: int = SHORT) -> str | None:
    """What the web server at `HOST:PORT` answers; None if nothing answers."""
    done = visitor.run(
        ["curl", "--silent", "--max-time", str(patience), f"http://{address}/"], check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def greeting(visitor: Host, address: str, port: int, patience: int = SHORT) -> str | None:
    """The address that an echo service sees, asked by TCP; None if nothing answers."""
    # -d: nothing is sent; what the service says first is enough.
    done = visitor.run(f"timeout {patience} nc -d {address} {port} | head -n 1", check=False)
    return done.stdout.split()[0] if done.stdout.strip() else None


def udp_greeting(visitor: Host, address: str, port: int, patience: int = SHORT) -> str | None:
    """The address that an echo service sees, asked by UDP; None if nothing answers.

    One flow of several packets: any network may lose one. No answer means that none got through.
    """
    words = ["python3", "-c", _ASK_BY_UDP, address, str(port), str(patience)]
    done = visitor.run(words, check=False)
    return done.stdout.split()[0] if done.returncode == 0 else None


def pings(visitor: Host, address: str, patience: int = SHORT) -> bool:
    """Whether the address answers one of several pings, a second apart."""
    return visitor.run(["ping", "-c1", "-w", str(patience), address], check=False).returncode == 0


def advertised_address(host: Host) -> str:
    """The IPv6 address that a host has by advertisement, as soon as it has it."""
    words = "ip -6 -o address show scope global dynamic -tentative"
    said = eventually(lambda: host.run(words).stdout, _LONG, f"no IPv6 at {host.name}")
    return said.split()[3].partition("/")[0]


@contextmanager
def tunnel_of_a_client(client: Host, config: str) -> Iterator[None]:
    """A client device with its WireGuard file in use, by the usual tool; it has shaken hands."""
    client.write(_TUNNEL_FILE, config, 0o600)
    handshakes = "wg show wg0 latest-handshakes | grep -v '\t0$'"
    try:
        client.run("wg-quick up wg0")
        eventually(lambda: client.run(handshakes, check=False).stdout, _LONG, "no handshake")
        yield
    finally:
        client.run(f"wg-quick down wg0; rm -f {_TUNNEL_FILE}", check=False)
