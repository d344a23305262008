"""What forwards hide: services of the VPS's own, from the facts that the look-up brought."""

from collections.abc import Iterator

from components.preflight.host_facts import HostFacts
from components.preflight.wanted import Wanted, public_interface
from reach.told import few


def warn_of_hidden(facts: HostFacts, wanted: Wanted) -> Iterator[str]:
    """The services at whose ports new forwards will take visitors in, with what to do.

    One sentence or two, to be put behind the host's name. A forward comes before whatever listens
    at its port; one that is open there already has been warned of.
    """
    mine = facts.tunnels.get(wanted.interface)
    open_ones = mine.forwards if mine else ()
    visited = {None, public_interface(facts, wanted)}
    hidden = [
        f"{forward.name} ({each.protocol} {each.port}{each.program and f': {each.program}'})"
        for forward in wanted.forwards
        for each in facts.listeners
        if each.interface in visited
        and each.has_port_of(forward)
        and not any(map(each.has_port_of, open_ones))
    ]
    if hidden:
        yield (
            f"listens itself at ports of these forwards: {few(hidden)}. If that is not meant,"
            " choose other ones (forwards.NAME.port)."
        )
