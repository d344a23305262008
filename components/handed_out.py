"""Files that were handed out: whoever has one is told of before it is out of date."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address

import pulumi
from pulumi.runtime import invoke

from components.files import Files
from components.wireguard_file import own_key

_READ = "pulumi:pulumi:getResource"  # by which the SDK follows a reference to a resource, too
_HEAD = (
    "Files that `pulumi up` changes. Who has one of before is cut off, or goes by what is no longer"
    " true, until the new one is there:"
)


def warn_of_new_files(
    tunnel: pulumi.Resource,
    files: Files,
    *,
    addresses: Mapping[str, IPv4Address],
    endpoint: pulumi.Output[str],
    known: Collection[str],
) -> None:
    """In a preview, names the machines whose file this `up` is about to change, and what in it.

    A machine that has another name by now is known by its address.

    Args:
        tunnel: the component, whose outputs `clientConfigs` and `serverConfigs` are still those of
            the last `up`.
        files: those of this `up`.
        addresses: of all peers, by name.
        endpoint: that of the files; another resource may have to be made for it.
        known: the peers that the VPS knows by now. They have had a file, of which the state may
            have nothing any more.
    """
    after = {**files.clients, **files.servers}
    if not after:
        return
    # An `up` asks, too, though it tells nothing: who answers is a resource, and where a preview has
    # one more than its `up`, what it has saved as a plan does not hold.
    before = _files_before(tunnel)
    if not pulumi.runtime.is_dry_run():
        return
    former = _former_names(before, addresses)
    before |= {
        name: before[was].replace(own_key(was), own_key(name)) for name, was in former.items()
    }
    changes = {
        name: file.apply(partial(_changes, before.get(name)), run_with_unknowns=True)
        for name, file in after.items()
        if name in before or name in known
    }
    if not changes:
        return
    made = endpoint.apply(_what_is_made, run_with_unknowns=True)

    def tell(made: str, changes: Mapping[str, Sequence[str] | None]) -> None:
        lines = [
            _line(
                name,
                made if what is None else ", ".join(what),
                was=former.get(name),
                is_server=name in files.servers,
            )
            for name, what in changes.items()
            if what is None or what
        ]
        if lines:
            pulumi.log.warn("\n".join([_HEAD, *lines]))

    # Names of settings are no secret, though what stands there is.
    told = pulumi.Output.all(made, pulumi.Output.all(**changes))
    pulumi.Output.unsecret(told).apply(lambda both: tell(*both))


def _files_before(tunnel: pulumi.Resource) -> dict[str, str]:
    """The files as the last `up` has told them, by name."""
    # A component that is registered keeps what it told before, until it tells something else.
    told = invoke(_READ, {"urn": tunnel.urn}).value["state"]
    outputs = (told.get("clientConfigs"), told.get("serverConfigs"))
    # After an `up` for some targets nothing may be known of an output: a key was not made yet.
    return {
        name: text for each in outputs if isinstance(each, Mapping) for name, text in each.items()
    }


def _former_names(
    before: Mapping[str, str], addresses: Mapping[str, IPv4Address]
) -> Mapping[str, str]:
    """Of machines that have another name now, the former one by the new one.

    Such a name is new at an address whose own has left.
    """
    # Behind it may stand one of IPv6.
    left = {
        _settings(file)["Address"][0].partition("/")[0]: name
        for name, file in before.items()
        if name not in addresses
    }
    return {
        name: left[str(address)]
        for name, address in addresses.items()
        if name not in before and str(address) in left
    }


def _what_is_made(endpoint: object) -> str:
    """What it is that nobody knows of a file yet."""
    return "new keys" if isinstance(endpoint, str) else "another endpoint, or new keys, too"


def _changes(before: str | None, file: object) -> Sequence[str] | None:
    """The settings of a file that are others now; None while these are not known yet."""
    if not isinstance(file, str):
        return None
    if before is None:
        return []
    old, new = _settings(before), _settings(file)
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _settings(file: str) -> Mapping[str, Sequence[str]]:
    """What a WireGuard file says, by the name of each setting."""
    found: dict[str, list[str]] = {}
    for line in file.splitlines():
        name, sign, value = line.partition(" = ")
        if sign:
            found.setdefault(name, []).append(value)
    return found


def _line(name: str, what: str, *, was: str | None, is_server: bool) -> str:
    about = what if was is None else f"{what}; it was {was}"
    if not is_server:
        return f"  {name} ({about}): `reverse-tunnel client {name}`"
    return (
        f"  {name} ({about}): `reverse-tunnel server {name}`, by another way than the tunnel, which"
        " may lead there no more by then"
    )
