"""The record: what the stack's state knows, asked of the engine.

The engine shows a program nothing of what it has recorded, unless a function that is built into it
is called. That reads the whole state, so it is asked only where a host has something that the
stack file does not explain.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pulumi
from pulumi.runtime import invoke

from components.remote import login_of
from reach import Login
from reach.drift import Part
from settings import VPS

_READ = "pulumi:pulumi:readStackResourceOutputs"
_COMMAND = "command:remote:Command"
_TUNNEL = "reverse-tunnel:index:ReverseTunnel"
_HOST = "reverse-tunnel:index:Host"
_PEER = "reverse-tunnel:index:Peer"
_FORWARD = "reverse-tunnel:index:PortForward"
_PARTS = frozenset({_HOST, _PEER, _FORWARD})
"""The components whose commands leave something on a host."""

_CLAIM = "-claim"
_KEPT = "-kept"  # of the firewall, a command more
_OF_A_HOST = {
    "helper": Part.HELPER,
    "key": Part.KEYS,
    "interface": Part.INTERFACE,
    "firewall": Part.FIREWALL,
    "metrics": Part.METRICS,
}


Entry: TypeAlias = tuple[str, Part, str]
"""Host, kind and name."""


@dataclass(frozen=True)
class Record:
    """What the last `up` has left in the state.

    Attributes:
        machines: by host, those that its commands have run on, that of its claim first. There are
            several only where an `up` was broken off that was to move it.
        forgotten: the hosts whose deletes are let go.
        entries: what hosts have been given, by host, kind and name (empty for parts of the host's
            own), and how they were reached: so they will be, when it is removed.
    """

    machines: Mapping[str, Sequence[Login]]
    forgotten: frozenset[str]
    entries: Mapping[Entry, Login]


def read_record() -> Record:
    """Asks the engine for this stack's record; an empty one before the first `up`."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    resources = invoke(_READ, {"stackName": stack}).value["outputs"]
    commands: list[tuple[str, str, Login]] = []
    forgotten: set[str] = set()
    entries: dict[Entry, Login] = {}
    for urn, resource in resources.items():
        # urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME
        types, name = urn.split("::", 3)[2:]
        parent, _, kind = types.rpartition("$")
        outputs = resource["outputs"]
        if kind == _TUNNEL:
            forgotten.update(outputs.get("forgotten", ()))
        within = parent.rpartition("$")[2]
        # A program may have commands of its own, which may lack what ours always have.
        if kind == _COMMAND and within in _PARTS:
            login = login_of(outputs["connection"])
            commands.append((within, name, login))
            entries.update((entry, login) for entry in _entries(within, name))
    return Record(_machines(commands), frozenset(forgotten), entries)


def _machines(commands: Sequence[tuple[str, str, Login]]) -> Mapping[str, Sequence[Login]]:
    found = {
        name.removesuffix(_CLAIM): [login]
        for within, name, login in commands
        if within == _HOST and name.endswith(_CLAIM)
    }
    for within, name, login in commands:
        machines = found.get(_host(within, name), [])
        if machines and login.host_key not in {each.host_key for each in machines}:
            machines.append(login)
    return found


def _host(within: str, name: str) -> str:
    """The host that a command has run on. A host's name may have dashes, too."""
    if within == _HOST:
        return name.removesuffix(_KEPT).rpartition("-")[0]
    return (within == _FORWARD and name.partition("@")[2]) or VPS


def _entries(parent: str, name: str) -> Iterator[Entry]:
    """What a command has given a host; nothing if it is not about an entry."""
    entry, at, host = name.partition("@")
    if parent == _FORWARD:
        yield (host, Part.OPENING, entry) if at else (VPS, Part.FORWARD, entry)
    elif parent == _PEER:
        yield VPS, Part.PRESHARED_KEY if at else Part.PEER, entry
    elif parent == _HOST:
        host, _, kind = name.rpartition("-")
        if kind in _OF_A_HOST:
            yield host, _OF_A_HOST[kind], ""
