"""Protocols that have ports."""

from enum import StrEnum


class Protocol(StrEnum):
    """TCP, UDP or both at once."""

    TCP = "tcp"
    UDP = "udp"
    BOTH = "tcp+udp"

    @property
    def parts(self) -> tuple["Protocol", ...]:
        """The single protocols that it stands for."""
        return (Protocol.TCP, Protocol.UDP) if self is Protocol.BOTH else (self,)


WHY = "these are the protocols that have ports"
