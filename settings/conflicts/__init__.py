"""Conflicts: what is right by itself and wrong beside something else.

Each rule is a function from the facts to the problems it finds, and leaves alone what is not
there: a field that is wrong has been reported already, a late one is known to nobody yet.
"""

from collections.abc import Iterator

from settings.conflicts import addresses, peers, ports, targets, without_effect
from settings.facts import Facts
from settings.problem import Problem


def conflicts(facts: Facts) -> Iterator[Problem]:
    """Yield every conflict in the facts of a `Settings`."""
    for rule in (
        *peers.RULES,
        *addresses.RULES,
        *without_effect.RULES,
        *ports.RULES,
        *targets.RULES,
    ):
        yield from rule(facts)
