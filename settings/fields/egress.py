"""The way out: by which line a server or a client reaches the internet."""

from enum import StrEnum
from typing import Annotated

from settings.fields.choice import choice


class Egress(StrEnum):
    """`own`: by its own line. `tunnel`: through the tunnel, seen with the VPS's address."""

    OWN = "own"
    TUNNEL = "tunnel"


EgressField = Annotated[
    Egress, choice(Egress, "it reaches the internet either by its own line or as the VPS")
]
