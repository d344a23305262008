"""Keys: derived from the seed, always in the same way, and what WireGuard itself makes of them."""

import base64

import pulumi
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from components import key_pair
from components.key_pair import KeyPair, private_key, public_key
from tests.components.recording import SEED, deploy


def base64_of(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


@pytest.mark.parametrize(
    ("private", "public"),
    [
        (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        ),
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ),
    ],
)
def test_public_keys_are_those_of_rfc_7748(private: str, public: str) -> None:
    """Section 6.1, Alice and Bob."""
    assert public_key(base64_of(private)) == base64_of(public)


@pytest.mark.parametrize(
    ("scalar", "point", "product"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_a_clamped_key_is_the_same_scalar(scalar: str, point: str, product: str) -> None:
    """By the vectors of RFC 7748, section 5.2: their scalars are not clamped."""
    clamped = key_pair._clamped(bytes.fromhex(scalar))
    assert clamped.hex() != scalar
    private = X25519PrivateKey.from_private_bytes(clamped)
    public = X25519PublicKey.from_public_bytes(bytes.fromhex(point))
    assert private.exchange(public).hex() == product


def test_the_key_of_a_seed_never_changes() -> None:
    """Another one would be another key on every host of every stack there is."""
    assert private_key("a" * 64) == "oM/9D5RNmY5x8RXccWx76ZTjhuZu5hdgdOdr1/Jma3Q="


def test_different_seeds_give_different_keys() -> None:
    assert private_key("a" * 64) != private_key("a" * 63 + "b")


@pytest.mark.parametrize("letter", "abcdefgh")
def test_a_private_key_is_clamped_as_wg_genkey_does(letter: str) -> None:
    """So that `wg show` on the host says the key that was sent."""
    raw = base64.b64decode(private_key(letter * 64), validate=True)
    assert len(raw) == 32
    assert raw[0] & 7 == 0
    assert raw[31] & 128 == 0
    assert raw[31] & 64 == 64


@pytest.mark.parametrize("text", ["", "not base64!", base64_of("00" * 31)])
def test_what_is_no_private_key_has_no_public_one(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        public_key(text)


def test_the_private_key_is_secret_and_the_public_one_is_not() -> None:
    def program() -> dict[str, pulumi.Output[str]]:
        pair = KeyPair("laptop")
        return {"private": pair.private_key, "public": pair.public_key}

    made = deploy(program)
    assert made.secret_outputs == {"private"}
    assert made.outputs["private"] == private_key(f"laptop-seed:{SEED}")
    assert made.outputs["public"] == public_key(made.outputs["private"])


def test_before_its_seed_is_made_a_key_is_unknown_and_a_preview_says_so() -> None:
    """A preview must not show a key that `up` would not make."""

    def program() -> dict[str, pulumi.Output[str]]:
        pair = KeyPair("unborn")
        return {"private": pair.private_key, "public": pair.public_key}

    assert deploy(program, preview=True).unknown_outputs == {"private", "public"}
