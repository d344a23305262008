"""Who installs the packages that a host needs."""

from enum import StrEnum
from typing import Annotated

from settings.fields.choice import choice


class Packages(StrEnum):
    """`install`: Pulumi does, by apt. `manual`: you do; the look-up says what is missing."""

    INSTALL = "install"
    MANUAL = "manual"


PackagesField = Annotated[
    Packages, choice(Packages, "either Pulumi installs what is missing, by apt, or you do")
]
