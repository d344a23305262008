"""The record: what the stack's state knows, asked of the engine.

The engine shows a program nothing of what it has recorded, unless a function that is built into it
is called. That reads the whole state, so it is asked only where a host has something that the
stack file does not explain.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import pulumi
from pulumi.runtime import invoke

from components.remote import login_of
from reach import Login
from reach.entries.fingerprints import fingerprint_of
from reach.entries.part import Entry
from reach.entries.recorded import (
    COMMAND,
    FORWARD,
    HOST,
    PEER,
    TUNNEL,
    claimed_by,
    entry_of,
    host_of,
    kept_by,
    read_urn,
)

_READ = "pulumi:pulumi:readStackResourceOutputs"
_PARTS = frozenset({HOST, PEER, FORWARD})
"""The components whose commands leave something on a host."""


@dataclass(frozen=True)
class Record:
    """What the last `up` has left in the state.

    Attributes:
        machines: by host, those that its commands have run on, that of its claim first. There are
            several only where an `up` was broken off that was to move it.
        forgotten: the hosts whose deletes are let go.
        entries: what hosts have been given, by host, kind and name (empty for parts of the host's
            own), and how they were reached: so they will be, when it is removed.
        fingerprints: by entry, that of the text that it was given. There are several only of a
            firewall that was put to the trial and not kept, or the other way round.
    """

    machines: Mapping[str, Sequence[Login]] = field(default_factory=dict)
    forgotten: frozenset[str] = frozenset()
    entries: Mapping[Entry, Login] = field(default_factory=dict)
    fingerprints: Mapping[Entry, AbstractSet[str]] = field(default_factory=dict)


def read_record() -> Record:
    """Asks the engine for this stack's record; an empty one before the first `up`."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    resources = invoke(_READ, {"stackName": stack}).value["outputs"]
    commands: list[tuple[str, str, Login]] = []
    forgotten: set[str] = set()
    entries: dict[Entry, Login] = {}
    fingerprints: dict[Entry, set[str]] = {}
    for urn, resource in resources.items():
        within, kind, name = read_urn(urn)
        outputs = resource["outputs"]
        if kind == TUNNEL:
            forgotten.update(outputs.get("forgotten", ()))
        # A program may have commands of its own, which may lack what ours always have.
        if kind == COMMAND and within in _PARTS:
            login = login_of(outputs["connection"])
            commands.append((within, name, login))
            if (entry := entry_of(within, name)) is not None:
                entries[entry] = login
            if (told := entry or kept_by(within, name)) is not None:
                own = fingerprint_of(outputs["stdin"].splitlines())
                fingerprints.setdefault(told, set()).add(own)
    return Record(_machines(commands), frozenset(forgotten), entries, fingerprints)


def _machines(commands: Sequence[tuple[str, str, Login]]) -> Mapping[str, Sequence[Login]]:
    found = {
        host: [login]
        for within, name, login in commands
        if (host := claimed_by(within, name)) is not None
    }
    for within, name, login in commands:
        machines = found.get(host_of(within, name), [])
        if machines and login.host_key not in {each.host_key for each in machines}:
            machines.append(login)
    return found
