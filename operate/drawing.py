"""A drawing of boxes, lines and labels, as SVG. Every label knows the room that it takes."""

import unicodedata
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

_FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_LETTER = 0.6  # width of a letter of such a font, of its size
_RISE = 0.8  # height of a label above its base line, of its size
_FALL = 0.25  # and below
_MARGIN = 16.0


@dataclass(frozen=True)
class Label:
    """One line of text.

    Attributes:
        x, y: where it begins, on its base line.
        text: as the user wrote it.
        size: of the letters, in pixels.
        colour: as SVG names it.
        bold: whether it stands out.
        tip: what is shown under the pointer; empty for nothing.
    """

    x: float
    y: float
    text: str
    size: float = 14.0
    colour: str = "#1f2933"
    bold: bool = False
    tip: str = ""

    @property
    def width(self) -> float:
        """In pixels; it is written so that it takes just that, whatever the reader's font."""
        return text_width(self.text, self.size)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Its left, upper, right and lower edge."""
        return (
            self.x,
            self.y - self.size * _RISE,
            self.x + self.width,
            self.y + self.size * _FALL,
        )


@dataclass(frozen=True)
class Box:
    """A rectangle with round corners."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str


@dataclass(frozen=True)
class Line:
    """A line from left to right, with a head at its end if it is an `arrow`."""

    start: tuple[float, float]
    end: tuple[float, float]
    colour: str
    width: float = 1.5
    dashed: bool = False
    arrow: bool = False


@dataclass
class Drawing:
    """Its parts, the boxes lowest and the labels uppermost."""

    title: str
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, with a margin at each side."""
        rights = [
            *(box.x + box.width for box in self.boxes),
            *(label.box[2] for label in self.labels),
        ]
        lowers = [
            *(box.y + box.height for box in self.boxes),
            *(label.box[3] for label in self.labels),
        ]
        return max(rights) + _MARGIN, max(lowers) + _MARGIN

    def svg(self) -> str:
        """The drawing as an SVG file, on a ground of its own."""
        width, height = map(_number, self.size)
        root = ET.Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            width=width,
            height=height,
            viewBox=f"0 0 {width} {height}",
            role="img",
        )
        _add(root, "title").text = self.title
        _add(root, "rect", width="100%", height="100%", fill="#ffffff")
        for box in self.boxes:
            _add_box(root, box)
        for line in self.lines:
            _add_line(root, line)
        group = _add(root, "g", **{"font-family": _FONT})
        for label in self.labels:
            _add_label(group, label)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode") + "\n"


def text_width(text: str, size: float) -> float:
    """How wide a text is in a font whose letters all have one width, and some have two."""
    return sum(map(_columns, text)) * size * _LETTER


def shortened(text: str, columns: int) -> str:
    """The text, cut off with an ellipsis where it takes more columns than that."""
    if sum(map(_columns, text)) <= columns:
        return text
    kept, room = "", columns - 1
    for letter in text:
        room -= _columns(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept.rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def _add_box(root: ET.Element, box: Box) -> None:
    _add(
        root,
        "rect",
        x=_number(box.x),
        y=_number(box.y),
        width=_number(box.width),
        height=_number(box.height),
        rx="8",
        fill=box.fill,
        stroke=box.stroke,
    )


def _add_line(root: ET.Element, line: Line) -> None:
    (x1, y1), (x2, y2) = line.start, line.end
    style = {"stroke": line.colour, "stroke-width": _number(line.width)}
    if line.dashed:
        style["stroke-dasharray"] = "5 4"
    _add(root, "line", x1=_number(x1), y1=_number(y1), x2=_number(x2), y2=_number(y2), **style)
    if line.arrow:
        points = f"{_number(x2)},{_number(y2)} {_number(x2 - 9)},{_number(y2 - 5)}"
        points += f" {_number(x2 - 9)},{_number(y2 + 5)}"
        _add(root, "polygon", points=points, fill=line.colour)


def _add_label(group: ET.Element, label: Label) -> None:
    attributes = {
        "x": _number(label.x),
        "y": _number(label.y),
        "font-size": _number(label.size),
        "fill": label.colour,
        "textLength": _number(label.width),
        "lengthAdjust": "spacingAndGlyphs",
    }
    if label.bold:
        attributes["font-weight"] = "bold"
    element = _add(group, "text", **attributes)
    element.text = label.text
    if label.tip:
        tip = _add(element, "title")
        tip.text = label.tip


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
