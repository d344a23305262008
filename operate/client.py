"""`reverse-tunnel client`: what a client device needs to join, for its screen or as a file."""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from operate.failure import CommandError
from operate.output import STDOUT, on_terminal, output_option, write_secret
from operate.qr_code import as_png, as_svg, as_terminal, terminal_columns
from operate.stack import Stack, stack_option
from operate.wireguard_file import has_private_key

_KINDS: Mapping[str, Callable[[str], bytes]] = {
    ".conf": str.encode,
    ".png": as_png,
    ".svg": as_svg,
}
_TEXT = ".conf"


@click.command(short_help="Show a client's QR code, or write its WireGuard file.")
@click.argument("name")
@output_option(
    "Write it to FILE (mode 0600) instead of showing it: .conf, .png or .svg; - prints the .conf.",
    default=None,
)
@stack_option
def client(name: str, output: Path | None, stack: Stack) -> None:
    """Show the QR code by which the client NAME joins; or write its WireGuard file.

    In the WireGuard app of a phone: +, "Scan from QR code". A laptop takes the file:
    `--output laptop.conf`. Both hold the device's private key: whoever has them is that device.

    A client whose publicKey the stack file gives keeps its private key to itself. It has no QR
    code; its file has a line where the key is to be put in, on the device.
    """
    kind = _kind(output)
    text = _file_of(name, stack)
    complete = has_private_key(text)
    if not complete:
        if kind != _TEXT and output is not None:
            raise CommandError(
                f"{name} keeps its private key to itself, so a QR code of its file would be of no"
                f" use. Write the file, and put the key in on the device: --output {name}.conf"
            )
        click.echo(
            f"{name} keeps its private key to itself: on the device, put it in the place of the"
            " words behind PrivateKey.",
            err=True,
        )
    if output is not None:
        write_secret(output, _KINDS[kind](text))
    elif complete:
        code = as_terminal(text)
        _check_letters(code, name)
        _check_room(text)
        click.echo(code, nl=False)
    else:
        click.echo(text, nl=False)


def _kind(output: Path | None) -> str:
    kind = _TEXT if output in {None, STDOUT} else output.suffix.lower()
    if kind not in _KINDS:
        *others, last = _KINDS
        allowed = f"{', '.join(others)} or {last}"
        raise click.BadOptionUsage("output", f"{output} must end in {allowed}.")
    return kind


def _check_letters(code: str, name: str) -> None:
    """Not every terminal has those of which a code is made."""
    encoding = sys.stdout.encoding
    try:
        code.encode(encoding)
    except UnicodeEncodeError:
        raise CommandError(
            f"this terminal can't show the code: its letters are {encoding}, by the locale (LANG),"
            f" not UTF-8. Write the code as a picture: --output {name}.png"
        ) from None


def _check_room(text: str) -> None:
    """A code whose lines are broken can't be read."""
    room, needed = _columns(), terminal_columns(text)
    if room is not None and room < needed:
        raise CommandError(
            f"the code takes {needed} columns, and this terminal has {room}: widen it, or choose"
            " smaller letters; or write the code as a picture (--output NAME.png)"
        )


def _columns() -> int | None:
    """Of the terminal; None if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if on_terminal() else None


def _file_of(name: str, stack: Stack) -> str:
    files = stack.output("clientConfigs")
    if name not in files:
        known = ", ".join(sorted(files)) or "none"
        raise CommandError(
            f"there is no client {name}. As of the last `pulumi up` there are: {known}"
        )
    return files[name]
