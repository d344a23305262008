"""The VPS's own firewall."""

from enum import StrEnum
from typing import Annotated

from settings.fields.choice import choice


class Firewall(StrEnum):
    """What gets in from the internet.

    `none`: none of ours. `defaultDeny`: only SSH, WireGuard, ICMP and the forwards.
    """

    NONE = "none"
    DEFAULT_DENY = "defaultDeny"


FirewallField = Annotated[
    Firewall, choice(Firewall, "either all is refused that nothing allows, or we refuse nothing")
]
