"""Step programs that ExecuTorch runs, loaded without its exporter.

`import executorch.extension...` pulls in the exporter: seconds, and some hundred MB. So the one
extension module that runs programs is loaded by its file. ExecuTorch writes its reasons and some
chatter to standard error: both are caught while a program is opened, and the last line of the
reasons becomes part of the message.
"""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError
from torch import Tensor

VERSION = "1.5.1"
STEP = "edge/train.pte"
INFER = "edge/infer.pte"
_INSTALL = "pip install 'hiertk[edge-executorch]'"
_LEAST_BYTES = 64  # of any program; the loader reads a header of that size


def open_program(bundle: Bundle, *, threads: int) -> "ExecutorchProgram":
    """Open train.pte and infer.pte. The number of threads is ExecuTorch's, for the whole process.

    Raises ConfigError if the engine is missing, BundleError for another version or a damaged file.
    """
    wanted = bundle.manifest.engine.version
    if wanted != VERSION:
        raise BundleError(
            f"the bundle is for executorch {wanted}, here is {VERSION}: "
            "export it again with this version of hiertk"
        )
    step, infer = (open_file(bundle.path(name), threads=threads) for name in (STEP, INFER))
    return ExecutorchProgram(bundle, step, infer)


def open_file(path: Path, *, threads: int = 1) -> Any:
    """Return one .pte as the engine's module. Raises ConfigError or BundleError."""
    with _caught_stderr() as said:
        runtime = _runtime()
        runtime._unsafe_reset_threadpool(threads)  # noqa: SLF001  # its only way
        return _load(runtime, path, said)


class ExecutorchProgram:
    """See `Program`. Always the number of samples that the bundle was exported for."""

    def __init__(self, bundle: Bundle, step: Any, infer: Any) -> None:
        self._bundle = bundle
        self._step = step
        self._infer = infer

    @property
    def batch_size(self) -> int | None:
        return self._bundle.manifest.engine.batch_size

    def step(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self._run(self._step, STEP, inputs)

    def infer(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self._run(self._infer, INFER, inputs)

    def _run(self, program: Any, name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        try:
            results: list[Tensor] = program.run_method("forward", tuple(inputs), clone_outputs=True)
        except RuntimeError as error:
            raise BundleError(
                f"{self._bundle.folder / name}: ExecuTorch fails: {error}: export the bundle again"
            ) from error
        return results


@cache
def _runtime() -> Any:
    """Return ExecuTorch's extension module. Raises ConfigError."""
    try:
        installed = version("executorch")
    except PackageNotFoundError as error:
        raise ConfigError(f"executorch is not installed: {_INSTALL}") from error
    if installed != VERSION:
        raise ConfigError(f"executorch {installed} is installed, {VERSION} is needed: {_INSTALL}")
    package = importlib.util.find_spec("executorch")
    places = list(package.submodule_search_locations or []) if package else []
    found = [file for place in places for file in Path(place).glob("extension/pybindings/_C.*so")]
    if not found:
        raise ConfigError(f"executorch is damaged: {_INSTALL} --force-reinstall")
    spec = importlib.util.spec_from_file_location("_C", found[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"executorch cannot be loaded: {first}: {_INSTALL}") from error
    return module


def _load(runtime: Any, path: Path, said: IO[str]) -> Any:
    try:
        if path.stat().st_size < _LEAST_BYTES:
            raise BundleError(
                f"{path} is no program that ExecuTorch {VERSION} runs: too short: export the "
                "bundle again"
            )
        program = runtime._load_for_executorch(  # noqa: SLF001  # experimental, as all of it
            str(path), program_verification=runtime.Verification.InternalConsistency
        )
        program.method_meta("forward")
    except (OSError, RuntimeError) as error:
        said.seek(0)
        lines = [line for line in said.read().splitlines() if line.strip()]
        reason = lines[-1] if lines else str(error).splitlines()[0]
        raise BundleError(
            f"{path} is no program that ExecuTorch {VERSION} runs: {reason}: export the bundle "
            "again"
        ) from error
    return program


@contextmanager
def _caught_stderr() -> Iterator[IO[str]]:
    """Send what is written to standard error, by C++ and by Python, into a file that is given."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile("w+", errors="replace") as caught:
            os.dup2(caught.fileno(), 2)
            try:
                with redirect_stderr(caught):
                    yield caught
            finally:
                os.dup2(kept, 2)
    finally:
        os.close(kept)
