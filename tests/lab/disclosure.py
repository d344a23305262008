"""Finding a secret in whatever was printed, logged or written, in every form that it could have."""

import base64
import binascii
import urllib.parse
from collections.abc import Iterator, Mapping

# Bytes of a form that are looked for, its first and its last ones: text may be cut off. 16 letters
# of hex, the least of the forms, are 64 bits, which nothing else has by chance.
_PIECE = 16


class Secrets:
    """Secrets, by a name for each, and the search for them.

    Args:
        secrets: texts. What a text that is base64 means is looked for, too.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._pieces: dict[bytes, str] = {}
        for name, text in secrets.items():
            for form, value in _forms(text):
                for piece in (value[:_PIECE], value[-_PIECE:]):
                    if len(piece) == _PIECE:
                        self._pieces.setdefault(piece, f"{name} in {form}")

    def found_in(self, written: str | bytes) -> list[str]:
        """Which secrets are there, each with the form it has; sorted."""
        if isinstance(written, str):
            written = written.encode(errors="surrogateescape")
        return sorted({said for piece, said in self._pieces.items() if piece in written})


def _forms(text: str) -> Iterator[tuple[str, bytes]]:
    yield from _forms_of_bytes("clear", text.encode())
    yield "a URL", urllib.parse.quote(text, safe="").encode()
    raw = _from_base64(text)
    if raw is not None:
        yield from _forms_of_bytes("bytes", raw)


def _forms_of_bytes(form: str, value: bytes) -> Iterator[tuple[str, bytes]]:
    yield form, value
    yield f"hex of its {form}", value.hex().encode()
    yield f"hex of its {form}", value.hex().upper().encode()
    yield f"hex of its {form}", value.hex(":").encode()
    yield f"numbers of its {form}", " ".join(map(str, value)).encode()
    yield f"numbers of its {form}", ", ".join(map(str, value)).encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Inside of a longer text it may begin at any of the three places of a group; the letters
        # that depend on its neighbours are left out.
        for before in range(3):
            kept = value[(-before) % 3 :]
            kept = kept[: len(kept) // 3 * 3]
            yield f"base64 of its {form}", encode(kept)


def _from_base64(text: str) -> bytes | None:
    """The bytes that a text means; None if it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
