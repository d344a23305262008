"""A WireGuard key pair, kept in the Pulumi state as the seed it is derived from."""

import base64

import pulumi
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from components.seed import derived, make_seed

# Separates these keys from anything else that may ever be derived from a seed. Never change it:
# every key would change.
_PURPOSE = b"reverse-tunnel wireguard private key 1"


class KeyPair(pulumi.ComponentResource):
    """The keys of one end of the tunnel: the VPS, a server or a client.

    Attributes:
        private_key: secret; base64, as WireGuard's files have it.
        public_key: base64; not secret.
    """

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        generation: str | None = None,
    ) -> None:
        """Registers the pair.

        Args:
            name: the user's name for that end, or `vps`.
            opts: of the component.
            generation: another one is another pair; None is the first one.
        """
        super().__init__("reverse-tunnel:index:KeyPair", name, None, opts)
        seed = make_seed(f"{name}-seed", generation=generation, parent=self)
        self.private_key = pulumi.Output.secret(seed.apply(private_key))
        self.public_key = pulumi.Output.unsecret(self.private_key.apply(public_key))
        self.register_outputs({"publicKey": self.public_key})


def private_key(seed: str) -> str:
    """The WireGuard private key of a seed, in base64."""
    return base64.b64encode(_clamped(derived(seed, _PURPOSE))).decode()


def public_key(private: str) -> str:
    """The public key that belongs to a private key, both in base64."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private, validate=True))
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _clamped(raw: bytes) -> bytes:
    """The bytes as X25519 uses them (RFC 7748, section 5).

    The kernel stores a key so, too: what `wg` shows then equals what we sent.
    """
    first, *middle, last = raw
    return bytes([first & 248, *middle, (last & 127) | 64])
