"""The layout of a stack's picture: who comes in at which port, and where that leads.

    visitors  ->  vps: its public ports  ====  servers: their rows of forwards
                                         ====  clients

A forward has one row through all columns, so its line is straight, and rows cannot meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from operate.drawing import Box, Drawing, Label, Line, shortened, text_width
from settings import VPS, Egress, Firewall, Forward, Server, Settings, SourceAddress, limit_words

_INK, _PALE = "#1f2933", "#6b7785"
_VISITOR, _TUNNEL = "#b45309", "#2563a8"
_GROUND = {"vps": ("#fff7ed", _VISITOR), "peer": ("#eff6ff", _TUNNEL)}
_SMALL = 12.0
_ROW, _HEAD, _PAD, _GAP = 26.0, 48.0, 14.0, 18.0
_LEFT = 16.0
_ARROW, _WIRE = 56.0, 150.0  # lengths of the lines from column to column
_COMMENT = 44  # columns of a comment that are shown; the rest is under the pointer
_NETWORKS = 2  # of those that may use a forward; more are counted


@dataclass(frozen=True)
class _Row:
    """A forward in words, one text for each column."""

    name: str
    who: str
    public: str
    leads: str
    comment: str
    open: bool


@dataclass(frozen=True)
class _Columns:
    """Where they begin: the VPS's box, the ports in it, its right edge, the peers' boxes."""

    vps: float
    port: float
    vps_right: float
    peer: float


def draw(settings: Settings) -> Drawing:
    """The whole stack. Nothing secret is in it."""
    drawing = Drawing(f"{settings.endpoint}: what is forwarded where")
    rows = {name: _row(settings, name) for name in settings.forwards}
    heads = _vps_words(settings)
    names = max((_width(name, _SMALL) + _PAD for name in rows), default=0.0)
    ports = max((names + _width(row.public) for row in rows.values()), default=0.0)

    vps_x = _LEFT + max([_width("Visitors"), *(_width(row.who, _SMALL) for row in rows.values())])
    vps_x += 8 + _ARROW
    vps_width = 2 * _PAD + max(ports, *map(_width, heads))
    vps_right = vps_x + vps_width
    peer_x = vps_right + _WIRE
    peer_width = 2 * _PAD + _peers_width(settings, rows)

    top = _LEFT
    _vps_head(drawing, vps_x + _PAD, top, heads)
    drawing.labels.append(Label(_LEFT, top + 24, "Visitors", colour=_VISITOR, bold=True))
    drawing.labels.append(Label(vps_right + 12, top + 24, "WireGuard tunnel", _SMALL, _TUNNEL))
    y = top + 20 * len(heads) + 2 * _PAD
    for peer in settings.peers:
        own = [row for name, row in rows.items() if settings.destination(name).server == peer]
        height = _HEAD + _ROW * len(own) + (_PAD if own else 0)
        drawing.boxes.append(Box(peer_x, y, peer_width, height, *_GROUND["peer"]))
        drawing.lines.append(
            Line((vps_right, y + _HEAD / 2), (peer_x, y + _HEAD / 2), _TUNNEL, width=5)
        )
        _peer_head(drawing, settings, peer, (peer_x + _PAD, y))
        for number, row in enumerate(own):
            at = y + _HEAD + _ROW * (number + 0.5)
            _forward_row(drawing, row, at, _Columns(vps_x, vps_x + _PAD + names, vps_right, peer_x))
        y += height + _GAP
    drawing.boxes.insert(0, Box(vps_x, top, vps_width, max(y - _GAP - top, 60.0), *_GROUND["vps"]))
    for number, line in enumerate(_inside_words(settings)):
        drawing.labels.append(Label(_LEFT, y + 18 + 20 * number, line, _SMALL, _PALE))
    return drawing


def _width(text: str, size: float = 14.0) -> float:
    return text_width(text, size)


def _row(settings: Settings, name: str) -> _Row:
    forward, to = settings.forwards[name], settings.destination(name)
    leads = f"{to.address}:{to.ports}" if to.behind else f":{to.ports}"
    if forward.source_address is SourceAddress.TUNNEL:
        leads += ", as the tunnel"
    return _Row(
        name=name,
        who=_who(forward),
        public=f"{forward.protocol} {forward.port}" + ("" if forward.enabled else " (paused)"),
        leads=leads,
        comment=forward.comment or "",
        open=forward.enabled,
    )


def _who(forward: Forward) -> str:
    if forward.from_ is None:
        who = "everybody"
    else:
        shown = ", ".join(map(str, forward.from_[:_NETWORKS]))
        more = len(forward.from_) - _NETWORKS
        who = f"{shown} and {more} more" if more > 0 else shown
    return who if forward.limit is None else f"{who}, at most {limit_words(forward.limit)} each"


def _inside(settings: Settings, name: str) -> list[str]:
    """A host's addresses in the tunnel."""
    ipv6 = settings.ipv6_of(name)
    return [str(settings.address_of(name)), *([] if ipv6 is None else [str(ipv6)])]


def _vps_words(settings: Settings) -> list[str]:
    words = [
        str(settings.endpoint),
        *_inside(settings, VPS),
        f"WireGuard {settings.network.listen_port}/udp",
    ]
    if settings.vps.firewall is Firewall.DEFAULT_DENY:
        words.append("firewall: the rest is denied")
    return words


def _vps_head(drawing: Drawing, x: float, top: float, words: Sequence[str]) -> None:
    for number, text in enumerate(words):
        colour = _INK if number == 0 else _PALE
        drawing.labels.append(
            Label(x, top + 24 + 20 * number, text, colour=colour, bold=number == 0)
        )


def _peer_words(settings: Settings, name: str) -> tuple[str, str]:
    peer = settings.peers[name]
    second = [str(own)] if (own := settings.ipv6_of(name)) else []
    second.append("server" if isinstance(peer, Server) else "client device")
    if isinstance(peer, Server) and peer.ssh is None:
        second.append("set up by its owner")
    if peer.egress is Egress.TUNNEL:
        second.append("goes out as the VPS")
    if isinstance(peer, Server) and peer.networks:
        second.append(f"before {', '.join(map(str, peer.networks))}")
    return f"{name} {peer.address}", shortened(", ".join(second), 2 * _COMMENT)


def _peer_head(drawing: Drawing, settings: Settings, name: str, place: tuple[float, float]) -> None:
    (x, y), (first, second) = place, _peer_words(settings, name)
    drawing.labels.append(Label(x, y + 20, first, bold=True))
    drawing.labels.append(Label(x, y + 38, second, _SMALL, _PALE))


def _peers_width(settings: Settings, rows: dict[str, _Row]) -> float:
    widths = [
        width
        for name in settings.peers
        for first, second in [_peer_words(settings, name)]
        for width in (_width(first), _width(second, _SMALL))
    ]
    widths += [_width(row.leads) + _PAD + _width(_comment(row), _SMALL) for row in rows.values()]
    return max(widths, default=0.0)


def _comment(row: _Row) -> str:
    return shortened(row.comment, _COMMENT)


def _forward_row(drawing: Drawing, row: _Row, y: float, at: _Columns) -> None:
    ink, line = (_INK, _VISITOR) if row.open else (_PALE, _PALE)
    base = y + 5
    who = Label(_LEFT, base, row.who, _SMALL, ink)
    drawing.labels.append(who)
    drawing.lines.append(
        Line((who.box[2] + 8, y), (at.vps, y), line, dashed=not row.open, arrow=True)
    )
    drawing.labels.append(Label(at.vps + _PAD, base, row.name, _SMALL, _PALE))
    drawing.labels.append(Label(at.port, base, row.public, colour=ink, bold=True))
    drawing.lines.append(
        Line((at.vps_right, y), (at.peer, y), line, dashed=not row.open, arrow=True)
    )
    leads = Label(at.peer + _PAD, base, row.leads, colour=ink)
    drawing.labels.append(leads)
    if row.comment:
        text = _comment(row)
        tip = row.comment if text != row.comment else ""
        drawing.labels.append(Label(leads.box[2] + _PAD, base, text, _SMALL, _PALE, tip=tip))


def _inside_words(settings: Settings) -> list[str]:
    """Who may reach what inside the tunnel."""
    if settings.vps.firewall is Firewall.NONE:
        return ["Inside the tunnel: all peers reach each other, and the VPS."]
    allowed = [
        f"{', '.join(allow.from_)} \N{RIGHTWARDS ARROW} {allow.to}"
        f" {allow.protocol or 'any'}{'' if allow.port is None else f' {allow.port}'}"
        for _, allow in sorted(settings.vps.allow.items())
    ]
    if not allowed:
        return ["Inside the tunnel: peers reach neither each other nor the VPS."]
    return ["Inside the tunnel, peers reach nothing but:", *allowed]
