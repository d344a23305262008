"""Whether the hosts can become part of the tunnel, said before anything is registered."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pulumi
from pydantic import SecretStr

from components.advice import Wanted
from components.lookup import Login, Problem, look_up
from settings import Packages, Settings, Ssh, is_late


class LookUpError(pulumi.RunError):
    """Hosts can't become part of the tunnel; the text lists every one, and what to do."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(_listed("The hosts are not ready, and nothing was changed:", problems))


def inspect_hosts(settings: Settings, owner: str) -> None:
    """Looks at all hosts at once, unless `look_up` is off.

    In a preview, hosts that nobody can reach now are warned of; whatever else is wrong is an
    error in a preview, too, because it would be one in the `up` that follows.

    Args:
        settings: of the stack.
        owner: the stack, `project/stack`.

    Raises:
        LookUpError: a host can't become part of the tunnel.
    """
    if not settings.look_up:
        return
    known: dict[str, tuple[Login, Wanted]] = {}
    unknown: list[str] = []
    for name, ssh, wanted in _hosts(settings, owner):
        login = _login(settings, ssh)
        if login is None:
            unknown.append(name)
        else:
            known[name] = (login, wanted)
    if unknown:
        pulumi.log.info(f"not looked at, the connection is not known yet: {', '.join(unknown)}")
    problems = look_up(known) if known else []
    if not problems:
        return
    if not pulumi.runtime.is_dry_run() or not all(problem.unreachable for problem in problems):
        raise LookUpError(problems)
    pulumi.log.warn(_listed("Hosts that can't be reached now:", problems))


def _hosts(settings: Settings, owner: str) -> Iterator[tuple[str, Ssh, Wanted]]:
    network, vps = settings.network, settings.vps

    def wanted(packages: Packages) -> Wanted:
        return Wanted(network.interface, owner, network.cidr, packages)

    on_vps = replace(
        wanted(vps.packages),
        listen_port=network.listen_port,
        public_interface=vps.public_interface,
        behind=tuple(
            (behind, name)
            for name, server in settings.servers.items()
            for behind in server.networks
        ),
    )
    yield "vps", vps.ssh, on_vps
    for name, server in settings.servers.items():
        if server.ssh is not None:
            yield name, server.ssh, wanted(server.packages)


def _login(settings: Settings, ssh: Ssh) -> Login | None:
    """How to reach a host; None where something of it comes from another resource."""
    key = settings.ssh_private_key
    match ssh.host, ssh.port, ssh.user, ssh.host_key:
        case str(host), int(port), str(user), str(host_key) if not is_late(key):
            text = key.get_secret_value() if isinstance(key, SecretStr) else None
            return Login(host, port, user, host_key, text)
    return None


def _listed(head: str, problems: Sequence[Problem]) -> str:
    return "\n".join([head, *(f"  {problem.text}" for problem in problems)])
