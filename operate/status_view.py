"""What `status` shows: tables for people, and the same as JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from operate.judgement import Finding, is_silent, target_answer
from operate.look import Look
from operate.words import age_words, size_words
from reach.entries.host_report import NOT_TESTED, HostReport, PeerReport
from settings import VPS, Protocol, Settings, forward_words

_GOOD, _BAD, _DIM = "green", "bold red", "dim"
_NOTHING = Text("-", style=_DIM)
_WHOLE = ("address", "seen at", "port", "leads to")  # the columns to copy from, and to search for
_GAP = 2  # columns of letters between two of a table
UNFOLDED = 1 << 20
"""As a console's width: nothing takes that much, so that no line is folded."""


def as_tables(
    settings: Settings, look: Look, findings: Sequence[Finding], *, findings_first: bool = False
) -> RenderableType:
    """Hosts, forwards, and what is wrong; that last, next to the prompt, or first."""
    wrong: list[RenderableType] = [
        Text.assemble((f"{finding.where}: ", _BAD), finding.says) for finding in findings
    ] or [Text("All is well.", style=_GOOD)]
    tables: list[RenderableType] = [_hosts(settings, look)]
    if settings.forwards:
        tables += [Text(), _forwards(settings, look)]
    first, second = (wrong, tables) if findings_first else (tables, wrong)
    return Group(*first, Text(), *second)


class _Table(Table):
    """A table that breaks no word, and of what is whole nothing, wherever there is room for that.

    Where there is not, they are folded: better than cut off.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update_width(UNFOLDED)
        ranges = [_range(console, wide, column) for column in self.columns]
        widths = [each.minimum for each in ranges]
        room = options.max_width - sum(widths) - _GAP * (len(widths) - 1)
        if room >= 0:
            # What is left goes to the narrowest, as long as they can use it.
            while room and (
                narrow := [n for n, each in enumerate(ranges) if widths[n] < each.maximum]
            ):
                widths[min(narrow, key=lambda n: widths[n])] += 1
                room -= 1
            for column, width in zip(self.columns, widths, strict=True):
                column.width = width
        yield from super().__rich_console__(console, options)


def _range(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    """The least room that a column needs, and all that it would take."""
    measures = [Measurement.get(console, options, each) for each in (column.header, *column.cells)]
    most = max(each.maximum for each in measures)
    least = max(each.minimum for each in measures)
    return Measurement(most if column.header in _WHOLE else least, most)


def _table(title: str, *columns: str) -> Table:
    table = _Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, _GAP, 0, 0)
    )
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


def _addresses(settings: Settings, name: str) -> Text:
    # A plain text would have its `:bee:` shown as a bee.
    ipv6 = settings.ipv6_of(name)
    return Text(str(settings.address_of(name)) + ("" if ipv6 is None else f"\n{ipv6}"))


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
            Text(f"{forward.protocol} {forward.port}"),
            Text(f"{to.address if to.behind else to.server}:{to.ports}"),
            *numbers,
            *map(_answer, answers(settings, look, name)),
        )
    return table


def _traffic(size: int | None, packets: int | None) -> Text:
    return _NOTHING if size is None else Text(f"{size_words(size)}, {packets} pkt")


def answers(settings: Settings, look: Look, name: str) -> tuple[str, str]:
    """Whether a forward's target and its public port answer, or why that is not told.

    `answers`, `refuses`, `silent`; `can't be told`: UDP, where no answer means nothing;
    `restricted`: not everybody may use it, so that a test from here says nothing; `not open`: the
    VPS has no rules of it, so that somebody else may answer; `paused`; `not tested`.
    """
    forward = settings.forwards[name]
    if not forward.enabled:
        return "paused", "paused"
    report = look.hosts[VPS]
    if forward.protocol is Protocol.UDP:
        target = public = "can't be told"
    else:
        asked = target_answer(settings, name, report) if isinstance(report, HostReport) else None
        target = asked or NOT_TESTED
        public = "restricted" if forward.from_ is not None else look.ports.get(name, NOT_TESTED)
    if isinstance(report, HostReport) and report.wireguard is not None:
        found = report.forwards.get(name)
        if found is None or found.rules == "missing":
            public = "not open"
    return target, public


def _answer(word: str) -> Text:
    style = {"answers": _GOOD, "refuses": _BAD, "silent": _BAD, "not open": _BAD}.get(word, _DIM)
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
