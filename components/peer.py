"""A peer of the VPS: a server or a client."""

from collections.abc import Sequence

import pulumi
from pulumi_command import remote

from components.host import Host
from components.remote import Remote


class Peer(pulumi.ComponentResource):
    """One peer on the VPS, known by its public key and allowed its own addresses.

    Attributes:
        command: what makes it known on the VPS; forwards to hosts behind it depend on it.
    """

    command: remote.Command

    def __init__(  # noqa: PLR0913 - what a peer is made of
        self,
        name: str,
        *,
        vps: Host,
        host: Remote,
        public_key: pulumi.Input[str],
        lines: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Registers the peer.

        Args:
            name: the user's name for the server or client.
            vps: the host it is a peer of.
            host: how commands reach that.
            public_key: of the peer, base64.
            lines: what else the helper is told: its addresses, its way out.
            opts: of the component.
        """
        super().__init__("reverse-tunnel:index:Peer", name, None, opts)
        self.command = host.command(
            name,
            parent=self,
            create=host.texts.call("put-peer", name),
            delete=host.texts.call_if_there("remove-peer", name),
            stdin=pulumi.Output.concat(
                "public-key ", public_key, "\n", *(f"{line}\n" for line in lines)
            ),
            depends_on=[vps.interface],
            deleted_with=vps.claim,
        )
        self.register_outputs({})
