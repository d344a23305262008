"""A key that a peer and the VPS share, beside their key pairs."""

import base64

import pulumi

from components.seed import derived, make_seed

# Never change it: every key would change.
_PURPOSE = b"reverse-tunnel wireguard preshared key 1"


class PresharedKey(pulumi.ComponentResource):
    """The preshared key of one peer of the VPS.

    Attributes:
        key: secret; base64, as WireGuard's files have it.
    """

    key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        generation: str | None = None,
    ) -> None:
        """Registers the key.

        Args:
            name: the user's name for the peer.
            opts: of the component.
            generation: another one is another key; None is the first one.
        """
        super().__init__("reverse-tunnel:index:PresharedKey", name, None, opts)
        seed = make_seed(f"{name}-preshared-seed", generation=generation, parent=self)
        self.key = pulumi.Output.secret(seed.apply(preshared_key))


def preshared_key(seed: str) -> str:
    """The preshared key of a seed, in base64."""
    return base64.b64encode(derived(seed, _PURPOSE)).decode()
