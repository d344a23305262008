"""The arguments of `ReverseTunnel` in another Pulumi program, typed.

They say what a stack file says, in snake_case. `pulumi.Input` stands exactly where a value may
come from another resource; everything else decides which resources exist, so it must be known.
None is the same as leaving one out, as in `keys.get(name)`. What each one allows is written at the
models in `settings`, which check them all.
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

import pulumi
from pydantic.alias_generators import to_camel

from components.late import LateValue
from settings import Settings, SettingsError, load

ProtocolWord: TypeAlias = Literal["tcp", "udp", "tcp+udp"]
EgressWord: TypeAlias = Literal["own", "tunnel"]


class ArgumentsError(SettingsError, pulumi.RunError):
    """The arguments are wrong; the text lists all that is, as it does for a stack file.

    Pulumi prints it as a message, without a traceback.
    """


class NetworkArgs(TypedDict, total=False):
    """What all hosts of the tunnel have in common; see `settings.Network`."""

    cidr: str | IPv4Network | None
    ipv6: str | IPv6Network | None
    listen_port: int | None
    mtu: int | None
    keepalive: int | None
    key_generation: int | None
    interface: str | None


class ThroughArgs(TypedDict):
    """A server's address in the tunnel, by way of the VPS; see `settings.Through`."""

    through: Literal["vps"]


class SshArgs(TypedDict):
    """How a host is reached; see `settings.Ssh`."""

    host: pulumi.Input[str] | ThroughArgs | Sequence[pulumi.Input[str] | ThroughArgs]
    port: NotRequired[pulumi.Input[int] | None]
    user: NotRequired[pulumi.Input[str] | None]
    host_key: pulumi.Input[str]


class AllowArgs(TypedDict):
    """What peers may reach in spite of the VPS's firewall; see `settings.Allow`."""

    from_: Sequence[str]
    to: str
    protocol: NotRequired[ProtocolWord | None]
    port: NotRequired[int | str | None]


class VpsArgs(TypedDict):
    """The VPS; see `settings.Vps`."""

    address: NotRequired[str | IPv4Address | None]
    ipv6: NotRequired[str | IPv6Address | None]
    endpoint: NotRequired[pulumi.Input[str] | None]
    public_interface: NotRequired[str | None]
    key_generation: NotRequired[int | None]
    firewall: NotRequired[Literal["none", "defaultDeny"] | None]
    allow: NotRequired[Mapping[str, AllowArgs] | None]
    metrics: NotRequired[str | None]
    packages: NotRequired[Literal["install", "manual"] | None]
    ssh: SshArgs
    forget: NotRequired[bool | None]


class ServerArgs(TypedDict):
    """A server at home; see `settings.Server`."""

    address: str | IPv4Address
    ipv6: NotRequired[str | IPv6Address | None]
    public_key: NotRequired[pulumi.Input[str] | None]
    preshared_key: NotRequired[bool | None]
    key_generation: NotRequired[int | None]
    networks: NotRequired[Sequence[str | IPv4Network] | None]
    egress: NotRequired[EgressWord | None]
    mtu: NotRequired[int | None]
    packages: NotRequired[Literal["install", "manual"] | None]
    ssh: NotRequired[SshArgs | None]
    forget: NotRequired[bool | None]


class ClientArgs(TypedDict):
    """A client device; see `settings.Client`."""

    address: str | IPv4Address
    ipv6: NotRequired[str | IPv6Address | None]
    public_key: NotRequired[pulumi.Input[str] | None]
    preshared_key: NotRequired[bool | None]
    key_generation: NotRequired[int | None]
    egress: NotRequired[EgressWord | None]
    mtu: NotRequired[int | None]


class LimitArgs(TypedDict, total=False):
    """How much one visitor may ask of a forward; see `settings.Limit`."""

    new_per_second: int | None
    concurrent: int | None


class ForwardArgs(TypedDict):
    """A forward; see `settings.Forward`."""

    protocol: NotRequired[ProtocolWord | None]
    port: int | str
    to: str
    enabled: NotRequired[bool | None]
    from_: NotRequired[Sequence[str | IPv4Network | IPv4Address | IPv6Network | IPv6Address] | None]
    limit: NotRequired[LimitArgs | None]
    source_address: NotRequired[Literal["client", "tunnel"] | None]
    comment: NotRequired[str | None]


class ReverseTunnelArgs(TypedDict):
    """A whole tunnel; see `settings.Settings`.

    A host is looked at before anything is registered only if its `ssh` and `ssh_private_key` are
    known by then. So give that key as a plain text, by `config.require`: one of
    `config.require_secret` is an Output. It is kept secret in either way.
    """

    network: NotRequired[NetworkArgs]
    vps: VpsArgs
    servers: NotRequired[Mapping[str, ServerArgs]]
    clients: NotRequired[Mapping[str, ClientArgs]]
    forwards: NotRequired[Mapping[str, ForwardArgs]]
    ssh_private_key: NotRequired[pulumi.Input[str] | None]
    look_up: NotRequired[bool | None]


# Where the keys are the user's own names, which stay as they are.
_NAMED = frozenset({("servers",), ("clients",), ("forwards",), ("vps", "allow")})


def to_settings(args: ReverseTunnelArgs) -> Settings:
    """The settings that the arguments mean, checked as those of a stack file are.

    Raises:
        ArgumentsError: something is wrong; the text lists all of it, in the words of a stack
            file.
    """
    try:
        return load(_as_in_a_stack_file(args, ()), agent=bool(os.environ.get("SSH_AUTH_SOCK")))
    except SettingsError as error:
        raise ArgumentsError(error.problems) from None


def _as_in_a_stack_file(value: object, path: tuple[object, ...]) -> Any:  # noqa: ANN401 - any part
    """The same with a stack file's keys; what is known later, with its field's path.

    An argument that is None is not given; a server, client or forward that is None is a mistake.
    """
    if isinstance(value, pulumi.Output) or inspect.isawaitable(value):
        return LateValue(pulumi.Output.from_input(value), path)
    if isinstance(value, list | tuple):
        return [_as_in_a_stack_file(entry, path) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if path not in _NAMED:
        value = {_key(key): entry for key, entry in value.items() if entry is not None}
    return {key: _as_in_a_stack_file(entry, (*path, key)) for key, entry in value.items()}


def _key(key: object) -> object:
    if key == "from_":  # a word of Python's own without the line
        return "from"
    return to_camel(key) if isinstance(key, str) else key
