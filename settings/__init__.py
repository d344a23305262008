"""What a stack file means: models, the address plan, checks, words. Imports no Pulumi."""

from settings.allow import Allow
from settings.client import Client
from settings.fields.egress import Egress
from settings.fields.firewall import Firewall
from settings.fields.keys import SSH_PRIVATE_KEY_FIELD
from settings.fields.names import VPS
from settings.fields.packages import Packages
from settings.fields.ports import Ports
from settings.fields.protocol import Protocol
from settings.forward import Forward, SourceAddress
from settings.hints import hints, hints_at_secrets
from settings.late import Late, is_late
from settings.limit import Limit
from settings.lines import (
    firewall_lines,
    forward_lines,
    interface_lines,
    metrics_lines,
    opening_lines,
    peer_lines,
)
from settings.loading import load
from settings.namespace import in_namespace
from settings.network import LEAST_OF_IPV6, Network
from settings.problem import Problem, SettingsError, shown
from settings.server import Server
from settings.ssh import HOST_KEY_TYPES, Ssh, Through, as_ip
from settings.stack import Destination, Settings
from settings.vps import Vps
from settings.way import Way
from settings.words import forward_words, limit_words

__all__ = [
    "HOST_KEY_TYPES",
    "LEAST_OF_IPV6",
    "SSH_PRIVATE_KEY_FIELD",
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
    "as_ip",
    "firewall_lines",
    "forward_lines",
    "forward_words",
    "hints",
    "hints_at_secrets",
    "in_namespace",
    "interface_lines",
    "is_late",
    "limit_words",
    "load",
    "metrics_lines",
    "opening_lines",
    "peer_lines",
    "shown",
]
