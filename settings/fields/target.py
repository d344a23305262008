"""Where a forward leads."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from settings.fields.names import PATTERN, check_peer_name
from settings.fields.ports import Ports, check_ports
from settings.problem import RefusedError, Rule


@dataclass(frozen=True, slots=True)
class Target:
    """Where a forward leads: a server by its name, or a host behind one by its address; its ports.

    Without ports, they are the same as outside.
    """

    place: str | IPv4Address
    ports: Ports | None = None

    def __str__(self) -> str:
        """Return `homelab:8080`, `homelab` or `192.168.1.30:22`."""
        return str(self.place) if self.ports is None else f"{self.place}:{self.ports}"


TARGET = Rule(
    'a server and its port, such as "homelab:8080", a server alone, such as "homelab", or, instead '
    'of the server, the IPv4 address of a host in its networks, such as "192.168.1.30:22"',
    "the forward leads there; without a port, to the same port as outside",
)

_ADDRESS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
TARGET_SCHEMA = {
    "type": "string",
    "pattern": f"^({PATTERN}|{_ADDRESS})(:[0-9]{{1,5}}(-[0-9]{{1,5}})?)?$",
}


def check_target(value: object) -> Target:
    """Return the target that `value` names: `homelab:8080`, `homelab` or `192.168.1.30:22`."""
    if isinstance(value, Target):
        value = str(value)
    if not isinstance(value, str):
        raise TARGET.refuse(value)
    place, colon, port = value.partition(":")
    try:
        found = IPv4Address(place) if re.fullmatch(_ADDRESS, place) else check_peer_name(place)
    except ValueError:
        says = "does not begin with a server's name or an IPv4 address"
        raise TARGET.refuse(value, says) from None
    if not colon:
        return Target(found)
    try:
        return Target(found, check_ports(port))
    except RefusedError:
        says = "does not end in a port from 1 to 65535, or a range of them"
        raise TARGET.refuse(value, says) from None
