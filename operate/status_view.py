"""What `status` shows: tables for people, and the same as JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from operate.judgement import Finding, is_silent
from operate.look import Look
from operate.words import age_words, size_words
from reach.host_report import HostReport, PeerReport
from settings import Protocol, Settings, forward_words
from settings.allow import VPS

_GOOD, _BAD, _DIM = "green", "bold red", "dim"
_NOTHING = Text("-", style=_DIM)


def as_tables(settings: Settings, look: Look, findings: Sequence[Finding]) -> RenderableType:
    """Hosts, forwards, and what is wrong."""
    parts: list[RenderableType] = [_hosts(settings, look)]
    if settings.forwards:
        parts += [Text(), _forwards(settings, look)]
    parts.append(Text())
    parts += [
        Text.assemble((f"{finding.where}: ", _BAD), finding.says) for finding in findings
    ] or [Text("All is well.", style=_GOOD)]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _hosts(settings: Settings, look: Look) -> Table:
    table = _table("Hosts", "", "address", "tunnel", "seen at", "handshake", "from it", "to it")
    vps = look.hosts[VPS]
    table.add_row(VPS, _addresses(settings, VPS), _tunnel(vps), *[_NOTHING] * 4)
    for name in settings.peers:
        known = name in settings.managed_servers  # nobody logs in to the others
        tunnel = _tunnel(look.hosts[name]) if known else _NOTHING
        seen = vps.peers.get(name) if isinstance(vps, HostReport) else None
        table.add_row(
            name,
            _addresses(settings, name),
            tunnel,
            *_peer(seen, silent=is_silent(settings, look, name)),
        )
    return table


def _addresses(settings: Settings, name: str) -> str:
    ipv6 = settings.ipv6_of(name)
    return str(settings.address_of(name)) + ("" if ipv6 is None else f"\n{ipv6}")


def _tunnel(report: HostReport | str) -> Text:
    if isinstance(report, str):
        return Text("?", style=_BAD)
    if report.wireguard is None:
        return Text("down", style=_BAD)
    carrier = f"wireguard-go {report.wireguard_go}" if report.wireguard_go else report.wireguard
    return Text(f"up, {carrier}", style=_GOOD)


def _peer(seen: PeerReport | None, *, silent: bool) -> Iterator[Text]:
    if seen is None:
        yield from [_NOTHING] * 4
        return
    yield Text(seen.endpoint) if seen.endpoint else _NOTHING
    style = _BAD if silent else ""
    age = "never" if seen.handshake is None else f"{age_words(seen.handshake)} ago"
    yield Text(age, style=style)
    yield Text(size_words(seen.received))
    yield Text(size_words(seen.sent))


def _forwards(settings: Settings, look: Look) -> Table:
    columns = ("", "port", "leads to", "open", "to it", "from it", "target", "public port")
    table = _table("Forwards", *columns)
    report = look.hosts[VPS]
    for name in settings.forwards:
        found = report.forwards.get(name) if isinstance(report, HostReport) else None
        numbers = [_NOTHING] * 3
        if found is not None:
            numbers = [
                Text(str(found.connections)),
                _traffic(found.sent_bytes, found.sent_packets),
                _traffic(found.answered_bytes, found.answered_packets),
            ]
        forward, to = settings.forwards[name], settings.destination(name)
        table.add_row(
            name,
            f"{forward.protocol} {forward.port}",
            f"{to.address if to.behind else to.server}:{to.ports}",
            *numbers,
            *map(_answer, answers(settings, look, name)),
        )
    return table


def _traffic(size: int | None, packets: int | None) -> Text:
    return _NOTHING if size is None else Text(f"{size_words(size)}, {packets} pkt")


def answers(settings: Settings, look: Look, name: str) -> tuple[str, str]:
    """Whether a forward's target and its public port answer, or why that is not told.

    `answers`, `refuses`, `silent`; `can't be told`: UDP, where no answer means nothing;
    `restricted`: not everybody may use it, so that a test from here says nothing; `paused`;
    `not tested`.
    """
    forward, to = settings.forwards[name], settings.destination(name)
    if not forward.enabled:
        return "paused", "paused"
    if forward.protocol is Protocol.UDP:
        return "can't be told", "can't be told"
    report = look.hosts[VPS]
    asked = report.targets if isinstance(report, HostReport) else {}
    target = asked.get((str(to.address), to.ports.first), "not tested")
    if forward.from_ is not None:
        return target, "restricted"
    return target, look.ports.get(name, "not tested")


def _answer(word: str) -> Text:
    style = {"answers": _GOOD, "refuses": _BAD, "silent": _BAD}.get(word, _DIM)
    return Text(word, style=style)


def as_json(settings: Settings, look: Look, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same, as docs/operations.md describes it."""
    return {
        "well": not findings,
        "hosts": {name: _host_json(report) for name, report in look.hosts.items()},
        "forwards": {name: _forward_json(settings, look, name) for name in settings.forwards},
        "findings": [asdict(finding) for finding in findings],
    }


def _host_json(report: HostReport | str) -> dict[str, Any]:
    if isinstance(report, str):
        return {"tunnel": "unknown"}
    return {
        "tunnel": "down" if report.wireguard is None else "up",
        "wireguard": report.wireguard,
        "wireguardGo": report.wireguard_go,
        "startsAtBoot": report.enabled,
        "helper": report.helper,
        "peers": {
            name: {
                "endpoint": peer.endpoint,
                "handshakeAge": peer.handshake,
                "receivedBytes": peer.received,
                "sentBytes": peer.sent,
            }
            for name, peer in report.peers.items()
        },
    }


def _forward_json(settings: Settings, look: Look, name: str) -> dict[str, Any]:
    report = look.hosts[VPS]
    found = report.forwards.get(name) if isinstance(report, HostReport) else None
    target, public = answers(settings, look, name)
    told: dict[str, Any] = {
        "leads": forward_words(settings, name, str(settings.endpoint)),
        "target": target,
        "publicPort": public,
    }
    if found is not None:
        told |= {
            "rules": found.rules,
            "connections": found.connections,
            "sentPackets": found.sent_packets,
            "sentBytes": found.sent_bytes,
            "answeredPackets": found.answered_packets,
            "answeredBytes": found.answered_bytes,
        }
    return told
