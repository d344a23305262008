"""The first message of a WireGuard handshake, with whatever time in it.

As the white paper has it (https://www.wireguard.com/papers/wireguard.pdf, 5.4.2). A host that
sends one with a later time, and then its own, is to the other end one whose clock was set back.
"""

import hashlib
import hmac
import os
import struct
from base64 import b64decode

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_TAI64 = (1 << 62) + 10  # of second 0 of Unix, as WireGuard counts
_NONCE = bytes(12)


def initiation(private: str, far_public: str, unix: int) -> bytes:
    """The message from the holder of a private key, as of that time; keys are base64."""
    own = X25519PrivateKey.from_private_bytes(b64decode(private))
    far_bytes = b64decode(far_public)
    far = X25519PublicKey.from_public_bytes(far_bytes)
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()

    chain = _hash(_CONSTRUCTION)
    seen = _hash(_hash(chain + _IDENTIFIER) + far_bytes)
    (chain,) = _derive(chain, ephemeral_public, 1)
    seen = _hash(seen + ephemeral_public)
    chain, key = _derive(chain, ephemeral.exchange(far), 2)
    static = ChaCha20Poly1305(key).encrypt(_NONCE, own.public_key().public_bytes_raw(), seen)
    seen = _hash(seen + static)
    chain, key = _derive(chain, own.exchange(far), 2)
    time = ChaCha20Poly1305(key).encrypt(_NONCE, struct.pack(">QI", _TAI64 + unix, 0), seen)

    message = struct.pack("<I", 1) + os.urandom(4) + ephemeral_public + static + time
    mac_key = _hash(b"mac1----" + far_bytes)
    mac = hashlib.blake2s(message, digest_size=16, key=mac_key).digest()
    return message + mac + bytes(16)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def _derive(chain: bytes, secret: bytes, keys: int) -> list[bytes]:
    """HKDF by BLAKE2s."""
    base = hmac.digest(chain, secret, hashlib.blake2s)
    derived: list[bytes] = []
    for number in range(1, keys + 1):
        before = derived[-1] if derived else b""
        derived.append(hmac.digest(base, before + bytes([number]), hashlib.blake2s))
    return derived
