"""A stack whose VPS is a server on loopback, what that tells of its tunnel, what comes of it."""

from collections.abc import Mapping
from hashlib import sha256
from itertools import starmap
from typing import Any

import pulumi

from components import ReverseTunnel
from reach import claimant
from reach.shell import helper_digest
from settings import load
from tests.components.recording import Recording, deploy
from tests.components.sshd import Sshd, facts_text

NOTHING_YET: Mapping[str, Any] = {}
LAPTOP = {"address": "172.16.0.10"}


def stack(sshd: Sshd, **ssh: object) -> dict[str, Any]:
    """A VPS alone, at the server on loopback."""
    connection = {"host": "127.0.0.1", "port": sshd.port, "hostKey": sshd.host_key, **ssh}
    return {
        "vps": {"endpoint": "vps.example.org", "ssh": connection},
        "sshPrivateKey": sshd.private_key,
    }


def run(
    values: Mapping[str, object],
    *,
    preview: bool = True,
    was_up: bool = True,
    recording: Recording | None = None,
    state: Mapping[str, Any] | None = NOTHING_YET,
) -> Recording:
    """A program of these settings; where there is no state at all, it must not ask for it."""

    def program() -> dict[str, pulumi.Output[str]]:
        tunnel = ReverseTunnel("home", load(values, agent=False))
        return {"at": tunnel.public_address}

    return deploy(program, preview=preview, was_up=was_up, recording=recording, state=state)


def state_of(values: Mapping[str, object]) -> dict[str, Any]:
    """What an `up` of these settings has left; nobody need be there."""
    return run({**values, "lookUp": False}).as_state()


def without(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {urn: resource for urn, resource in state.items() if not urn.endswith(f"::{name}")}


def heard(recording: Recording, level: str) -> list[str]:
    return [line for line in recording.log if line.startswith(level)]


REPORT = """\
helper 1
digest {digest}
owner reverse-tunnel/home
claimant {claimant}
role vps
unit {unit}
firewall {firewall}
metrics
interface up kernel
peer cabin - 0 0 0
peer laptop - 0 0 0
forward web {web} 0 - - - -
wrong {wrong}
{texts}
end 1764290000
"""

TEXTS = {
    "interface -": (
        "role vps\naddress 172.16.0.1/24\nlisten-port 51820\npublic-interface auto\nmtu 1420\n"
    ),
    "metrics -": "folder /var/lib/node_exporter\n",
    "firewall -": "default-deny\n",
    "peer cabin": "allowed-ips 172.16.0.7/32\n",
    "peer laptop": "allowed-ips 172.16.0.10/32\npreshared\n",
    "forward web": "tcp 80 -> 172.16.0.7:8080\n",
}
"""What the entries of that VPS are, but for what is told of none."""


def text_line(entry: str, text: str) -> str:
    """What a host tells of an entry's text."""
    return f"text {entry} {sha256(text.encode()).hexdigest()[:16]}"


def drifting(sshd: Sshd, **changes: str) -> dict[str, object]:
    """A VPS with a client and a forward to it, and what its host tells."""
    healthy = {
        "digest": helper_digest(),
        "claimant": claimant("vps", sshd.host_key),
        "unit": "enabled",
        "firewall": "kept",
        "web": "ok",
        "wrong": "nothing",
        "texts": "\n".join(starmap(text_line, TEXTS.items())),
    }
    sshd.answers = facts_text("wg0 reverse-tunnel/home 51820 172.16.0.1/24") + REPORT.format(
        **healthy | changes
    )
    return {
        **stack(sshd),
        "vps": {
            **stack(sshd)["vps"],
            "metrics": "/var/lib/node_exporter",
            "firewall": "defaultDeny",
        },
        "servers": {"cabin": {"address": "172.16.0.7"}},
        "clients": {"laptop": {**LAPTOP, "presharedKey": True}},
        "forwards": {"web": {"port": 80, "to": "cabin:8080"}},
    }


def drifted(made: Recording) -> set[str]:
    """The commands that run again although nothing about them has changed in the stack."""
    return {each.name for each in made.commands if "# drift" in each.inputs.get("update", "")}
