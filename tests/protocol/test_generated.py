import os
import subprocess
import sys
from pathlib import Path

import hiertk_protocol
import pytest

PACKAGE = Path(hiertk_protocol.__file__).parent
COMMAND = (
    "cd protocol && python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. "
    "hiertk_protocol/hiertk.proto"
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "-I."),
            *(f"--python_out={folder}", f"--pyi_out={folder}", "hiertk_protocol/hiertk.proto"),
        ],
        cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=True,
    )
    return folder / PACKAGE.name


@pytest.mark.parametrize("name", ["hiertk_pb2.py", "hiertk_pb2.pyi"])
def test_the_committed_code_is_what_the_schema_generates(generated: Path, name: str) -> None:
    same = (generated / name).read_bytes() == (PACKAGE / name).read_bytes()
    assert same, f"{name} is out of date, generate it again: {COMMAND}"
