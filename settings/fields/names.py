"""Names of servers, clients and forwards."""

import re
from typing import Annotated

from settings.fields.check import Check
from settings.problem import Rule

LONGEST = 31
"""Characters of a name. It becomes part of resource names, of file names on the hosts and of the
comments of iptables rules (255 at most, with the interface in front); chains carry no name."""

PATTERN = rf"[a-z][a-z0-9-]{{0,{LONGEST - 1}}}"
VPS = "vps"
"""What the VPS is called where a peer could stand, too."""

RESERVED = frozenset({VPS})
"""Names that no server and no client may have."""

NAME = Rule(
    f"a lower-case letter, then up to {LONGEST - 1} lower-case letters, digits and hyphens",
    "names become parts of resource names, file names and firewall comments, on every host",
)
PEER_NAME = Rule(f"{NAME.allowed}; not {', '.join(sorted(RESERVED))}", NAME.why)


def check_name(name: object) -> str:
    """Return `name`, a plain slug; anything else raises `RefusedError`."""
    if not isinstance(name, str) or not re.fullmatch(PATTERN, name):
        raise NAME.refuse(name, "is not a name")
    return name


def check_peer_name(name: object) -> str:
    """Return `name`, a plain slug that a server or a client may have."""
    if name in RESERVED and isinstance(name, str):
        raise PEER_NAME.refuse(name, "is reserved for the VPS itself")
    return check_name(name)


_SCHEMA = {"type": "string", "pattern": f"^{PATTERN}$"}

Name = Annotated[str, Check(check_name, NAME, _SCHEMA)]
PeerName = Annotated[
    str, Check(check_peer_name, PEER_NAME, {**_SCHEMA, "not": {"enum": sorted(RESERVED)}})
]
