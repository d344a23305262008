"""`reverse-tunnel server`: what a server that nobody logs in to needs, as one script."""

from pathlib import Path

import click

from operate.failure import CommandError
from operate.output import output_option, write_secret
from operate.stack import Stack, stack_option
from operate.unmanaged import install_script, uninstall_script
from operate.wireguard_file import has_private_key
from settings import Server, Settings


@click.command(short_help="Print what sets up a server without ssh, or takes it down.")
@click.argument("name")
@click.option("--uninstall", is_flag=True, help="The script that takes all of it away again.")
@output_option("Write it to FILE (mode 0600) instead of printing it.")
@stack_option
def server(name: str, *, uninstall: bool, output: Path, stack: Stack) -> None:
    """Print the script that makes the server NAME, which has no ssh, part of the tunnel.

    Pipe it into the server's shell, or paste it there; it becomes root by sudo if need be:

        reverse-tunnel server cabin | ssh me@cabin sh

    It may be run again at any time, also after a change of the stack: where nothing has changed,
    it does nothing. It holds the server's private key; `--uninstall` gives one without.
    """
    settings = stack.settings_without_key()
    if uninstall:
        # Whatever NAME is by now: it may have ssh, or be gone from the stack file.
        script = uninstall_script(settings.network.interface)
    else:
        script = _install_script(name, settings, stack)
    write_secret(output, script.encode())


def _install_script(name: str, settings: Settings, stack: Stack) -> str:
    wanted = _unmanaged(name, settings)
    interface = settings.network.interface
    files = stack.output("serverConfigs")
    if name not in files:
        raise CommandError(f"the stack knows no {name} yet: run `pulumi up` first")
    if not has_private_key(files[name]):
        raise CommandError(
            f"{name} keeps its private key to itself, so no script can set it up. Put its"
            f" WireGuard file there by hand (`pulumi stack output serverConfigs"
            f" --show-secrets`), and the key into it, as /etc/wireguard/{interface}.conf."
        )
    return install_script(interface, files[name], wanted.packages)


def _unmanaged(name: str, settings: Settings) -> Server:
    server = settings.servers.get(name)
    if server is None:
        known = ", ".join(sorted(settings.servers.keys() - settings.managed_servers.keys()))
        raise CommandError(f"there is no server {name}. Servers without ssh are: {known or 'none'}")
    if server.ssh is not None:
        raise CommandError(f"{name} has ssh, so it is `pulumi up` that sets it up")
    return server
