"""The ways from a visitor to a service at home: this project's, and what it is compared with."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.lab import Lab

SCRIPTS = Path(__file__).parent / "ways"

HOME_FLOW, HOME_BULK, HOME_WEB = 5201, 5202, 5203
"""The ports of the services at home, one after the other: two of iperf3, and pages."""


@dataclass(frozen=True)
class Way:
    """One way, as a shell program in ways/ sets it up.

    It is run on each host with a verb behind the host's name: `vps-make` prepares, and prints what
    `homelab-take` gets on its standard input; `HOST-up` and `HOST-down` do as they say.

    Attributes:
        name: as a person reads it.
        script: which program.
        first_port: of the VPS's three that lead to the services at home.
        talks: protocol and port by which home and VPS talk, of those that have a tunnel.
        encrypts: whether what it carries can't be read in between.
        udp: whether it carries UDP.
        multiplexes: whether all connections go by one of its own, of those that let choose.
        program: of WireGuard by hand, where the kernel has none.
        memory: that the program may take, such as `85MiB`; `off` is no limit.
        processors: that the program may use; None is no limit.
        policy: by which the kernel gives it a processor, in systemd's words: with `other` it takes
            one from who is at work, with `batch` it waits for its turn.
        hosts: where it has something to do, in the order of going up.
    """

    name: str
    script: str
    first_port: int
    talks: tuple[str, int] | None = None
    encrypts: bool = False
    udp: bool = True
    multiplexes: bool = True
    program: str = "wireguard-go"
    memory: str = "off"
    processors: int | None = None
    policy: str = "other"
    hosts: tuple[str, ...] = ("vps", "homelab")

    @property
    def flow(self) -> int:
        """The VPS's port of the iperf3 that is measured."""
        return self.first_port

    @property
    def bulk(self) -> int:
        """The VPS's port of the iperf3 that runs beside."""
        return self.first_port + 1

    @property
    def web(self) -> int:
        """The VPS's port of the pages."""
        return self.first_port + 2

    def make(self, lab: Lab) -> None:
        """Prepare both ends, once."""
        self._run(lab, "homelab", "take", self._run(lab, "vps", "make"))

    def up(self, lab: Lab) -> None:
        """Let it stand; it may take a moment until it carries something."""
        for host in self.hosts:
            self._run(lab, host, "up")

    def down(self, lab: Lab) -> None:
        """Take it away, whatever of it is there."""
        for host in reversed(self.hosts):
            self._run(lab, host, "down", check=False)

    @contextmanager
    def standing(self, lab: Lab) -> Iterator[None]:
        """It stands in this block."""
        try:
            self.up(lab)
            yield
        finally:
            self.down(lab)

    def _run(self, lab: Lab, host: str, verb: str, given: str = "", *, check: bool = True) -> str:
        facts = {
            "VPS": lab.host("vps").address,
            "HOME_ADDRESS": lab.host("homelab").address,
            "WEB": self.web,
            "FLOW": self.flow,
            "BULK": self.bulk,
            "HOME_WEB": HOME_WEB,
            "HOME_FLOW": HOME_FLOW,
            "HOME_BULK": HOME_BULK,
            "MULTIPLEXES": str(self.multiplexes).lower(),
            "PROGRAM": self.program,
            "MEMORY": self.memory,
            "PROCESSORS": self.processors or "",
            "POLICY": self.policy,
            "TUNNEL": self.talks[1] if self.talks else 0,
        }
        settings = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in facts.items())
        program = f"export {settings}\n{(SCRIPTS / self.script).read_text()}"
        command = ["bash", "-c", program, self.script, f"{host}-{verb}"]
        return lab.host(host).run(command, check=check, input=given).stdout
