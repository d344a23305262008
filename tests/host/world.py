"""A small internet: a visitor, a VPS and a server at home, and a router that translates nothing.

    client 198.51.100.10 ---- internet ---- 203.0.113.10 vps (ens6)
                                 |                 .. tunnel 172.16.0.0/24
                                 +--------- 192.0.2.20 server

The server could answer the client directly, by its own line: whether it does is what is tested.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.host.machine import Machine
from tests.host.tunnel import Tunnel

if TYPE_CHECKING:
    from subprocess import Popen

CLIENT = "198.51.100.10"
VPS = "203.0.113.10"
SERVER = "172.16.0.4"
HOME = "192.0.2.20"  # the server's, on its own line

# A service that tells each caller the address it sees, by both protocols, and says who called.
_ECHO = """
import socket, sys, threading
port, address = int(sys.argv[1]), "".join(sys.argv[2:])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
def tcp():
    listener = socket.create_server((address, port), family=family)
    listener.listen(50)
    while True:
        threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
def serve(peer, address):
    with peer:
        while peer.recv(100):
            peer.sendall(f"{address[0]}\\n".encode())
threading.Thread(target=tcp, daemon=True).start()
udp = socket.socket(family, socket.SOCK_DGRAM)
if family == socket.AF_INET6:
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
udp.bind((address, port))
print("ready", flush=True)
while True:
    _, peer = udp.recvfrom(100)
    try:
        udp.sendto(f"{peer[0]}\\n".encode(), peer)
    except OSError:  # no way there
        pass
"""

# One caller: a line in, a line out, "-" if no answer came in time.
_CALLER = """
import select, socket, sys
protocol, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
caller = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
# Of UDP it is half of that: nobody but us repeats a packet that got lost.
caller.settimeout(5 if protocol == "tcp" else 2.5)
if sys.argv[4:]:
    caller.bind((sys.argv[4], int(sys.argv[5])))
try:
    caller.connect((host, port))
except OSError as error:
    print("refused" if isinstance(error, ConnectionRefusedError) else "-", flush=True)
    sys.exit()
print("connected", flush=True)
for line in sys.stdin:
    try:
        # The answer to an earlier question, which came late.
        while protocol == "udp" and select.select([caller], [], [], 0)[0]:
            caller.recv(100)
        caller.send(b"?")
        try:
            answer = caller.recv(100)
        except TimeoutError:
            if protocol == "tcp":
                raise
            caller.send(b"?")
            answer = caller.recv(100)
        print(answer.decode().strip() or "closed", flush=True)
    except TimeoutError:
        print("-", flush=True)
    except OSError:
        print("closed", flush=True)
"""


GONE = {"-", "closed"}
"""What a connection that was open says, once it is over."""

SHUT = {"-", "closed", "refused"}
"""What one that never came about says."""


class Call:
    """A connection that stays open, from a machine to an address; `by` an address and a port."""

    def __init__(self, machine: Machine, protocol: str, host: str, port: int, by: str = "") -> None:
        words = f"exec python3 -c '{_CALLER}' {protocol} {host} {port} {by}"
        self._process = machine.start(words)
        self.state = self._line()

    def ask(self) -> str:
        """Whom the far end sees; "-" without an answer, "closed" if it ended the connection."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """Hang up."""
        self._process.communicate()


def call(machine: Machine, protocol: str, host: str, port: int) -> str:
    """One question and its answer; the state if there was no connection."""
    caller = Call(machine, protocol, host, port)
    answer = caller.ask() if caller.state == "connected" else caller.state
    caller.end()
    return answer


def serve(machine: Machine, port: int, address: str = "") -> None:
    """Start the service on a machine, with which it ends; on all its addresses or this one.

    `::` means all those of IPv6.
    """
    _start_service(machine, port, address)


@contextmanager
def served(machine: Machine, port: int, address: str = "") -> Iterator[None]:
    """The same for a while."""
    process = _start_service(machine, port, address)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def _start_service(machine: Machine, port: int, address: str) -> "Popen[str]":
    process = machine.start(f"exec python3 -c '{_ECHO}' {port} {address}")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@dataclass(frozen=True)
class World:
    """The machines, and the tunnel's two ends."""

    client: Machine
    internet: Machine
    vps: Tunnel
    server: Tunnel

    def serve(self, port: int, address: str = "") -> None:
        """Start the service on the server, on all its addresses or this one."""
        serve(self.server.machine, port, address)


@contextmanager
def world() -> Iterator[World]:
    """The world with its tunnel up and no forward yet."""
    with ExitStack() as stack:
        client, internet, vps, server = (stack.enter_context(Machine()) for _ in range(4))
        vps.join(internet, f"ens6 {VPS}/24", "vps 203.0.113.1/24")
        client.join(internet, f"eth0 {CLIENT}/24", "client 198.51.100.1/24")
        server.join(internet, "eth0 192.0.2.20/24", "home 192.0.2.1/24")
        internet.run("sysctl -qw net.ipv4.ip_forward=1")
        for machine, router in (
            (client, "198.51.100.1"),
            (vps, "203.0.113.1"),
            (server, "192.0.2.1"),
        ):
            machine.run(f"ip route add default via {router}")
        ends = World(client, internet, Tunnel(vps), Tunnel(server))
        vps_key = ends.vps.set_up_vps()
        ends.server.install()
        server_key = ends.server.set_key()
        # The peer before its server, whose first try would else be lost, and the next 5 s later.
        peer = f"public-key {server_key}\nallowed-ips {SERVER}/32\n"
        ends.vps.call("put-peer homelab", stdin=peer)
        lines = ends.server.server_settings(f"{SERVER}/24", vps_key, f"{VPS}:51820")
        ends.server.call("interface", stdin=lines)
        ends.vps.call("wait-handshake", stdin=f"peer homelab {server_key}\nendpoint {VPS}:51820\n")
        yield ends
