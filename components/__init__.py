"""The tunnel as Pulumi resources; `ReverseTunnel` is the front door.

Another program uses it so:

    from components import ReverseTunnel, ReverseTunnelArgs

Nothing here reads `pulumi.Config`: the settings come as arguments.
"""

from components.args import (
    AllowArgs,
    ArgumentsError,
    ClientArgs,
    ForwardArgs,
    LimitArgs,
    NetworkArgs,
    ReverseTunnelArgs,
    ServerArgs,
    SshArgs,
    ThroughArgs,
    VpsArgs,
)
from components.preflight.telling import LookUpError
from components.reverse_tunnel import ReverseTunnel
from components.sdk import all_begun, leave_out_sdk_messages

__all__ = [
    "AllowArgs",
    "ArgumentsError",
    "ClientArgs",
    "ForwardArgs",
    "LimitArgs",
    "LookUpError",
    "NetworkArgs",
    "ReverseTunnel",
    "ReverseTunnelArgs",
    "ServerArgs",
    "SshArgs",
    "ThroughArgs",
    "VpsArgs",
    "all_begun",
    "leave_out_sdk_messages",
]
