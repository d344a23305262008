"""Keys that users bring: WireGuard public keys, and the SSH private key."""

import base64
import binascii
import re
from typing import Annotated

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from pydantic import SecretStr

from settings.fields.check import Check
from settings.late import Late
from settings.problem import RefusedError, Rule

PUBLIC_KEY = Rule(
    "a WireGuard public key, 44 characters of base64 as `wg pubkey` prints it",
    "by it the VPS knows the peer, whose private key never leaves it",
)
SSH_PRIVATE_KEY_FIELD = "sshPrivateKey"
SSH_PRIVATE_KEY = Rule(
    "a private key in the OpenSSH or PEM format, without a passphrase, set by "
    f"`pulumi config set --secret {SSH_PRIVATE_KEY_FIELD} < ~/.ssh/id_ed25519`; or leave it out "
    "and use an SSH agent",
    "this is how Pulumi logs in on the hosts",
)

_PUBLIC_KEY_BYTES = 32
_PEM = re.compile(
    r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\n.*\n-----END \1PRIVATE KEY-----", re.DOTALL
)
_LOGIN_KEYS = (Ed25519PrivateKey, RSAPrivateKey, EllipticCurvePrivateKey)
_LOGIN_CURVES = (SECP256R1, SECP384R1, SECP521R1)
_LONGEST_PRIVATE_KEY = 65536  # characters; an RSA key of 16384 bits has some 13,000


def check_public_key(key: object) -> str:
    """Return `key`, a WireGuard public key in base64.

    A refused text is not shown in full: it may be a private key that lost a character.
    """
    if not isinstance(key, str):
        raise PUBLIC_KEY.refuse(key)
    key = key.strip()
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise _public_key_refused(key) from None
    if len(raw) != _PUBLIC_KEY_BYTES or base64.b64encode(raw).decode() != key:
        raise _public_key_refused(key)
    if not any(raw):
        raise PUBLIC_KEY.refuse_hidden("the key of zeros is no key")
    return key


def _public_key_refused(key: str) -> RefusedError:
    start = key[:4] if key.isprintable() and key.isascii() else ""
    return PUBLIC_KEY.refuse_hidden(f'"{start}..." ({len(key)} characters) is not a public key')


PublicKeyField = Annotated[
    Late[str] | None,
    Check(
        check_public_key,
        PUBLIC_KEY,
        {"type": "string", "pattern": r"^\s*[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\s*$"},
        late=True,
    ),
]


def check_ssh_private_key(key: object) -> SecretStr:
    """Return `key`, an unencrypted private key, as PKCS #8. It is never shown.

    Of all writings that is the shortest, a third of OpenSSH's, and it stands in the state twice
    with every command.
    """
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key.strip():
        raise SSH_PRIVATE_KEY.refuse_hidden("the value (hidden) is not a private key")
    text = "\n".join(line.strip() for line in key.strip().splitlines())
    if text.startswith(("ssh-", "ecdsa-")):
        raise SSH_PRIVATE_KEY.refuse_hidden("this is the public half (hidden)")
    if text.startswith("PuTTY-User-Key-File"):
        raise SSH_PRIVATE_KEY.refuse_hidden(
            "the value (hidden) is in PuTTY's own format; `puttygen KEY.ppk -O private-openssh` "
            "turns it into OpenSSH's"
        )
    match = _PEM.fullmatch(text) if len(text) <= _LONGEST_PRIVATE_KEY else None
    if not match:
        raise SSH_PRIVATE_KEY.refuse_hidden("the value (hidden) is not a private key")
    load = load_ssh_private_key if match[1] == "OPENSSH " else load_pem_private_key
    try:
        loaded = load(f"{text}\n".encode(), None)
    except TypeError:
        raise SSH_PRIVATE_KEY.refuse_hidden("the key (hidden) is locked by a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SSH_PRIVATE_KEY.refuse_hidden(
            "the key (hidden) is damaged, or of an unknown kind"
        ) from None
    if not isinstance(loaded, _LOGIN_KEYS) or (
        isinstance(loaded, EllipticCurvePrivateKey) and not isinstance(loaded.curve, _LOGIN_CURVES)
    ):
        raise SSH_PRIVATE_KEY.refuse_hidden(
            "the key (hidden) is of a kind that no sshd takes; Ed25519, RSA, and ECDSA by P-256, "
            "P-384 or P-521 are taken"
        )
    written = loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SecretStr(written.decode())
