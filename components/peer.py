"""A peer of the VPS: a server or a client."""

from collections.abc import Sequence

import pulumi
from pulumi_command import remote

from components.host import Host
from components.remote import Remote
from reach.entries.part import Part
from reach.entries.recorded import PEER, command_of
from settings import VPS


class Peer(pulumi.ComponentResource):
    """One peer on the VPS, known by its public key and allowed its own addresses.

    Attributes:
        command: what makes it known on the VPS; forwards to hosts behind it depend on it.
        last: the last of its commands, after which it can shake hands.
    """

    command: remote.Command
    last: remote.Command

    def __init__(  # noqa: PLR0913 - what a peer is made of
        self,
        name: str,
        *,
        vps: Host,
        host: Remote,
        public_key: pulumi.Input[str],
        preshared_key: pulumi.Output[str] | None = None,
        lines: Sequence[str],
        drift: str | None = None,
        key_drift: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Registers the peer.

        Args:
            name: the user's name for the server or client.
            vps: the host it is a peer of.
            host: how commands reach that.
            public_key: of the peer, base64.
            preshared_key: the one that it shares with the VPS, base64, secret; None for none.
            lines: what else the helper is told: its addresses, its way out.
            drift: what is wrong with it on the VPS.
            key_drift: what is wrong with its preshared key there.
            opts: of the component.
        """
        super().__init__(PEER, name, None, opts)
        self.command = host.command(
            command_of(VPS, Part.PEER, name),
            parent=self,
            create=host.texts.call("put-peer", name),
            drift=drift,
            delete=host.texts.call_if_there("remove-peer", name),
            stdin=pulumi.Output.concat(
                "public-key ", public_key, "\n", *(f"{line}\n" for line in lines)
            ),
            depends_on=[vps.interface],
            deleted_with=vps.claim,
        )
        self.last = self.command
        if preshared_key is not None:
            # A command of its own, so that every other change stays readable in a diff.
            self.last = host.command(
                command_of(VPS, Part.PRESHARED_KEY, name),
                parent=self,
                create=host.texts.call("put-preshared-key", name),
                drift=key_drift,
                delete=host.texts.call_if_there("remove-preshared-key", name),
                stdin=preshared_key.apply(lambda key: f"{key}\n"),
                secret=True,
                depends_on=[self.command],
                deleted_with=vps.claim,
                part_of=self.command,
            )
