"""The script by which a server that nobody logs in to is set up, and taken down again."""

from reach.shell import unmanaged_text
from settings import Packages

_PLACE_OF_THE_FILE = "@FILE@\n"
_END = "END-OF-REVERSE-TUNNEL"


def install_script(interface: str, file: str, packages: Packages) -> str:
    """The script that installs a WireGuard file as the tunnel `interface`, and starts it."""
    return _script(f"install {interface} {packages}", file)


def uninstall_script(interface: str) -> str:
    """The script that takes it all away; there is no secret in it."""
    return _script(f"uninstall {interface}", "")


def _script(words: str, file: str) -> str:
    """The program with its file and its words, to be pasted or piped into any user's shell.

    Between the lines with the end's name it is data for the shell that is started, so an
    interactive one neither runs it line by line, nor ends with it.
    """
    program = unmanaged_text().replace(_PLACE_OF_THE_FILE, file)
    # The blank in front keeps it, and so the key, out of the history of most shells.
    start = f""" $(test "$(id -u)" = 0 || echo sudo) sh -s {words} <<'{_END}'"""
    return f"{start}\n{program}{_END}\n"
