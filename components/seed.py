"""Seeds: what keys are derived from, and all that the Pulumi state keeps of them."""

import pulumi
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pulumi_random import RandomPassword

# Letters and digits only: 64 of them hold 381 bits, more than the 256 of a key.
_LENGTH = 64
_KEY_LENGTH = 32  # bytes, of all of WireGuard's keys


def make_seed(name: str, *, generation: str | None, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Registers a seed; secret. Another generation is another seed; None is the first one.

    It is a `RandomPassword`, because its ID in the state is `none`; that of `RandomBytes` would be
    the secret itself, in clear.
    """
    seed = RandomPassword(
        name,
        length=_LENGTH,
        special=False,
        keepers=None if generation is None else {"generation": generation},
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return seed.result


def derived(seed: str, purpose: bytes) -> bytes:
    """32 bytes that nobody can know without the seed; others for each purpose."""
    hkdf = HKDF(hashes.SHA256(), length=_KEY_LENGTH, salt=None, info=purpose)
    return hkdf.derive(seed.encode())
