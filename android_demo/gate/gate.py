"""Compile and package the app without Gradle, where Google's repository is out of reach.

The app's sources and resources are compiled against the framework's classes, packed, aligned,
signed with a key that is thrown away, and verified. The APK proves that all of this fits together;
it is no release: no engine is inside, and nothing is desugared or shrunk. Run by `make
test-android`; needs Maven, a JDK and PACKAGES.
"""

import argparse
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from engine_classes import fetch_classes

GATE = Path(__file__).resolve().parent
PROJECT = GATE.parent
APP = PROJECT / "app/src/main"
TARGET = GATE / "target"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
TOOLS = ("mvn", "java", "keytool", "aapt2", "zipalign", "apksigner", "npm")
# Debian's and Ubuntu's names.
PACKAGES = "maven openjdk-17-jdk-headless aapt zipalign apksigner android-framework-res npm"
MIN_SDK = "26"
ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")


class GateError(Exception):
    """A step of the gate that failed: one line saying which, and its output above it."""


def main() -> int:
    """Run the gate's steps in their order; the exit code says whether all passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--offline", action="store_true", help="Maven asks no repository")
    arguments = parser.parse_args()
    try:
        check_tools()
        fresh(TARGET)
        linked = link_resources()
        compile_sources(offline=arguments.offline)
        dexes = make_dexes(gather_classes())
        apk = sign(pack(linked, dexes))
    except GateError as error:
        print(f"gate: {error}", file=sys.stderr)
        return 1
    report(apk)
    return 0


def check_tools() -> None:
    """Refuse to begin where a tool is missing: a gate that is skipped is none."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not FRAMEWORK.is_file():
        missing.append(str(FRAMEWORK))
    if missing:
        raise GateError(f"{', '.join(missing)} missing: apt-get install {PACKAGES}")


def link_resources() -> Path:
    """Compile resources and manifest; write the R class and return the APK that holds them."""
    compiled, linked, r = TARGET / "resources.zip", TARGET / "linked.apk", TARGET / "r"
    run("resources", "aapt2", "compile", "--dir", APP / "res", "-o", compiled)
    manifest = TARGET / "AndroidManifest.xml"
    manifest.write_text(named_manifest(), encoding="utf-8")
    r.mkdir()
    run(
        *(
            "resources",
            "aapt2",
            "link",
            "-o",
            linked,
            "-I",
            FRAMEWORK,
            "--manifest",
            manifest,
            "--java",
            r,
        ),
        *("--min-sdk-version", MIN_SDK, "--target-sdk-version", "35"),
        *("--version-code", "1", "--version-name", "gate", "--auto-add-overlay", compiled),
    )
    return linked


def named_manifest() -> str:
    """Return the app's manifest with the package's name, which Gradle takes from its namespace."""
    gradle = (PROJECT / "app/build.gradle.kts").read_text(encoding="utf-8")
    namespace = re.search(r'namespace = "([\w.]+)"', gradle)
    if namespace is None:
        raise GateError("app/build.gradle.kts has no namespace")
    manifest = (APP / "AndroidManifest.xml").read_text(encoding="utf-8")
    return manifest.replace("<manifest ", f'<manifest package="{namespace[1]}" ', 1)


def compile_sources(*, offline: bool) -> None:
    """Compile all with Maven, check which API it uses, and lay out libraries and dexer."""
    problem = fetch_classes(PROJECT / "target/executorch.jar", offline=offline)
    if problem is not None:
        raise GateError(f"ExecuTorch's classes: {problem}")
    options = ["-o"] if offline else []
    maven = [
        "mvn",
        "-B",
        "-q",
        *options,
        "-P",
        "gate",
        "-pl",
        "gate",
        "-am",
        "-Dmaven.test.skip=true",
        "package",
    ]
    run("compiling", *maven, cwd=PROJECT)


def gather_classes() -> Path:
    """Copy the classes of all libraries and of the app into one jar: what the dexer reads."""
    gathered = TARGET / "classes.jar"
    jars = [*sorted((TARGET / "libraries").glob("*.jar")), TARGET / "gate-0.1.0.jar"]
    origins: dict[str, str] = {}
    with zipfile.ZipFile(gathered, "w") as whole:
        for jar in jars:
            with zipfile.ZipFile(jar) as part:
                for name in filter(is_class, part.namelist()):
                    if name in origins:
                        raise GateError(f"{name} is in {origins[name]} and in {jar.name}")
                    origins[name] = jar.name
                    whole.writestr(name, part.read(name))
    return gathered


def is_class(name: str) -> bool:
    """Tell whether a jar's entry is a class for Java 8; others are for newer machines."""
    return (
        name.endswith(".class")
        and not name.startswith("META-INF/")
        and Path(name).stem != "module-info"
    )


def make_dexes(classes: Path) -> list[Path]:
    """Make the phone's machine code of the classes."""
    folder = TARGET / "dex"
    folder.mkdir()
    dexer = (
        "java",
        "-Xmx2g",
        "-cp",
        TARGET / "tools/dalvik-dx.jar",
        "com.android.dx.command.Main",
        "--dex",
    )
    run(
        "dexing",
        *dexer,
        "--multi-dex",
        f"--min-sdk-version={MIN_SDK}",
        f"--output={folder}",
        classes,
    )
    return sorted(folder.glob("*.dex"))


def pack(linked: Path, dexes: list[Path]) -> Path:
    """Put code and native libraries beside the resources, each aligned as the phone maps it."""
    packed, aligned = TARGET / "packed.apk", TARGET / "aligned.apk"
    shutil.copyfile(linked, packed)
    with (
        zipfile.ZipFile(packed, "a") as apk,
        zipfile.ZipFile(TARGET / "tools/zstd-jni.aar") as zstd,
    ):
        for dex in dexes:
            apk.write(dex, dex.name, zipfile.ZIP_DEFLATED)
        for name in zstd.namelist():
            if name.endswith(".so") and name.split("/")[1] in ABIS:
                apk.writestr(name.replace("jni/", "lib/", 1), zstd.read(name), zipfile.ZIP_STORED)
    run("aligning", "zipalign", "-f", "-p", "4", packed, aligned)
    return aligned


def sign(aligned: Path) -> Path:
    """Sign with a key made for this run, verify, and forget the key."""
    apk, key, password = TARGET / "gate.apk", TARGET / "throwaway.p12", secrets.token_urlsafe()
    environment = {**os.environ, "GATE_PASSWORD": password}
    made = (
        "keytool",
        "-genkeypair",
        "-keystore",
        key,
        "-storetype",
        "PKCS12",
        "-storepass:env",
        "GATE_PASSWORD",
    )
    subject = (
        "-alias",
        "gate",
        "-dname",
        "CN=gate",
        "-keyalg",
        "EC",
        "-groupname",
        "secp256r1",
        "-validity",
        "1",
    )
    run("signing", *made, *subject, environment=environment)
    given = ("--ks", key, "--ks-pass", "env:GATE_PASSWORD", "--min-sdk-version", MIN_SDK)
    run("signing", "apksigner", "sign", *given, "--out", apk, aligned, environment=environment)
    key.unlink()
    verified = run(
        "verifying", "apksigner", "verify", "--verbose", "--min-sdk-version", MIN_SDK, apk
    )
    if "Verified using v2 scheme (APK Signature Scheme v2): true" not in verified:
        raise GateError(f"verifying: no signature of scheme v2: {verified}")
    return apk


def report(apk: Path) -> None:
    """Print the APK's size and its parts."""
    whole = megabytes(apk.stat().st_size)
    print(f"gate: {apk.relative_to(PROJECT)}, {whole}, sha256 {digest(apk)[:16]}, verified")
    sizes: dict[str, int] = {}
    with zipfile.ZipFile(apk) as packed:
        for entry in packed.infolist():
            part = (
                "/".join(entry.filename.split("/")[:2])
                if entry.filename.startswith("lib/")
                else kind(entry.filename)
            )
            sizes[part] = sizes.get(part, 0) + entry.compress_size
    for part, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"gate:   {part:24} {megabytes(size):>9}")
    print("gate: no release: no training engine and no bundle are inside; nothing is shrunk")


def kind(name: str) -> str:
    """Return what to call an entry outside lib/ in the report."""
    if name.endswith(".dex"):
        return "code (dex)"
    return "signature" if name.startswith("META-INF/") else "resources and manifest"


def megabytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / 1e6:.2f} MB"


def digest(file: Path) -> str:
    """Return a file's sha256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def fresh(folder: Path) -> None:
    """Make an empty folder, without what an earlier run left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def run(
    step: str, *command: object, cwd: Path = GATE, environment: dict[str, str] | None = None
) -> str:
    """Run a program and return what it printed; a failure shows it, and says which step it was."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    output = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        print(output, file=sys.stderr)
        raise GateError(f"{step} failed: {words[0]} left with {done.returncode}")
    return output


if __name__ == "__main__":
    sys.exit(main())
