"""What benchmarks of the phone's modules need: the modules, compiled, and a JVM that runs them."""

import shutil
import subprocess
import sys
from functools import cache

from hiertk_protocol.errors import ConfigError

from benchmarks.workplace import ROOT, environment

_PROJECT = ROOT / "android_demo"
_CLASSPATH = "target/bench-classpath.txt"
_MODULES = ("core", "learner-ort")


def java(module: str, main: str, *arguments: str, **properties: str) -> list[str]:
    """Return the command line that runs a main function of a module's tests.

    Compiles the modules at first, which takes minutes. Raises ConfigError if that fails.
    """
    _compile()
    target = _PROJECT / module / "target"
    libraries = (_PROJECT / module / _CLASSPATH).read_text().strip()
    classpath = f"{target / 'classes'}:{target / 'test-classes'}:{libraries}"
    settings = [f"-D{name.replace('_', '.')}={value}" for name, value in properties.items()]
    return ["java", *settings, "-cp", classpath, main, *arguments]


@cache
def engine_library() -> str:
    """Return a library through which a JVM trains with this Python's engine."""
    script = _PROJECT / "learner-ort/src/test/native/engine.py"
    folder = _PROJECT / "learner-ort/target/native"
    return _run([sys.executable, str(script), str(folder)]).strip()


@cache
def _compile() -> None:
    if shutil.which("mvn") is None or shutil.which("java") is None:
        raise ConfigError("the phone's benchmarks need Maven, JDK 17 and gcc: install them")
    pom, modules = str(_PROJECT / "pom.xml"), ",".join(_MODULES)
    goals = ["test-compile", "dependency:build-classpath", f"-Dmdep.outputFile={_CLASSPATH}"]
    maven = ["mvn", "-q", "-B", "-ntp", "-f", pom, "-pl", modules]
    _run([*maven, *goals, "-Dmdep.includeScope=test"])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise ConfigError(f"{command[0]} fails: {''.join(last)}: run it by hand to see why")
    return done.stdout
