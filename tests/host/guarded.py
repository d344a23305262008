"""A VPS to be guarded: SSH on it, two peers, a visitor outside, and a service behind everything.

client 198.51.100.10 ---- internet ---- 203.0.113.10, fd00:113::10 vps (ens6)
                             |  |               .. tunnel 172.16.0.0/24
               server 172.16.0.4  laptop 172.16.0.10
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.host.machine import Machine, Result
from tests.host.tunnel import Tunnel
from tests.host.world import _ECHO, VPS, World, world
from tests.support import SSH_PROXY

LAPTOP = "172.16.0.10"
INSIDE = "172.16.0.1"
VPS6 = "fd00:113::10"
PROXY_PORT = 2222

SSH = (
    "ssh -F none -i /root/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    " -o LogLevel=ERROR -o BatchMode=yes -o ConnectTimeout=10"
)


# Listens at a port, has a connection to itself, and a name; and then becomes another program with
# all of that, if there is one among its arguments. It ends with its input.
_IMPOSTER = """
import os, socket, sys
port, name, *program = sys.argv[1:]
listener = socket.create_server(("0.0.0.0", int(port)))
near = socket.create_connection(("127.0.0.1", int(port)))
far, _ = listener.accept()
open("/proc/self/comm", "w").write(name)
print("ready", flush=True)
if program:
    listener.set_inheritable(True)
    os.execv(*program, program)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Guarded:
    """The machines, and how one logs in to the VPS.

    Attributes:
        world: client, internet, VPS and server.
        laptop: the other peer.
    """

    world: World
    laptop: Machine

    @property
    def vps(self) -> Tunnel:
        """The tunnel's end that is guarded."""
        return self.world.vps

    @property
    def client(self) -> Machine:
        """A visitor, who has the key, too."""
        return self.world.client

    def login(  # noqa: PLR0913 - the parts of a login
        self,
        command: str,
        *,
        stdin: str = "",
        port: int = 22,
        to: str = f"root@{VPS}",
        by: Machine | None = None,
        check: bool = True,
    ) -> Result:
        """Log in to the VPS anew, and run a line of bash there."""
        line = f"{SSH} -p {port} {to} {shlex.quote(command)}"
        return (by or self.client).run(line, stdin=stdin, check=check)

    def lets_in(self, port: int = 22) -> bool:
        """Whether a new login gets through."""
        return self.login("true", port=port, check=False).status == 0

    def verb(self, verb: str, *, wait: float = 60, crash_at: str | int = "") -> str:
        """The words that call a verb, with the seconds that a trial lasts."""
        variables = f"RT_FIREWALL_WAIT={wait:g} RT_CRASH_AT={crash_at}"
        return f"{variables} {self.vps.line(verb)}"

    def guard(self, text: str) -> None:
        """Put the firewall into force and keep it, by two logins, as `up` does."""
        self.login(self.verb("put-firewall"), stdin=text)
        self.login(self.verb("confirm-firewall"), stdin=text)

    @contextmanager
    def imposter(self, *words: str) -> Iterator[None]:
        """Let somebody who is not root run such a program: its port, name, and what it becomes."""
        line = f"exec setpriv --reuid=hex --regid=hex --clear-groups python3 -c '{_IMPOSTER}' "
        process = self.vps.machine.start(line + shlex.join(words))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.communicate()

    def state(self) -> str:
        """none, pending or kept."""
        (state,) = self.vps.told("firewall")
        return state


def guards(machine: Machine) -> list[str]:
    """The rules of every firewall of ours, of both families, with their jumps."""
    saved = machine.run("iptables-save -t mangle; ip6tables-save -t mangle").stdout
    lines = [line for line in saved.splitlines() if line.startswith("-A")]
    return [line for line in lines if "-in" in line or "-through" in line]


def serve(machine: Machine, port: int) -> None:
    """Start the service that tells callers their address; it ends with the machine."""
    process = machine.start(f"exec python3 -c '{_ECHO}' {port} 0.0.0.0")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@contextmanager
def guarded() -> Iterator[Guarded]:
    """Everything up, and no firewall yet."""
    with world() as ends, Machine() as laptop:
        laptop.join(ends.internet, "eth0 192.0.3.10/24", "laptop 192.0.3.1/24")
        laptop.run("ip route add default via 192.0.3.1")
        _join_the_tunnel(ends, laptop)
        ends.vps.machine.run(f"ip -6 addr add {VPS6}/64 dev ens6 nodad")
        ends.internet.run("ip -6 addr add fd00:113::1/64 dev vps nodad")
        _open_ssh(ends, laptop)
        proxy = ends.vps.machine.start(f"exec python3 -c '{SSH_PROXY}' {PROXY_PORT}")
        assert proxy.stdout is not None
        assert proxy.stdout.readline() == "ready\n"
        for machine, port in (
            (ends.vps.machine, 9000),
            (ends.vps.machine, 9001),
            (ends.server.machine, 9000),
            (ends.server.machine, 9001),
            (laptop, 9000),
        ):
            serve(machine, port)
        ends.vps.put("web", "tcp 80 -> 172.16.0.4:9000")
        yield Guarded(ends, laptop)


def _join_the_tunnel(ends: World, laptop: Machine) -> None:
    peer = Tunnel(laptop)
    peer.install()
    key = peer.set_key()
    ends.vps.call("put-peer laptop", stdin=f"public-key {key}\nallowed-ips {LAPTOP}/32\n")
    vps_key = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
    peer.call("interface", stdin=peer.server_settings(f"{LAPTOP}/24", vps_key, f"{VPS}:51820"))
    ends.vps.call("wait-handshake", stdin=f"peer laptop {key}\nendpoint {VPS}:51820\n")


def _open_ssh(ends: World, laptop: Machine) -> None:
    machine = ends.vps.machine
    machine.run(
        "mkdir -p /run/sshd /root/.ssh; ssh-keygen -qA; ssh-keygen -qt ed25519 -N '' -f /tmp/key"
        " && cp /tmp/key.pub /root/.ssh/authorized_keys && chmod -R go= /root/.ssh"
    )
    # Somebody who needs sudo, which forgets where a login came from.
    machine.run(
        "useradd -m -p '*' hex && cp -r /root/.ssh ~hex && chown -R hex: ~hex"
        " && echo 'hex ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/hex"
    )
    key = machine.read("/tmp/key")
    for each in (ends.client, ends.internet, ends.server.machine, laptop):
        each.run("umask 077; cat >/root/key", stdin=key)
    machine.run("/usr/sbin/sshd -o UsePAM=no")
