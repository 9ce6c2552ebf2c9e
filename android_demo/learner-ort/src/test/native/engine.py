"""Build, for a plain JVM, a libonnxruntime.so that can train: `engine.py FOLDER`.

It hands on the engine of the installed Python wheel onnxruntime-training-cpu (see engine.c). Prints
the path of the library, for the JVM's property `onnxruntime.native.onnxruntime.path`; one line and
exit status 1 where something is missing.
"""

import ctypes
import importlib.util
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSION = "1.19.2"
WHEEL = "onnxruntime-training-cpu"
INIT = "PyInit_onnxruntime_pybind11_state"
SOURCE = Path(__file__).with_name("engine.c")


def main(folder: Path) -> None:
    module, libpython = find_module(), find_libpython()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / "libprobe.so"
    compile_library(probe, module, libpython, offset=0)
    offset = find_offset(probe, module)
    library = folder / "libonnxruntime.so"
    compile_library(library, module, libpython, offset)
    print(library.resolve())


def find_module() -> Path:
    """Return the wheel's extension module."""
    try:
        installed = version(WHEEL)
    except PackageNotFoundError:
        installed = "no version"
    package = importlib.util.find_spec("onnxruntime")
    places = list(package.submodule_search_locations or []) if package else []
    found = [file for place in places for file in Path(place).glob("capi/onnxruntime_pybind11*.so")]
    if installed != VERSION or not found:
        sys.exit(f"{sys.executable} has {installed} of {WHEEL}: pip install {WHEEL}=={VERSION}")
    return found[0]


def find_libpython() -> Path:
    """Return the shared library of this Python, from which the module takes its symbols."""
    name = str(sysconfig.get_config_var("INSTSONAME"))
    folders = [str(sysconfig.get_config_var("LIBDIR")), f"{sys.base_prefix}/lib"]
    found = [Path(one, name) for one in folders if ".so" in name and Path(one, name).is_file()]
    if found:
        return found[0]
    # Debian's interpreter is linked statically; the library comes with another package.
    soname = f"libpython{sysconfig.get_python_version()}.so.1.0"
    try:
        ctypes.CDLL(soname)
    except OSError:
        sys.exit(f"no {soname}: apt install libpython{sysconfig.get_python_version()}")
    return Path(soname)


def compile_library(target: Path, module: Path, libpython: Path, offset: int) -> None:
    """Compile engine.c under the name and version that the jar's JNI library asks for."""
    script = target.with_suffix(".version")
    script.write_text(f"VERS_{VERSION} {{ global: *; }};\n")
    command = [
        *("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", str(SOURCE)),
        f'-DLIBPYTHON="{libpython}"',
        f'-DENGINE_MODULE="{module}"',
        f'-DENGINE_INIT="{INIT}"',
        f"-DENGINE_OFFSET=({offset}L)",
        *("-Wl,-soname,libonnxruntime.so.1", f"-Wl,--version-script={script}"),
        *("-o", str(target), "-ldl"),
    ]
    try:
        subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit("no gcc: apt install gcc libc6-dev")
    except subprocess.CalledProcessError as error:
        sys.exit(f"gcc fails: {error.stderr.strip().splitlines()[0]}")


def find_offset(probe: Path, module: Path) -> int:
    """Return how far the engine's base is from the module's init function, in bytes."""
    # `import onnxruntime` would pull in torch wherever it is installed: two seconds.
    sys.modules["onnxruntime.training.ortmodule"] = None  # type: ignore[assignment]
    import onnxruntime

    library = ctypes.CDLL(str(probe))  # first: the options close the library when they go
    onnxruntime.SessionOptions().register_custom_ops_library(str(probe))
    library.registered_base.restype = ctypes.c_void_p
    base = library.registered_base()
    init = ctypes.cast(getattr(ctypes.CDLL(str(module)), INIT), ctypes.c_void_p).value
    if not base or not init:
        sys.exit(f"{module} hands out no engine: pip install --force-reinstall {WHEEL}=={VERSION}")
    return int(base) - init


if __name__ == "__main__":
    main(Path(sys.argv[1]))
