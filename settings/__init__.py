"""What a stack file means: models, the address plan, checks, words. Imports no Pulumi."""

from .allow import Allow
from .client import Client
from .egress import Egress
from .firewall import Firewall
from .forward import Forward, SourceAddress
from .hints import hints, hints_at_secrets
from .late import Late, is_late
from .limit import Limit
from .lines import (
    firewall_lines,
    forward_lines,
    interface_lines,
    metrics_lines,
    opening_lines,
    peer_lines,
)
from .loading import load
from .names import VPS
from .namespace import in_namespace
from .network import Network
from .packages import Packages
from .ports import Ports
from .problem import Problem, SettingsError
from .protocol import Protocol
from .server import Server
from .ssh import Ssh, Through
from .stack import Destination, Settings
from .vps import Vps
from .way import Way
from .words import forward_words

__all__ = [
    "VPS",
    "Allow",
    "Client",
    "Destination",
    "Egress",
    "Firewall",
    "Forward",
    "Late",
    "Limit",
    "Network",
    "Packages",
    "Ports",
    "Problem",
    "Protocol",
    "Server",
    "Settings",
    "SettingsError",
    "SourceAddress",
    "Ssh",
    "Through",
    "Vps",
    "Way",
    "firewall_lines",
    "forward_lines",
    "forward_words",
    "hints",
    "hints_at_secrets",
    "in_namespace",
    "interface_lines",
    "is_late",
    "load",
    "metrics_lines",
    "opening_lines",
    "peer_lines",
]
