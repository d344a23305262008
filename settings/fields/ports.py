"""Ports, single and in ranges."""

import re
from dataclasses import dataclass

from settings.fields.check import Check
from settings.fields.numbers import whole
from settings.problem import Rule

LOWEST, HIGHEST = 1, 65535

PORT = Rule(f"a whole number from {LOWEST} to {HIGHEST}", "TCP and UDP have no other ports")
PORTS = Rule(
    f'a port from {LOWEST} to {HIGHEST}, or a range of them such as "27000-27037"', PORT.why
)

_TEXT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, order=True)
class Ports:
    """One port, or all ports from `first` to `last`, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        """Return `80` or `27000-27037`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def one_port(*, late: bool = False) -> Check:
    """Return what annotates a field that takes a single port."""
    return whole(PORT, LOWEST, HIGHEST, late=late)


def check_ports(value: object) -> Ports:
    """Return the ports that `value` means: 80, "80", "27000-27037" or `Ports`."""
    if isinstance(value, Ports):
        first, last = value.first, value.last
    elif isinstance(value, int) and not isinstance(value, bool):
        first = last = int(value)
    elif isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        first = int(match[1])
        last = int(match[2] or match[1])
    else:
        raise PORTS.refuse(value)
    if not (LOWEST <= first <= HIGHEST and LOWEST <= last <= HIGHEST):
        raise PORTS.refuse(str(value) if isinstance(value, Ports) else value)
    if first > last:
        raise PORTS.refuse(f"{first}-{last}", "runs backwards")
    return Ports(first, last)


PORTS_SCHEMA = {
    "anyOf": [one_port().schema, {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$"}]
}
