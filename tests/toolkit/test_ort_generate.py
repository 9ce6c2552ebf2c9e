"""The process that derives ONNX Runtime's artifacts; what it writes, the gate at export checks."""

import subprocess
import sys
from pathlib import Path

from hiertk.ort_generate import Request
from hiertk_protocol.manifest import AdamW


def test_it_loads_the_engine_without_pytorch(tmp_path: Path) -> None:
    """Which would take longer than the rest of it."""
    request = Request(
        forward=tmp_path / "none.onnx", trained=(), frozen=(), optimizer=AdamW(), folder=tmp_path
    )
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hiertk.ort_generate"],
        input=request.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith("FileNotFoundError")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "onnxruntime.training.artifacts" in loaded
    assert "torch" not in loaded
