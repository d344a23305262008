"""The last step of an `up`: waiting until the tunnel carries something."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
from pulumi_command import remote

from components.remote import Remote
from reach.entries.recorded import HANDSHAKE


def wait_for_handshakes(  # noqa: PLR0913 - what is waited for, and what must be there first
    *,
    host: Remote,
    public_key: pulumi.Input[str],
    peers: Mapping[str, pulumi.Input[str]],
    silent: bool,
    endpoint: pulumi.Input[str],
    identities: Sequence[pulumi.Input[str]],
    drift: str | None,
    parent: pulumi.Resource,
    depends_on: Sequence[remote.Command],
) -> None:
    """Registers a command on the VPS that waits for each managed server's handshake.

    It is a resource of its own, without a delete: were it part of a host, its failure would lose
    that host from the state. It runs again when a host, a peer or the network changes, and it
    lists neither clients nor forwards, which come and go without it.

    Args:
        host: how commands reach the VPS.
        public_key: of the VPS; with another one, what was said before counts no more.
        peers: the managed servers' public keys, by name.
        silent: whether they say nothing by themselves, but to another key of the VPS.
        endpoint: `host:port` that they dial, for the message if none of them comes.
        identities: what makes the servers the machines that they are.
        drift: what one of them has lost, and gets again before.
        parent: the component it belongs to.
        depends_on: the last commands of the hosts and peers concerned.
    """
    host = replace(host, identity=(*host.identity, *identities))
    lines = [
        *(pulumi.Output.concat(f"peer {peer} ", key, "\n") for peer, key in peers.items()),
        pulumi.Output.concat("endpoint ", endpoint, "\n"),
        pulumi.Output.concat("public-key ", public_key, "\n"),
    ]
    host.command(
        HANDSHAKE,
        parent=parent,
        create=host.texts.call("wait-handshake"),
        drift=drift,
        stdin=pulumi.Output.concat(*lines, "silent\n" if silent else ""),
        depends_on=depends_on,
    )
