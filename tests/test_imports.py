"""Who may import whom: protocol <- everyone; edge -> protocol; cloud -> protocol, hiertk.models."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = {"hiertk", "hiertk_edge", "hiertk_cloud", "hiertk_protocol"}
ALLOWED = {
    "protocol/hiertk_protocol": ("hiertk_protocol",),
    "edge_runtime/hiertk_edge": ("hiertk_edge", "hiertk_protocol"),
    "cloud_service/hiertk_cloud": ("hiertk_cloud", "hiertk_protocol", "hiertk.models"),
}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return {name for name in names if name.split(".")[0] in OWN}


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_package_imports_only_what_the_design_allows(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            assert any(
                name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED[folder]
            ), f"{path.relative_to(ROOT)} imports {name}"
