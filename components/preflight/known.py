"""What is known of the hosts before anything is registered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.preflight.lookup import Seen
from components.preflight.record import Record
from reach import Login
from reach.entries.host_report import HostReport
from settings import VPS, Settings


@dataclass(frozen=True)
class Known:
    """What the stack file says, what the look has shown, and what the state has recorded.

    Attributes:
        settings: of the stack.
        logins: by host, the ways in to those whose connection is known.
        seen: what the look brought, by host.
        record: an empty one where what was seen explains itself.
    """

    settings: Settings
    logins: Mapping[str, Sequence[Login]]
    seen: Mapping[str, Seen]
    record: Record = field(default_factory=Record)

    @property
    def of_vps(self) -> HostReport | None:
        """What the VPS tells of its tunnel, if it was asked and has one."""
        return self.seen[VPS].report if VPS in self.seen else None
