"""The lab as the road between a visitor and a home: its hosts with all programs, its services."""

import re
import time
from pathlib import Path

from lab.benchmark.contenders import CLIENT, TUNNEL
from lab.benchmark.forwards import set_forwards
from lab.benchmark.way import HOME_BULK, HOME_FLOW, HOME_WEB, Way
from lab.images import systems
from lab.lab import Lab
from lab.stack import write_stack

_ENDS = ("client", "vps", "homelab")
_REMEMBER = ("vps", "homelab", "router", "carrier")  # who was connected with whom
_UNIT = ["systemd-run", "--quiet", "--collect"]

_PAGES = f"""\
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  server {{
    listen {HOME_WEB};
    default_type text/plain;
    location / {{ return 200 "$remote_addr\\n"; }}
  }}
}}
"""
_LOOKS, _LOOK, _REST = 40, 0.25, 0.02  # tries, seconds of each, and of CPU that are rest
_FIRST = 20000  # behind this are the ports of forwards that are there to be many
_LEADS = f"homelab:{HOME_FLOW}-{HOME_WEB}"


class Road:
    """A lab made ready to be measured in.

    Attributes:
        lab: the lab.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def lay(self, layers: list[Path], algorithm: str) -> None:
        """Install everything, start the services at home, and set this project up.

        Args:
            layers: of file systems, with programs that Debian does not have.
            algorithm: of congestion control, for all that the hosts send.
        """
        system = (*layers, *systems.contenders())
        self.lab.reset(**dict.fromkeys(_ENDS, system))
        for name in _ENDS:
            # Connections that have ended would stay for a minute, and one visitor has no more ports
            # than there come about in ten seconds of a load.
            self.lab.host(name).run("sysctl -qw net.ipv4.tcp_max_tw_buckets=0")
            # By the route, since a container may not choose the default of all.
            changed = f"ip route replace $(ip route show default) congctl {algorithm}"
            self.lab.host(name).run(changed)
        home = self.lab.host("homelab")
        home.write("/etc/bench-pages.conf", _PAGES)
        serve = ["nginx", "-c", "/etc/bench-pages.conf", "-g", "daemon off;"]
        home.run([*_UNIT, "--unit=bench-pages", *serve])
        for port in (HOME_FLOW, HOME_BULK):
            home.run([*_UNIT, f"--unit=bench-iperf-{port}", "iperf3", "-s", "-p", str(port)])
        self._deploy()

    def _deploy(self) -> None:
        """This project, by one `up`; then it is taken down, to come up in its turn."""
        write_stack(self.lab)
        set_forwards(self.lab, {"client": _forward(CLIENT), "tunnel": _forward(TUNNEL)})
        up = ["pulumi", "--non-interactive", "up", "--yes", "--skip-preview"]
        self.lab.operator.run(up, timeout=None)
        CLIENT.down(self.lab)
        # One server, as the others have: the second one's keepalives are not what is compared.
        self.lab.host("attic").run(["systemctl", "stop", "wg-quick@wg0"])

    def wireguard(self) -> str:
        """What the tunnels of WireGuard are made of here."""
        if Path("/sys/module/wireguard").exists():
            return "the kernel's"
        return f"wireguard-go {self.version('wireguard-go')}"

    def version(self, program: str) -> str:
        """Of a program on the VPS that is WireGuard."""
        said = self.lab.host("vps").run([program, "--version"]).stdout
        match = re.search(r"\bv?(\d[\d.]+)", said)
        return match[1] if match else "unknown"

    def settle(self) -> None:
        """Forget who came before, and wait until VPS and home rest.

        What they do to come up is not what is compared; nor is what they do where a visitor's port
        still belongs to an earlier connection, for real visitors are many.
        """
        for name in _REMEMBER:
            forget = "conntrack -D -p tcp --state TIME_WAIT >/dev/null 2>&1 || true"
            self.lab.host(name).run(forget)
        for _ in range(_LOOKS):
            before = [self.cpu_seconds(name) for name in ("vps", "homelab")]
            time.sleep(_LOOK)
            after = [self.cpu_seconds(name) for name in ("vps", "homelab")]
            if sum(after) - sum(before) < _REST:
                return

    def cpu_seconds(self, host: str = "vps") -> float:
        """What a host's processes have spent since it was booted."""
        text = self.lab.host(host).read("/sys/fs/cgroup/cpu.stat")
        match = re.search(r"usage_usec (\d+)", text)
        assert match  # noqa: S101  # the kernel's promise
        return int(match[1]) / 1e6

    def memory(self) -> float:
        """What the VPS's processes hold, in MB (PSS)."""
        total = (
            "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ { n += $2 } END { print n }'"
        )
        return int(self.lab.host("vps").run(total).stdout) * 1024 / 1e6

    def set_forwards(self, count: int) -> list[int]:
        """Let this project have that many forwards, by its files.

        Returns:
            The VPS's ports of the pages, in the order in which the forwards' rules are asked.
        """
        folder = "/etc/reverse-tunnel/wg0/forwards.d"
        vps = self.lab.host("vps")
        lines = [f"f{n} tcp {_FIRST + n} -> 172.16.0.4:{HOME_WEB}" for n in range(1, count)]
        vps.run(
            f'cd {folder} && rm -f f* && while read -r name line; do echo "$line" >$name; done',
            input="".join(f"{line}\n" for line in lines),
        )
        with CLIENT.standing(self.lab):
            rules = vps.run(["iptables", "-t", "nat", "-S", "RT-wg0-DNAT"]).stdout
        asked = map(int, re.findall(r"--dport (\d+) ", rules))
        return [port for port in asked if port > _FIRST] or [CLIENT.web]

    def ask_for_addresses_first(self) -> None:
        """Let the forwards' rules be as they once were, until the tunnel comes up anew."""
        chain = "RT-wg0-DNAT"
        rules = self.lab.host("vps").run(["iptables", "-t", "nat", "-S", chain]).stdout
        turned = re.sub(r"(-m \w+ --dport \S+) ", r"-m addrtype --dst-type LOCAL \1 ", rules)
        kept = turned.partition("\n")[2]  # behind the line that names the chain
        # This chain alone, which the tunnel's watcher leaves to whoever changes it.
        text = f"*nat\n:{chain} - [0:0]\n{kept}COMMIT\n"
        self.lab.host("vps").run(["iptables-restore", "--noflush", "-w"], input=text)


def _forward(way: Way) -> dict[str, object]:
    source = "tunnel" if way is TUNNEL else "client"
    ports = f"{way.flow}-{way.web}"
    return {"protocol": "tcp+udp", "port": ports, "to": _LEADS, "sourceAddress": source}
