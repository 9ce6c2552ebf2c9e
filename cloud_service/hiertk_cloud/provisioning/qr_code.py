"""A text as a QR code: for a terminal, or as a file."""

import io
from dataclasses import dataclass

import segno

# The standard asks for 4 empty modules around; readers do with 2, and a terminal is narrow.
_TERMINAL_BORDER = 2
_PIXELS = 8  # of a module, in a file
# Whatever the terminal's colors are: many readers take dark on light only.
_DARK_ON_LIGHT = "\x1b[38;5;231;48;5;16m"
_AS_BEFORE = "\x1b[0m"


@dataclass(frozen=True)
class QrCode:
    """One code."""

    _code: segno.QRCode

    @property
    def columns(self) -> int:
        """Columns of a terminal that it takes; it has half as many lines."""
        return int(self._code.symbol_size(border=_TERMINAL_BORDER)[0])

    def for_terminal(self) -> str:
        """Return its lines, two rows of modules in each."""
        lines = io.StringIO()
        self._code.terminal(lines, border=_TERMINAL_BORDER, compact=True)
        return "".join(
            f"{_DARK_ON_LIGHT}{line}{_AS_BEFORE}\n" for line in lines.getvalue().splitlines()
        )

    def png(self) -> bytes:
        """Return it as an image of PNG."""
        return self._saved("png")

    def svg(self) -> bytes:
        """Return it as an image of SVG."""
        return self._saved("svg")

    def _saved(self, kind: str) -> bytes:
        content = io.BytesIO()
        self._code.save(content, kind=kind, scale=_PIXELS, light="white")
        return content.getvalue()


def draw(text: str) -> QrCode:
    """Draw a text of at most 2,953 bytes."""
    return QrCode(segno.make_qr(text, error="l"))
