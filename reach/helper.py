"""Where the helper lies on a host, and how it is called."""

import shlex

PROTOCOL = 1
"""The version of the helper's command line. Recorded deletes carry it for years."""

LIBRARY = "/usr/local/lib/reverse-tunnel"
"""Folder of the helpers on a host, one sub-folder per tunnel."""


def helper_call(interface: str, verb: str, *words: str) -> str:
    """The line of shell that calls the helper of the tunnel `interface`."""
    helper = f"{LIBRARY}/{shlex.quote(interface)}/reverse-tunnel"
    return f"{helper} {shlex.join([str(PROTOCOL), verb, *words])}"
