"""Names in the state: what a stack's resources are called, and what a name there stands for.

The components register by them, and the record and the command line read them. In the state of
every stack they stand as they are here: another name would be another resource.
"""

from reach.entries.part import Entry, Part
from settings import VPS

COMMAND = "command:remote:Command"
TUNNEL = "reverse-tunnel:index:ReverseTunnel"
HOST = "reverse-tunnel:index:Host"
PEER = "reverse-tunnel:index:Peer"
FORWARD = "reverse-tunnel:index:PortForward"

HANDSHAKE = "handshake"
"""Name of the command that waits for the servers'; a stack has one."""

_CLAIM = "-claim"
_KEPT = "-kept"
_OF_A_HOST = {
    Part.HELPER: "helper",
    Part.KEYS: "key",
    Part.INTERFACE: "interface",
    Part.FIREWALL: "firewall",
    Part.METRICS: "metrics",
}
_KINDS = {kind: part for part, kind in _OF_A_HOST.items()}


def claim_of(host: str) -> str:
    """Return the name of the command that claims a host."""
    return f"{host}{_CLAIM}"


def tenancy_of(host: str) -> str:
    """Return the name of what tells apart the times at which a machine is that host."""
    return f"{host}-tenancy"


def command_of(host: str, part: Part, entry: str = "") -> str:
    """Return the name of the command that gives a host an entry, or a part of its own."""
    match part:
        case Part.FORWARD | Part.PEER:
            return entry
        # No entry's name has such a sign, so none of another one is the same.
        case Part.OPENING:
            return f"{entry}@{host}"
        case Part.PRESHARED_KEY:
            return f"{entry}@preshared-key"
    return f"{host}-{_OF_A_HOST[part]}"


def keeper_of(command: str) -> str:
    """Return the name of the command that keeps what another one has tried, the firewall."""
    return f"{command}{_KEPT}"


def kept_by(within: str, name: str) -> Entry | None:
    """Return what a command keeps that another one has tried; None if it keeps nothing."""
    is_keeper = within == HOST and name.endswith(_KEPT)
    return entry_of(within, name.removesuffix(_KEPT)) if is_keeper else None


def read_urn(urn: str) -> tuple[str, str, str]:
    """Return the type that a resource is within, its own, and its name."""
    # urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME
    types, name = urn.split("::", 3)[2:]
    parents, _, kind = types.rpartition("$")
    return parents.rpartition("$")[2], kind, name


def claimed_by(within: str, name: str) -> str | None:
    """Return the host that a command claims; None if it is no claim."""
    return name.removesuffix(_CLAIM) if within == HOST and name.endswith(_CLAIM) else None


def host_of(within: str, name: str) -> str:
    """Return the host that a command runs on. A host's name may have dashes, too."""
    if within == HOST:
        return name.removesuffix(_KEPT).rpartition("-")[0]
    return (within == FORWARD and name.partition("@")[2]) or VPS


def entry_of(within: str, name: str) -> Entry | None:
    """Return what a command gives a host; None if it is not about an entry."""
    entry, at, host = name.partition("@")
    if within == FORWARD:
        return (host, Part.OPENING, entry) if at else (VPS, Part.FORWARD, entry)
    if within == PEER:
        return VPS, Part.PRESHARED_KEY if at else Part.PEER, entry
    host, _, kind = name.rpartition("-")
    return (host, _KINDS[kind], "") if within == HOST and kind in _KINDS else None
