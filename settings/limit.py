"""How much one visitor may ask of a forward."""

from typing import Annotated

from settings.fields.numbers import whole
from settings.model import Model
from settings.problem import Rule

MOST_NEW, MOST_CONCURRENT = 10_000, 65_535

NOBODY = "0 would let nobody in, which is what `enabled: false` says"
NEW = Rule(
    f"a whole number from 1 to {MOST_NEW}",
    f"{NOBODY}, and more from one address is beyond what a small VPS carries",
)
CONCURRENT = Rule(
    f"a whole number from 1 to {MOST_CONCURRENT}",
    f"{NOBODY}, and an address has no more ports to come from",
)


class Limit(Model):
    """How much one visitor, told by the address, may ask of a forward: one of the two, or both."""

    new_per_second: Annotated[int | None, whole(NEW, 1, MOST_NEW)] = None
    """New connections a second; more are dropped."""

    concurrent: Annotated[int | None, whole(CONCURRENT, 1, MOST_CONCURRENT)] = None
    """Connections at the same time; more are dropped."""
