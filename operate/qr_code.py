"""A WireGuard file as a QR code, which a phone reads: on a terminal, or as a picture."""

import io

import segno

_BORDER = 4  # modules of white around the code; readers want that much
_WHITE_ON_BLACK = "\x1b[97;40m"  # whatever the terminal's own colours are
_OWN_COLOURS = "\x1b[0m"
_PIXELS = 8  # per module: as sharp on a screen as on paper


def as_terminal(text: str) -> str:
    """The file as a QR code of letters, two modules each, in colours of its own."""
    out = io.StringIO()
    _code(text).terminal(out, border=_BORDER, compact=True)
    lines = out.getvalue().splitlines()
    return "".join(f"{_WHITE_ON_BLACK}{line}{_OWN_COLOURS}\n" for line in lines)


def terminal_columns(text: str) -> int:
    """How many columns `as_terminal` takes."""
    return int(_code(text).symbol_size(border=_BORDER)[0])


def as_png(text: str) -> bytes:
    """The file as a QR code in a PNG picture."""
    out = io.BytesIO()
    _code(text).save(out, kind="png", scale=_PIXELS, border=_BORDER)
    return out.getvalue()


def as_svg(text: str) -> bytes:
    """The file as a QR code in an SVG picture."""
    out = io.BytesIO()
    _code(text).save(out, kind="svg", scale=_PIXELS, border=_BORDER, light="#fff")
    return out.getvalue()


def _code(text: str) -> segno.QRCode:
    # The least of correction: on a screen nothing gets dirty, and fewer modules are read sooner.
    return segno.make_qr(text, error="l", boost_error=False, encoding="utf-8")
