"""What the programs can say: every text in their sources, with holes where values go."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("protocol", "toolkit", "edge_runtime", "cloud_service")
PHONE_TEXTS = ROOT / "android_demo/app/src/main/res/values/strings.xml"
HOLE = "\0"


def said_lines() -> list[str]:
    """Return all texts of Python and of the phone's screens."""
    python = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return [text for path in python for text in _of_python(path)] + _of_phone()


def can_be_said(line: str, said: list[str]) -> bool:
    """Return whether a text has a quoted line's parts in order, and values where it has `...`."""
    pattern = re.compile(f".*{HOLE}.*".join(map(re.escape, _parts(line))), re.DOTALL)
    return any(pattern.search(text) for text in said)


def _parts(line: str) -> list[str]:
    """Return what is constant in a quoted line, without the values at its ends."""
    return [part for part in line.strip(". ").split("...") if part.strip()]


def _of_python(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_constant(part) or HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and (text := _constant(node)):
            yield text


def _constant(node: ast.expr) -> str:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return re.sub("%[sdr]", HOLE, str(node.value)) if is_text else ""  # type: ignore[attr-defined]


def _of_phone() -> list[str]:
    texts = re.findall(r"<string [^>]*>([^<]*)</string>", PHONE_TEXTS.read_text())
    plain = [re.sub(r"\\u(\w{4})", lambda code: chr(int(code[1], 16)), text) for text in texts]
    return [re.sub(r"%\d\$\w", HOLE, text) for text in plain]
