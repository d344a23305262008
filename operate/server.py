"""`reverse-tunnel server`: what a server that nobody logs in to needs, as one script or a file."""

from pathlib import Path

import click

from operate.failure import CommandError
from operate.output import output_option, write_secret
from operate.stack import Stack, stack_option
from operate.unmanaged import install_script, uninstall_script
from operate.wireguard_file import has_private_key
from settings import Server, Settings

_FILE = ".conf"


@click.command(short_help="Print what sets up a server without ssh, or takes it down.")
@click.argument("name")
@click.option("--uninstall", is_flag=True, help="The script that takes all of it away again.")
@output_option(
    "Write it to FILE (mode 0600) instead of printing it; to a .conf its WireGuard file alone."
)
@stack_option
def server(name: str, *, uninstall: bool, output: Path, stack: Stack) -> None:
    """Print the script that makes the server NAME, which has no ssh, part of the tunnel.

    Pipe it into the server's shell, or paste it there; it becomes root by sudo if need be:

        reverse-tunnel server cabin | ssh me@cabin sh

    It may be run again at any time, also after a change of the stack: where nothing has changed,
    it does nothing. It holds the server's private key; `--uninstall` gives one without.

    A server whose publicKey the stack file gives keeps its private key to itself, and is set up by
    hand: `--output cabin.conf` writes its WireGuard file, with a line where the key is to be put
    in.
    """
    settings = stack.settings_without_key()
    plain = output.suffix.lower() == _FILE
    if uninstall:
        if plain:
            raise click.BadOptionUsage("output", f"--uninstall is a script: no {_FILE} holds it.")
        # Whatever NAME is by now: it may have ssh, or be gone from the stack file.
        text = uninstall_script(settings.network.interface)
    elif plain:
        text = _file(name, settings, stack)
    else:
        text = _install_script(name, settings, stack)
    write_secret(output, text.encode())


def _install_script(name: str, settings: Settings, stack: Stack) -> str:
    wanted, file = _unmanaged(name, settings), _file_of(name, stack)
    interface = settings.network.interface
    if not has_private_key(file):
        raise CommandError(
            f"{name} keeps its private key to itself, so no script can set it up. Write its"
            f" WireGuard file (--output {name}{_FILE}), put it there by hand as"
            f" /etc/wireguard/{interface}.conf, and the key into it."
        )
    return install_script(interface, file, wanted.packages)


def _file(name: str, settings: Settings, stack: Stack) -> str:
    _unmanaged(name, settings)
    file = _file_of(name, stack)
    if not has_private_key(file):
        click.echo(
            f"{name} keeps its private key to itself: there, put it in the place of the words"
            " behind PrivateKey.",
            err=True,
        )
    return file


def _file_of(name: str, stack: Stack) -> str:
    files = stack.output("serverConfigs")
    if name not in files:
        raise CommandError(f"the stack knows no {name} yet: run `pulumi up` first")
    return files[name]


def _unmanaged(name: str, settings: Settings) -> Server:
    server = settings.servers.get(name)
    if server is None:
        known = ", ".join(sorted(settings.servers.keys() - settings.managed_servers.keys()))
        raise CommandError(f"there is no server {name}. Servers without ssh are: {known or 'none'}")
    if server.ssh is not None:
        raise CommandError(f"{name} has ssh, so it is `pulumi up` that sets it up")
    return server
