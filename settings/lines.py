"""The lines in which the helpers on the hosts are told what to do, and which a preview shows.

One line for each thing said, and none for what is not said: a kind of forward that a stack does
not use changes nothing in its lines.
"""

from collections.abc import Iterator

from settings.allow import Allow
from settings.fields.egress import Egress
from settings.fields.firewall import Firewall
from settings.fields.names import VPS
from settings.forward import Forward, SourceAddress
from settings.late import is_late
from settings.server import Server
from settings.stack import Settings


def forward_lines(settings: Settings, name: str) -> tuple[str, ...]:
    """Return a forward for the helper on the VPS.

    The first line says what leads where, `tcp 80 -> 172.16.0.4:8080`; others follow where it takes
    visitors of IPv6, is paused, restricted, or comes from the tunnel's own address.
    """
    forward = settings.forwards[name]
    there = settings.destination(name)
    first = f"{forward.protocol} {forward.port} -> {there.address}:{there.ports}"
    ipv6 = () if there.ipv6 is None else (f"ipv6 {there.ipv6}",)
    source_address = () if there.behind else _source_address(forward)
    return (first, *ipv6, *_restrictions(forward), *source_address)


def opening_lines(settings: Settings, name: str) -> tuple[str, ...]:
    """Return what a forward opens on the server that its target is behind; else nothing.

    The server lets packets from the tunnel pass to that address and those ports alone. It is also
    where they take its own address, if they shall: until then the visitor's is kept.
    """
    forward = settings.forwards[name]
    there = settings.destination(name)
    if not there.behind:
        return ()
    first = f"{forward.protocol} {there.address}:{there.ports}"
    return (first, *_paused(forward), *_source_address(forward))


def _restrictions(forward: Forward) -> Iterator[str]:
    yield from _paused(forward)
    if forward.from_ is not None:
        yield f"from {','.join(map(str, forward.from_))}"
    if forward.limit is not None and forward.limit.new_per_second is not None:
        yield f"limit-new {forward.limit.new_per_second}"
    if forward.limit is not None and forward.limit.concurrent is not None:
        yield f"limit-concurrent {forward.limit.concurrent}"


def _paused(forward: Forward) -> Iterator[str]:
    if not forward.enabled:
        yield "paused"


def _source_address(forward: Forward) -> Iterator[str]:
    if forward.source_address is SourceAddress.TUNNEL:
        yield "source-address tunnel"


def interface_lines(settings: Settings, name: str) -> tuple[str, ...]:
    """Return the settings of a host's interface for its helper; `name` is a server's, or `vps`.

    Of what the settings do not have, whose the tunnel is and the VPS's public key, the line is the
    key alone, for the caller to complete; so is that of a late endpoint.
    """
    network = settings.network
    if name == VPS:
        return (
            "owner",
            "role vps",
            *_addresses(settings, name),
            f"listen-port {network.listen_port}",
            f"public-interface {settings.vps.public_interface or 'auto'}",
            f"mtu {network.mtu}",
        )
    endpoint = settings.endpoint
    dialled = "" if is_late(endpoint) else f" {endpoint}:{network.listen_port}"
    return (
        "owner",
        "role server",
        *_addresses(settings, name),
        f"mtu {settings.mtu_of(name)}",
        "peer-public-key",
        f"peer-address {settings.vps_address}",
        f"peer-endpoint{dialled}",
        f"keepalive {network.keepalive}",
        *_routes(settings.servers[name]),
    )


def _addresses(settings: Settings, name: str) -> Iterator[str]:
    network, ipv6 = settings.network, settings.ipv6_of(name)
    yield f"address {settings.address_of(name)}/{network.cidr.prefixlen}"
    if network.ipv6 is not None:
        yield f"ipv6 {ipv6}/{network.ipv6.prefixlen}"


def _routes(server: Server) -> Iterator[str]:
    """Yield which way out a server takes, and what is behind it."""
    if server.egress is Egress.TUNNEL:
        yield "egress tunnel"
    yield from (f"network {network}" for network in server.networks)


def peer_lines(settings: Settings, name: str) -> tuple[str, ...]:
    """Return a server or client for the helper on the VPS, without its public key."""
    peer = settings.peers[name]
    networks = peer.networks if isinstance(peer, Server) else ()
    ipv6 = settings.ipv6_of(name)
    own = [f"{peer.address}/32", *([] if ipv6 is None else [f"{ipv6}/128"])]
    lines = [f"allowed-ips {','.join([*own, *map(str, networks)])}"]
    if peer.egress is Egress.TUNNEL:
        lines.append("egress tunnel")
    if (mtu := settings.mtu_of(name)) != settings.network.mtu:
        lines.append(f"mtu {mtu}")
    if peer.preshared_key:
        lines.append("preshared")  # the key itself comes by itself
    if name in settings.managed_servers:
        lines.append("hand-over")  # the old key until the new one is heard
    return tuple(lines)


def firewall_lines(settings: Settings) -> tuple[str, ...]:
    """Return the VPS's firewall for its helper; nothing if there is none."""
    if settings.vps.firewall is Firewall.NONE:
        return ()
    allowed = sorted(settings.vps.allow.items())
    lines = (line for name, allow in allowed for line in _allow_lines(settings, name, allow))
    return ("default-deny", *lines)


def _allow_lines(settings: Settings, name: str, allow: Allow) -> Iterator[str]:
    """Yield one line, or one for each family."""
    begin = f"allow {name} {allow.protocol or 'any'}"
    port = "" if allow.port is None else f":{allow.port}"
    sources = sorted(map(settings.address_of, allow.from_))
    yield f"{begin} {','.join(map(str, sources))} -> {settings.address_of(allow.to)}{port}"
    sources6 = sorted(ipv6 for each in allow.from_ if (ipv6 := settings.ipv6_of(each)))
    if sources6:
        to = f"[{settings.ipv6_of(allow.to)}]{port}"
        yield f"{begin} {','.join(map(str, sources6))} -> {to}"


def metrics_lines(settings: Settings) -> tuple[str, ...]:
    """Return where the VPS's helper writes metrics; nothing if it shall not."""
    folder = settings.vps.metrics
    return () if folder is None else (f"folder {folder}",)
