"""What is seen of the example's stack: all well, and ways to spoil it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from operate.look import Look
from reach.entries.host_report import ForwardReport, HostReport, PeerReport
from reach.shell import helper_digest
from settings import Settings
from tests.settings.samples import ABSENT, loaded


def settings(changes: Mapping[str, object] | None = None) -> Settings:
    """The example with a forward of each kind, but for cabin, which is dialled by hand."""
    return loaded({"servers.cabin": ABSENT, **(changes or {})})


PEER = PeerReport("192.0.2.2:51820", 20, 12_345, 6_789)
FORWARD = ForwardReport("ok", 2, 100, 12_345, 90, 678_901)
TARGET = "172.16.0.4"

SERVER = HostReport(
    helper=1,
    owner="reverse-tunnel/home",
    role="server",
    enabled=True,
    wireguard="kernel",
    peers={"vps": PEER},
    digest=helper_digest(),
)
VPS = replace(
    SERVER,
    role="vps",
    peers={
        "homelab": PEER,
        "attic": PEER,
        "laptop": replace(PEER, endpoint=None, handshake=None, received=0),
        "phone": replace(PEER, handshake=86_400),
    },
    forwards={"http": FORWARD, "https": FORWARD, "game": FORWARD},
    targets={(TARGET, 8080): "answers", (TARGET, 8081): "answers"},
)
WELL = Look(
    {"vps": VPS, "homelab": SERVER, "attic": SERVER}, {"http": "answers", "https": "answers"}
)


def seen(
    vps: HostReport | str = VPS,
    homelab: HostReport | str = SERVER,
    ports: Mapping[str, str] | None = None,
) -> Look:
    """The same with other hosts, or other answers of public ports."""
    hosts = {"vps": vps, "homelab": homelab, "attic": SERVER}
    return Look(hosts, {**WELL.ports, **(ports or {})})


def vps(**changes: Any) -> HostReport:  # noqa: ANN401 - any field
    """The VPS with other fields; of a mapping, the entries are changed, and None takes one away."""
    fields: dict[str, Any] = {
        name: {
            key: entry
            for key, entry in {**getattr(VPS, name), **change}.items()
            if entry is not None
        }
        if isinstance(change, dict)
        else change
        for name, change in changes.items()
    }
    return replace(VPS, **fields)
