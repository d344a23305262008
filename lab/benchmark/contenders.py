"""Who takes part in the comparison of data paths."""

from pathlib import Path

from lab.benchmark.crates import crate
from lab.benchmark.way import Way
from lab.progress import StepError

RAW = Way("no tunnel", "raw", 9000, hosts=("internet", "carrier", "router", "vps"))
WIREGUARD = Way("WireGuard alone", "wireguard", 9010, ("udp", 51821), encrypts=True)
CLIENT = Way("this project", "project", 9020, ("udp", 51820), encrypts=True)
TUNNEL = Way("this project, as the tunnel", "project", 9030, encrypts=True)
RATHOLE = Way("rathole, noise", "rathole", 9040, ("tcp", 2333), encrypts=True)
OPENSSH = Way("OpenSSH -R", "openssh", 9050, ("tcp", 2222), encrypts=True, udp=False)
OPENVPN = Way("OpenVPN", "openvpn", 9060, ("udp", 1194), encrypts=True)
BORE = Way("bore, in clear", "bore", 9070, ("tcp", 7835), udp=False)

OURS = (CLIENT, TUNNEL)
ALL = (RAW, WIREGUARD, *OURS, RATHOLE, OPENSSH, OPENVPN, BORE)

BORINGTUN = "boringtun"
"""Another program that is WireGuard where the kernel has none."""

# Of the Rust registry: version, features. What else they can (TLS) needs OpenSSL's headers.
_CRATES = {
    RATHOLE.name: ("rathole", "0.5.0", "server", "client", "noise"),
    BORE.name: ("bore-cli", "0.6.0"),
    BORINGTUN: ("boringtun-cli", "0.7.1"),
}

UNAVAILABLE = {
    "frp": "no version of it can be had from the Go module registry, and neither PyPI, npm, the"
    " Rust registry nor Debian has its programs",
    "chisel": "the same as frp",
    "gost": "the same as frp",
    "wstunnel": "the Rust registry does not have it; what npm and PyPI call so are other programs",
}
"""What would have taken part, and why it does not."""


def programs() -> tuple[list[Path], dict[str, str]]:
    """Layers for hosts with the programs of those that Debian does not have.

    Returns:
        The layers, and of those that can't be had here why.
    """
    layers: list[Path] = []
    missing: dict[str, str] = {}
    for what, (name, version, *features) in _CRATES.items():
        try:
            layers.append(crate(name, version, *features))
        except StepError as error:
            missing[what] = str(error)
    return layers, missing
