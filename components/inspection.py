"""Whether the hosts can become part of the tunnel, said before anything is registered."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pulumi

from components.advice import Wanted
from components.lookup import Problem, look_up
from reach import Login, login_of
from reach.drift import Drift, drift_of
from settings import Egress, Packages, Settings, Ssh
from settings.allow import VPS


class LookUpError(pulumi.RunError):
    """Hosts can't become part of the tunnel; the text lists every one, and what to do."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(_listed("The hosts are not ready, and nothing was changed:", problems))


def inspect_hosts(settings: Settings, owner: str) -> Drift:
    """Looks at all hosts at once, unless `look_up` is off.

    In a preview, hosts that nobody can reach now are warned of; whatever else is wrong is an
    error in a preview, too, because it would be one in the `up` that follows. What only may be
    wrong is a warning in both.

    Returns:
        Where hosts are no longer as the last `up` made them. It is warned of, too.

    Args:
        settings: of the stack.
        owner: the stack, `project/stack`.

    Raises:
        LookUpError: a host can't become part of the tunnel.
    """
    if not settings.look_up:
        return Drift()
    known: dict[str, tuple[Login, Wanted]] = {}
    unknown: list[str] = []
    for name, ssh, wanted in _hosts(settings, owner):
        login = login_of(settings, ssh)
        if login is None:
            unknown.append(name)
        else:
            known[name] = (login, wanted)
    if unknown:
        pulumi.log.info(f"not looked at, the connection is not known yet: {', '.join(unknown)}")
    seen = look_up(known) if known else {}
    found = [problem for each in seen.values() for problem in each.problems]
    uncertain = [problem for problem in found if problem.uncertain]
    if uncertain:
        pulumi.log.warn(_listed("This may keep the tunnel from working:", uncertain))
    problems = [problem for problem in found if not problem.uncertain]
    if problems:
        in_preview = pulumi.runtime.is_dry_run()
        if not in_preview or not all(problem.unreachable for problem in problems):
            raise LookUpError(problems)
        pulumi.log.warn(_listed("Hosts that can't be reached now:", problems))
    drift = Drift(
        {
            key: words
            for name, each in seen.items()
            if each.report is not None
            for key, words in drift_of(settings, name, each.report).found.items()
        }
    )
    if drift.found:
        head = "Hosts are not as the last `pulumi up` left them; this one puts that right:"
        pulumi.log.warn("\n".join([head, *(f"  {line}" for line in drift.lines())]))
    return drift


def _hosts(settings: Settings, owner: str) -> Iterator[tuple[str, Ssh, Wanted]]:
    network, vps = settings.network, settings.vps
    egresses = [server.egress for server in settings.servers.values()]
    egresses += [client.egress for client in settings.clients.values()]

    def wanted(packages: Packages) -> Wanted:
        return Wanted(network.interface, owner, network.cidr, packages, network.ipv6)

    on_vps = replace(
        wanted(vps.packages),
        listen_port=network.listen_port,
        public_interface=vps.public_interface,
        behind=tuple(
            (behind, name)
            for name, server in settings.servers.items()
            for behind in server.networks
        ),
        passes_on=len(egresses) > 1 or Egress.TUNNEL in egresses,
    )
    yield VPS, vps.ssh, on_vps
    for name, ssh in settings.managed_servers.items():
        server = settings.servers[name]
        yield name, ssh, replace(wanted(server.packages), passes_on=bool(server.networks))


def _listed(head: str, problems: Sequence[Problem]) -> str:
    return "\n".join([head, *(f"  {problem.text}" for problem in problems)])
