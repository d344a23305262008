"""Where the helper lies on a host, and how it is called."""

import shlex
from hashlib import sha256

PROTOCOL = 1
"""The version of the helper's command line. Recorded deletes carry it for years."""

LIBRARY = "/usr/local/lib/reverse-tunnel"
"""Folder of the helpers on a host, one sub-folder per tunnel."""


def claimant(name: str, host_key: str) -> str:
    """Who has a tunnel on a host: a stack's host by its name there, on the machine of that key.

    A rename, or another key of the same machine, is another claimant; what the old one's delete
    finds then is not its own any more.
    """
    return f"{name}:{sha256(host_key.encode('utf-8')).hexdigest()[:16]}"


def helper_call(interface: str, verb: str, *words: str) -> str:
    """The line of shell that calls the helper of the tunnel `interface`."""
    return f"{helper_path(interface)} {shlex.join([str(PROTOCOL), verb, *words])}"


def helper_path(interface: str) -> str:
    """Where that helper lies, as a word of shell."""
    return f"{helper_folder(interface)}/reverse-tunnel"


def helper_folder(interface: str) -> str:
    """The folder of that helper, which is the tunnel's own, as a word of shell."""
    return f"{LIBRARY}/{shlex.quote(interface)}"
