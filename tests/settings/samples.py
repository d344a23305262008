"""A stack's configuration that is right in every respect, and ways to spoil it."""

import base64
import copy
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from settings import Settings, SettingsError, load

ABSENT: Final = object()
"""As a value for `changed`: take the key away."""


def host_key(seed: int) -> str:
    """Return an ed25519 host key of its own for each seed."""
    fields = (b"ssh-ed25519", bytes([seed]) * 32)
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def ecdsa_host_key(curve: ec.EllipticCurve) -> str:
    """Return a host key of that curve, the same each time."""
    point = ec.derive_private_key(9, curve).public_key()
    return point.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def public_key(seed: int) -> str:
    """Return a WireGuard public key of its own for each seed."""
    return base64.b64encode(bytes([seed]) * 32).decode()


def pem_of(key: PrivateKeyTypes) -> str:
    """Return a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


_SNAKE_OIL = Ed25519PrivateKey.from_private_bytes(b"snake oil for tests of settings.")
_OTHER = Ed25519PrivateKey.from_private_bytes(b"other snake oil, for tests also.")
SSH_KEY = _SNAKE_OIL.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
PEM_KEY = pem_of(_SNAKE_OIL)
OTHER_SSH_KEY = _OTHER.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
LOCKED_PEM_KEY = _SNAKE_OIL.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
).decode()
# Written by ssh-keygen for the passphrase "snakeoil"; cryptography would need bcrypt for it.
LOCKED_SSH_KEY = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABA4Ayf6Pw
smFcVrmuRx0OHNAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIE2TzzMtOnV6oFDZ
JdSLrjLL6hP2gqUzeQABGToHSToNAAAAkFVOb3CegkO7P/SGJr2BwO71bF+5cn3UKLDlgQ
UGiK5GMzm/2H0tHTtmE+QgJJzN58XbZjdJ7Loht832nuBXiC8EsGPW1j3DdRhvC+LH5XH6
iUxu9C9mf124ZhJNSEVgf+VvroYWW5XVK4Ced1S49OfOUuLYbrtJAlN3EY3VE55WM+NGcu
w/hBcc5jT3l6ma7g==
-----END OPENSSH PRIVATE KEY-----
"""
SSH_PUBLIC_KEY = (
    _SNAKE_OIL.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
)

_EXAMPLE: Final[dict[str, Any]] = {
    "network": {"cidr": "172.16.0.0/24", "listenPort": 51820},
    "vps": {
        "address": "172.16.0.1",
        "endpoint": "vps.example.org",
        "publicInterface": "ens6",
        "ssh": {"host": "203.0.113.10", "hostKey": host_key(1)},
    },
    "servers": {
        "homelab": {
            "address": "172.16.0.4",
            "ssh": {"host": "192.168.1.20", "hostKey": host_key(2)},
        },
        "attic": {
            "address": "172.16.0.6",
            "ssh": {"host": "192.168.1.21", "user": "hex", "hostKey": host_key(3)},
        },
        "cabin": {"address": "172.16.0.7"},
    },
    "clients": {
        "laptop": {"address": "172.16.0.10"},
        "phone": {"address": "172.16.0.11", "publicKey": public_key(4)},
    },
    "forwards": {
        "http": {"port": 80, "to": "homelab:8080"},
        "https": {"port": 443, "to": "homelab:8081"},
        "game": {"protocol": "udp", "port": "27000-27037", "to": "homelab"},
    },
    "sshPrivateKey": SSH_KEY,
}


def example() -> dict[str, Any]:
    """Return the example, to be changed at will."""
    return copy.deepcopy(_EXAMPLE)


def changed(changes: Mapping[str, object]) -> dict[str, Any]:
    """Return the example with each value at its dotted path replaced, added or, `ABSENT`, gone."""
    values = example()
    for path, value in changes.items():
        *parents, key = path.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is ABSENT:
            del place[key]
        else:
            place[key] = value
    return values


def loaded(changes: Mapping[str, object] | None = None, *, agent: bool = False) -> Settings:
    """Return the settings of the example with the changes made."""
    return load(changed(changes or {}), agent=agent)


def errors(changes: Mapping[str, object], *, agent: bool = False) -> list[str]:
    """Return the lines, one a problem, by which the example with the changes made is refused."""
    try:
        loaded(changes, agent=agent)
    except SettingsError as error:
        head, *lines = str(error).split("\n")
        assert head.startswith("The settings have ")
        assert all(line.startswith("  ") for line in lines)
        return [line.removeprefix("  ") for line in lines]
    return []
