"""Hints: what is allowed and may still not be meant."""

from collections.abc import Collection, Iterator

from settings.fields.keys import SSH_PRIVATE_KEY_FIELD
from settings.forward import SourceAddress
from settings.network import CARRIER, PRIVATE
from settings.ssh import as_ip
from settings.stack import Settings

_OF_NO_INTERNET = (*PRIVATE, CARRIER)  # addresses that lead somewhere only within a network


def hints(settings: Settings) -> Iterator[str]:
    """Yield each hint in one line: which field, what may happen, and what to do."""
    yield from _private_endpoint(settings)
    yield from _forgotten(settings)
    yield from _behind(settings)


def hints_at_secrets(secret: Collection[str]) -> Iterator[str]:
    """Yield one if more was set as a secret than is kept as one.

    Args:
        secret: the top-level keys that have something encrypted in the stack file.
    """
    if others := sorted({*secret} - {SSH_PRIVATE_KEY_FIELD}):
        yield (
            f"{', '.join(others)}: what is encrypted there is so in the stack file alone. Of all"
            f" settings only {SSH_PRIVATE_KEY_FIELD} is kept as a secret; the others stand in the"
            " state in clear, though `pulumi` shows [secret] in their place. Don't write there what"
            " nobody may read. Set without --secret, this is not said again."
        )


def _private_endpoint(settings: Settings) -> Iterator[str]:
    """Whoever reaches the VPS by another network may not mean that peers dial it there."""
    host = settings.vps.ssh.host[0]
    address = as_ip(host)
    if (
        settings.vps.endpoint is None
        and address
        and any(address in each for each in _OF_NO_INTERNET)
    ):
        yield (
            f"vps.endpoint: is missing, so peers dial the first of vps.ssh.host, {host}, which is a"
            " private address: who is elsewhere never gets there. Write the VPS's public address or"
            " name; if that one is meant, write it there, and this is not said again."
        )


def _forgotten(settings: Settings) -> Iterator[str]:
    if settings.vps.forget:
        yield (
            "vps.forget: nothing is done on the VPS any more. `pulumi destroy` then takes the"
            " tunnel from the servers and lets the VPS go; with another machine's ssh.host and"
            " ssh.hostKey, and without `forget`, `pulumi up` sets that one up."
        )
    for name in settings.managed_servers:
        if settings.is_forgotten(name):
            yield (
                f"servers.{name}.forget: nothing is done on {name} any more. When this `pulumi up`"
                " is through, take its entry out, and the forwards that lead to it, and run"
                " `pulumi up` again."
            )


def _behind(settings: Settings) -> Iterator[str]:
    """Targets behind a server.

    Whether a host behind a server answers through it is known to nobody but that host: its own
    default route decides. So the choice is asked for, and writing it down, either way, is the
    answer.
    """
    for name, forward in settings.forwards.items():
        there = settings.destination(name)
        if there.behind and "source_address" not in forward.model_fields_set:
            yield (
                f"forwards.{name}: {there.address} is behind {there.server} and is shown the "
                "visitor's own address, so it must answer through that server. A container there "
                "does, and so does a host whose default route is that server; any other answers "
                "through its own router, and the visitor hears nothing. For those write "
                f"sourceAddress: {SourceAddress.TUNNEL}; if it does answer through "
                f"{there.server}, write sourceAddress: {SourceAddress.CLIENT}, and this is not "
                "said again."
            )
