"""What is to leave the tunnel and can't be cleaned, or is to come to what is gone."""

from collections.abc import Mapping, Sequence

from components.preflight.known import Known
from components.preflight.lookup import Closed, find_closed
from components.preflight.problem import HostProblem
from reach import Login
from reach.entries.part import OF_EVERY_HOST, wanted_of
from settings import VPS


def machines_before(known: Known) -> Mapping[str, Closed]:
    """By host, the machine that it was, if it is another one by now and that can't be cleaned."""
    before = {
        name: machine
        for name, (login, *_) in known.logins.items()
        # The claim's comes first, and counts: by its delete the machine is cleaned.
        for machine in reversed(known.record.machines.get(name, ()))
        if machine.host_key != login.host_key
    }
    return find_closed(before)


def never_let_go(known: Known, before: Mapping[str, Closed]) -> list[HostProblem]:
    """Machines that may live, and can't be cleaned when another one takes their place."""
    return [
        HostProblem(
            f"{name} was {machine.login}, which may still run, and the tunnel can't be"
            f" removed from it: {machine.why} With the same key it would be in its successor's"
            " place now and then. Let the login in there for this `pulumi up`, or switch it off."
            f" If it may keep what it has: {known.settings.path_of(name)}.forget: true, `pulumi"
            " up`, and then without `forget` another one."
        )
        for name, machine in before.items()
        if not machine.gone and name not in known.record.forgotten
    ]


def never_cleaned(known: Known) -> list[HostProblem]:
    """Servers that are to leave the tunnel, and can't be cleaned: their deletes would fail."""
    leaving = _leaving(known)

    def told(name: str, why: str) -> str:
        gone, back, out = "it is", "its entry back", "the entry"
        if name in known.settings.servers:
            gone, back, out = "its ssh is", "its ssh back", "the ssh"
        return (
            f"{name} ({leaving[name]}): {gone} no more in the stack file, and the tunnel can't be"
            f" removed from it: {why} If it is gone for good, put {back} with `forget: true`, run"
            f" `pulumi up`, and then take {out} out."
        )

    return [
        HostProblem(told(name, closed.why), unreachable=True)
        for name, closed in find_closed(leaving).items()
    ]


def cut_off_before(known: Known) -> list[HostProblem]:
    """Servers that are to be cleaned by the tunnel, and lose it before: their deletes would fail.

    Deletes come last. By then another peer has the address, unless it is the same machine by its
    new name, which is found there.
    """
    owners = {str(known.settings.address_of(name)): name for name in (VPS, *known.settings.peers)}
    found = [
        (name, machine, owners[machine.host])
        for name, machine in _leaving(known).items()
        if machine.through is not None and owners.get(machine.host, name) != name
    ]
    return [
        HostProblem(
            f"{name} ({machine}): is no more in the stack file, and the tunnel is to be removed"
            f" from it by the tunnel itself, where {owner} gets its address before. Give"
            f" {owner} another one for this `pulumi up`, and this one with the next."
        )
        for name, machine, owner in found
        if machine.host_key not in {login.host_key for login in known.logins.get(owner, ())}
    ]


def _leaving(known: Known) -> Mapping[str, Login]:
    """The servers that are to leave the tunnel, and how they will be reached for that."""
    staying = {*known.settings.managed_hosts} | known.record.forgotten
    return {
        name: machines[0] for name, machines in known.record.machines.items() if name not in staying
    }


def never_made(known: Known) -> list[HostProblem]:
    """Entries that are new on hosts that are forgotten: they would be made on what is gone.

    What a host itself is made of may be lacking, where its first `up` was broken off: that must not
    keep it from being forgotten. But one of which nothing at all is recorded is new itself.
    """
    unknown = [host for host in known.settings.forgotten if host not in known.record.machines]
    return [
        HostProblem(
            f"{host}: nothing of it is in the state, so there is nothing to be forgotten, and"
            f" nothing is made there ({known.settings.path_of(host)}.forget). Take `forget` out of"
            " the stack file if the machine is there; else"
            f" {'name another one (vps.ssh), too' if host == VPS else 'all of the entry'}."
        )
        for host in unknown
    ] + [
        HostProblem(
            f"{host}: {' '.join(filter(None, [part.value, name]))} is new, and nothing is done"
            f" there any more ({known.settings.path_of(host)}.forget). Take it out of the stack"
            " file until another machine is there (its ssh, and no `forget`)."
        )
        for host in known.settings.forgotten
        if host not in unknown
        for part, names in wanted_of(known.settings, host).items()
        for name in names
        if part not in OF_EVERY_HOST and (host, part, name) not in known.record.entries
    ]


def never_finished(known: Known) -> frozenset[str]:
    """Hosts that are forgotten, and died in their first `up`: the rest of it is never made."""
    return frozenset(
        host
        for host in known.settings.forgotten
        if host in known.record.machines
        and any((host, part, "") not in known.record.entries for part in OF_EVERY_HOST)
    )


def never_removed(known: Known) -> list[HostProblem]:
    """Entries that are to go from hosts that stay, and can't: their deletes would fail.

    A delete goes by the connection that is recorded. Where the machine is another one by now, or
    its sshd listens elsewhere, that leads nowhere; an `up` that still has the entry records the
    new one.
    """

    def open_ways(host: str) -> Sequence[Login]:
        """By which it was reached just now, or, where nobody was, may be."""
        way = known.seen[host].way if host in known.seen else None
        return known.logins.get(host, ()) if way is None else [known.logins[host][way]]

    hosts = (known.logins.keys() | set(known.settings.forgotten)) - known.record.forgotten
    wanted = {host: wanted_of(known.settings, host) for host in hosts}
    leaving = {
        (host, part, name): login
        for (host, part, name), login in known.record.entries.items()
        if host in hosts and name not in wanted[host][part] and login not in open_ways(host)
    }
    ways = {str(login): login for login in leaving.values()}
    closed = find_closed(ways)
    return [
        HostProblem(
            f"{host} ({login}): {' '.join(filter(None, [part.value, name]))}"
            " is no more in the stack file, and can't be removed by this way, by which it was"
            f" made: {closed[str(login)].why} Put it back for this `pulumi up`, and"
            " take it out for the next.",
            unreachable=True,
        )
        for (host, part, name), login in leaving.items()
        if str(login) in closed
    ]
