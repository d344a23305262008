"""Who takes part in the comparison of data paths."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from lab.benchmark.crates import crate
from lab.benchmark.way import Way
from lab.cache import made_once
from lab.progress import StepError

RAW = Way("no tunnel", "raw", 9000, hosts=("internet", "carrier", "router", "vps"))
WIREGUARD = Way("WireGuard alone", "wireguard", 9010, ("udp", 51821), encrypts=True)
CLIENT = Way("this project", "project", 9020, ("udp", 51820), encrypts=True)
TUNNEL = Way("this project, as the tunnel", "project", 9030, encrypts=True)
RATHOLE = Way("rathole, noise", "rathole", 9040, ("tcp", 2333), encrypts=True)
OPENSSH = Way("OpenSSH -R", "openssh", 9050, ("tcp", 2222), encrypts=True, udp=False)
OPENVPN = Way("OpenVPN", "openvpn", 9060, ("udp", 1194), encrypts=True)
BORE = Way("bore, in clear", "bore", 9070, ("tcp", 7835), udp=False)
FRP = Way("frp, TLS", "frp", 9080, ("tcp", 7000), encrypts=True)
FRP_APART = Way(
    "frp, TLS, no multiplexing", "frp", 9090, ("tcp", 7001), encrypts=True, multiplexes=False
)
CHISEL = Way("chisel", "chisel", 9100, ("tcp", 8088), encrypts=True)

OURS = (CLIENT, TUNNEL)
ALL = (RAW, WIREGUARD, *OURS, RATHOLE, FRP, FRP_APART, CHISEL, OPENSSH, OPENVPN, BORE)

BORINGTUN = "boringtun on one thread"
"""Another program that is WireGuard where the kernel has none."""

# Taken where they are on PATH: no registry has them.
_ON_PATH = {("frps", "frpc"): (FRP, FRP_APART), ("chisel",): (CHISEL,)}
# Of the Rust registry: version, features. What else they can (TLS) needs OpenSSL's headers.
_CRATES = {
    RATHOLE.name: ("rathole", "0.5.0", "server", "client", "noise"),
    BORE.name: ("bore-cli", "0.6.0"),
    BORINGTUN: ("boringtun-cli", "0.7.1"),
}

UNAVAILABLE = {
    "gost": "no version of it can be had from the Go module registry, and neither PyPI, npm, the"
    " Rust registry nor Debian has its program",
    "wstunnel": "the Rust registry does not have it; what npm and PyPI call so are other programs",
}
"""What would have taken part, and why it does not."""


class Programs(NamedTuple):
    """Programs that Debian does not have.

    Attributes:
        layers: for the hosts' file systems, with the programs.
        had: what there is, and of which version.
        missing: what can't be had here, by its name or its way's, and why.
    """

    layers: list[Path]
    had: list[str]
    missing: dict[str, str]


def programs() -> Programs:
    """Get them, from the Rust registry or from PATH."""
    got = Programs([], [], {})
    for what, (name, version, *features) in _CRATES.items():
        try:
            got.layers.append(crate(name, version, *features))
        except StepError as error:
            got.missing[what] = str(error)
        else:
            got.had.append(f"{name} {version}")
    for names, ways in _ON_PATH.items():
        found = [Path(path) for name in names if (path := shutil.which(name))]
        if len(found) < len(names):
            why = f"{' and '.join(names)} are taken from PATH, where they are not"
            got.missing.update({way.name: why for way in ways})
            continue
        got.layers.append(_layer(found))
        said = subprocess.run([found[0], "--version"], capture_output=True, text=True, check=True)
        got.had.append(f"{ways[0].script} {said.stdout.strip()}")
    return got


def _layer(programs: list[Path]) -> Path:
    """A layer with copies of programs of this machine."""

    def copy(folder: Path) -> None:
        (folder / "usr/local/bin").mkdir(parents=True)
        for program in programs:
            shutil.copy2(program, folder / "usr/local/bin")

    digests = [hashlib.sha256(program.read_bytes()).hexdigest() for program in programs]
    return made_once("programs", (*map(str, programs), *digests), copy)
