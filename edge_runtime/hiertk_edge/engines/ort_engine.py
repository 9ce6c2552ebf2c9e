"""Importing ONNX Runtime's training engine without torch and onnx.

`import onnxruntime` tries `onnxruntime.training.ortmodule`, and `onnxruntime.training.api` runs the
package's `__init__`: both pull in torch and onnx wherever they are installed (284 MB instead of
42 MB), and the latter fails where they are not. So a bare package stands in for
`onnxruntime.training`, and `ortmodule` is hidden, while both are imported. Seen with 1.19.2, the
last release.
"""

import importlib.util
import sys
import types
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hiertk_protocol.errors import BundleError, ConfigError

VERSION = "1.19.2"
_DISTRIBUTION = "onnxruntime-training-cpu"
_ORTMODULE = "onnxruntime.training.ortmodule"
_PACKAGE = "onnxruntime.training"


def import_engine() -> tuple[Any, Any]:
    """Return the modules `onnxruntime` and `onnxruntime.training.api`.

    Raises ConfigError if the engine is missing or shadowed by another package.
    """
    _check_installation()
    if _PACKAGE not in sys.modules:
        _put_bare_package()
    import onnxruntime
    from onnxruntime.training import api

    onnxruntime.set_default_logger_severity(3)
    return onnxruntime, api


def check_version(bundle_version: str) -> None:
    """Refuse a bundle that another version of the engine wrote. Raises BundleError."""
    if bundle_version != VERSION:
        raise BundleError(
            f"the bundle is for {_DISTRIBUTION} {bundle_version}, here is {VERSION}: "
            "export it again with this version of hiertk"
        )


def _check_installation() -> None:
    try:
        installed = version(_DISTRIBUTION)
    except PackageNotFoundError as error:
        raise ConfigError(
            f"{_DISTRIBUTION} is not installed: pip install 'hiertk[edge]' "
            "(x86-64 and Python up to 3.12)"
        ) from error
    if installed != VERSION:
        raise ConfigError(f"{_DISTRIBUTION} {installed} is installed, {VERSION} is needed")
    for other in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-training"):
        if _is_installed(other):
            raise ConfigError(
                f"{other} shares its folder with {_DISTRIBUTION} and breaks it: "
                f"pip uninstall {other} {_DISTRIBUTION}, then pip install 'hiertk[edge]'"
            )


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _put_bare_package() -> None:
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"{_DISTRIBUTION} is damaged: pip install --force-reinstall 'hiertk[edge]'"
        )
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "training")]
    sys.modules[_PACKAGE] = package
    sys.modules[_ORTMODULE] = None  # type: ignore[assignment]
    import onnxruntime

    del sys.modules[_ORTMODULE]
    onnxruntime.training = package
