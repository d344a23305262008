"""A WireGuard file, as the outputs of a stack have it."""

import re

_PRIVATE_KEY = re.compile(r"^PrivateKey = ([A-Za-z0-9+/]{43}=)$", re.MULTILINE)


def has_private_key(text: str) -> bool:
    """Whether the file is complete; else the device keeps its private key to itself."""
    return _PRIVATE_KEY.search(text) is not None
