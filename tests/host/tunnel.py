"""One tunnel on a test machine, called as the stack calls it: by the helper's verbs."""

import re
from dataclasses import dataclass

from tests.host.machine import Machine, Result, helper_text

VPS_SETTINGS = """\
owner {owner}
role vps
address {address}
listen-port {port}
public-interface ens6
mtu 1420
"""

SERVER_SETTINGS = """\
owner {owner}
role server
address {address}
mtu 1420
peer-public-key {peer_key}
peer-address {peer_address}
peer-endpoint {endpoint}
keepalive 25
"""

REFUSED = 32
KILLED = 137


@dataclass(frozen=True)
class Tunnel:
    """A tunnel by its interface's name, and the stack that it belongs to."""

    machine: Machine
    name: str = "wg0"
    owner: str = "reverse-tunnel/home"

    @property
    def folder(self) -> str:
        """Where this tunnel's copy of the helper lies."""
        return f"/usr/local/lib/reverse-tunnel/{self.name}"

    @property
    def files(self) -> str:
        """The tunnel's files, the truth from which everything else is derived."""
        return f"/etc/reverse-tunnel/{self.name}"

    def install(
        self,
        packages: str = "install",
        *,
        claimant: str = "",
        text: str | None = None,
        crash_at: str | int = "",
        check: bool = True,
    ) -> Result:
        """Install the helper, by the words of the contract."""
        line = f"umask 077; mkdir -p {self.folder} && cat >{self.folder}/incoming && "
        line += f"bash {self.folder}/incoming 1 install {self.owner} {packages} {claimant}"
        env = {"RT_CRASH_AT": str(crash_at)}
        return self.machine.run(line, stdin=text or helper_text(), env=env, check=check)

    def line(self, words: str) -> str:
        """What calls a verb, in a line of bash."""
        return f"{self.folder}/reverse-tunnel 1 {words}"

    def call(
        self,
        words: str,
        *,
        stdin: str = "",
        crash_at: str | int = "",
        env: dict[str, str] | None = None,
        check: bool = True,
    ) -> Result:
        """Call a verb, with its arguments; killed at a step by its name or number."""
        given = {"RT_CRASH_AT": str(crash_at), **(env or {})}
        return self.machine.run(self.line(words), stdin=stdin, env=given, check=check)

    def set_key(self) -> str:
        """Give the host a fresh private key; its public key."""
        private = self.machine.run("wg genkey").stdout
        self.call("key", stdin=private)
        return self.machine.run("wg pubkey", stdin=private).stdout.strip()

    def set_up_vps(self, address: str = "172.16.0.1/24", port: int = 51820) -> str:
        """From nothing to a running VPS without peers and forwards; its public key."""
        self.install()
        key = self.set_key()
        self.call("interface", stdin=self.vps_settings(address, port))
        return key

    def vps_settings(self, address: str = "172.16.0.1/24", port: int = 51820) -> str:
        """What the stack sends for a VPS."""
        return VPS_SETTINGS.format(owner=self.owner, address=address, port=port)

    def server_settings(self, address: str, peer_key: str, endpoint: str) -> str:
        """What the stack sends for a server."""
        return SERVER_SETTINGS.format(
            owner=self.owner,
            address=address,
            peer_key=peer_key,
            peer_address=f"{address.rpartition('.')[0]}.1",
            endpoint=endpoint,
        )

    def put(self, name: str, line: str, *, crash_at: str | int = "", check: bool = True) -> Result:
        """Create or change a forward."""
        return self.call(f"put-forward {name}", stdin=line + "\n", crash_at=crash_at, check=check)

    def remove(self, name: str, *, crash_at: str | int = "", check: bool = True) -> Result:
        """Remove a forward."""
        return self.call(f"remove-forward {name}", crash_at=crash_at, check=check)

    def status(self, words: str = "") -> list[str]:
        """What the host tells of the tunnel, line by line."""
        lines = self.call(f"status {words}").stdout.splitlines()
        assert lines[-1].startswith("end ")
        return lines

    def told(self, start: str, words: str = "") -> list[str]:
        """What follows these words in the one line that starts with them, word by word."""
        lines = self.status(words)
        (rest,) = (line.removeprefix(start) for line in lines if f"{line} ".startswith(f"{start} "))
        return rest.split()

    def wrong(self) -> list[str]:
        """What the host tells is not as it was made."""
        lines = self.status()
        return [line.removeprefix("wrong ") for line in lines if line.startswith("wrong ")]

    def read_forward(self, name: str) -> str:
        """The file of a forward."""
        return self.machine.read(f"{self.files}/forwards.d/{name}")

    def forwards(self) -> list[tuple[str, str]]:
        """What the firewall does by now, as (name, line), sorted; a rule twice is listed twice."""
        return forwards_in(self.machine.run("iptables-save -t nat").stdout, self.name)

    def rule(self, name: str, line: str) -> str:
        """The rule that a forward must be, as iptables-save prints it."""
        match = re.fullmatch(r"(tcp|udp) (\d+) -> (\S+)", line)
        assert match, line
        protocol, port, target = match.groups()
        return (
            f"-A RT-{self.name}-DNAT -p {protocol} -m {protocol} --dport {port} "
            f'-m comment --comment "rt:{self.name}:{name}" '
            f"-j DNAT --to-destination {target}"
        )


def forwards_in(saved: str, tunnel: str) -> list[tuple[str, str]]:
    """The forwards of a tunnel in what iptables-save printed."""
    pattern = (
        rf"-A RT-{tunnel}-DNAT -p (\w+) -m \w+ --dport (\d+) "
        rf'-m comment --comment "rt:{tunnel}:([^"]+)" -j DNAT --to-destination (\S+)'
    )
    found = [
        re.search(pattern, line) for line in saved.splitlines() if f"-A RT-{tunnel}-DNAT" in line
    ]
    assert all(found), saved
    return sorted((m[3], f"{m[1]} {m[2]} -> {m[4]}") for m in found if m)


def rules_of(saved: str) -> list[str]:
    """The rules and policies alone: iptables-nft leaves its empty built-in chains behind."""
    lines = saved.splitlines()
    return [
        line
        for line in lines
        if line.startswith(("*", "-A", "[")) or (line[:1] == ":" and " ACCEPT " not in line)
    ]
