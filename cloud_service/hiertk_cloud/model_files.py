"""The trained model as files for elsewhere: the cloud partition, or merged with a device's edge.

One conversion at a time, since each takes a processor for seconds. What is handed out is an open
file that has no name any more, so nothing is left behind whatever becomes of the download.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from hiertk_protocol.errors import ModelError, StorageError, error_of_exit_code
from hiertk_protocol.manifest import Manifest
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from typing_extensions import Self

from hiertk_cloud.conversion.edge_file import check_edge_file
from hiertk_cloud.conversion.request import ConversionRequest, FileFormat, metadata_of

_TIMEOUT_S = 300.0
_HEADER_BYTES = 1 << 20  # names and shapes of some thousand tensors
_NO_NAME = "the process that converts ended without a reason"


@dataclass(frozen=True)
class CloudWeights:
    """The averaged weights between two steps, by the cloud partition's own names; a copy."""

    cloud_step: int
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class ModelFile:
    """A file that is ready. name: what to call it. content: to be closed by who reads it."""

    name: str
    size: int
    content: BinaryIO


class ModelFiles:
    """Makes files of one deployment's model; any thread may ask."""

    def __init__(
        self,
        manifest: Manifest,
        snapshot: Callable[[], CloudWeights],
        *,
        folder: Path,
        trusted_factory: str | None = None,
    ) -> None:
        """Prepare. folder: for files in the making; what a crash left there is removed."""
        self.manifest = manifest
        self.snapshot = snapshot
        self.folder = folder
        self.trusted_factory = trusted_factory
        self._lock = threading.Lock()
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def max_edge_bytes(self) -> int:
        """The most that a device's edge weights can take: no statistic is without a parameter."""
        return 2 * 4 * self.manifest.edge_parameters + _HEADER_BYTES

    def begin(self) -> "Conversion | None":
        """Return a conversion to be entered; None while another is under way."""
        if not self._lock.acquire(blocking=False):
            return None
        return Conversion(self, self._lock.release)


class Conversion:
    """One conversion; leaving it removes its files and lets the next one begin."""

    def __init__(self, files: ModelFiles, release: Callable[[], None]) -> None:
        self._files = files
        self._release = release

    def __enter__(self) -> Self:
        try:
            self._files.folder.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=self._files.folder))
        except OSError as error:
            self._release()
            raise StorageError(f"{self._files.folder}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._release()

    @property
    def edge(self) -> Path:
        """Where the device's weights are to be put before `merged`."""
        return self._folder / "edge.safetensors"

    def cloud(self, file_format: FileFormat) -> ModelFile:
        """Return the cloud partition as it predicts.

        safetensors holds the cloud partition's own names; ONNX is features -> the final exit's
        logits. Raises ModelError, ConfigError or StorageError.
        """
        weights, path = self._write_cloud()
        if file_format != "safetensors":
            path = self._convert(path, None, file_format)
        return self._open(path, f"cloud-{weights.cloud_step}.{file_format}")

    def merged(self, file_format: FileFormat) -> ModelFile:
        """Return both partitions as one network, with the weights at `edge`.

        safetensors holds `edge.partition.*`, `edge.exit.*` and `cloud.*`, each with the network's
        own names; ONNX is images -> the final exit's and the early exit's logits. Raises ModelError
        if the device's weights do not fit, ConfigError or StorageError.
        """
        check_edge_file(self.edge, self._files.manifest.bundle_id)
        weights, path = self._write_cloud()
        path = self._convert(path, self.edge, file_format)
        return self._open(path, f"merged-{weights.cloud_step}.{file_format}")

    def _write_cloud(self) -> tuple[CloudWeights, Path]:
        weights = self._files.snapshot()
        path = self._folder / "cloud.safetensors"
        try:
            save_file(weights.tensors, path, metadata_of(self._files.manifest, weights.cloud_step))
        except (OSError, SafetensorError) as error:
            raise StorageError(f"cannot write {path}: {error}") from error
        return weights, path

    def _convert(self, cloud: Path, edge: Path | None, file_format: FileFormat) -> Path:
        request = ConversionRequest(
            manifest=self._files.manifest,
            cloud=cloud,
            edge=edge,
            file_format=file_format,
            trusted_factory=self._files.trusted_factory,
            out=self._folder / f"model.{file_format}",
        )
        try:
            done = subprocess.run(
                [sys.executable, "-m", "hiertk_cloud.conversion"],
                input=request.model_dump_json(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"the conversion took more than {_TIMEOUT_S:.0f} s") from error
        if done.returncode != 0:
            kind = error_of_exit_code(done.returncode)
            last = (done.stderr.strip().splitlines() or [_NO_NAME])[-1]
            raise kind(last.removeprefix(f"{kind.__name__}: "))
        return request.out

    def _open(self, path: Path, name: str) -> ModelFile:
        deployment = self._files.manifest.deployment
        try:
            return ModelFile(f"{deployment}-{name}", path.stat().st_size, path.open("rb"))
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
