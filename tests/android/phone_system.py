"""A deployment for one phone, whole and running: what the app's screens are tested against.

phone_system.py FOLDER: fills FOLDER and prints a line of JSON when all is up; it ends with its
standard input.

bundle    the phone's bundle, a zip
pairing   the code that lets the phone in, as text
engine    the library that trains on a JVM
images    FOLDER/images/CLASS/NUMBER.png: real ones, of Fashion-MNIST
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from android.live_cloud import write_config
from hiertk.export import ExportSettings, export_bundle
from hiertk_cloud.provisioning.authority import open_authority
from hiertk_cloud.provisioning.devices import BrokerPlace, refresh
from hiertk_cloud.provisioning.pairing import admit, draft_pairing
from secured_broker import SecuredBroker

CLASSES = ("Pullover", "Coat", "Sneaker", "Bag")
ENGINE = Path(__file__).parents[2] / "android_demo/learner-ort/src/test/native/engine.py"


def export(folder: Path) -> str:
    """Export the phone's bundle, of which a step is quick on both sides; return its deployment."""
    settings = ExportSettings(
        model="resnet18",
        split=6,
        target="android",
        classes=CLASSES,
        class_capacity=8,
        batch_size=16,
        out=folder / "bundle",
        zip=True,
    )
    return export_bundle(settings).bundle.manifest.deployment


def pair(folder: Path, deployment: str) -> str:
    """Let the phone in, and return its pairing code."""
    with open_authority(folder / "authority") as authority:
        registry, _ = refresh(authority, BrokerPlace())
        pairing = draft_pairing(authority, registry, "phone-1", deployment=deployment)
        admit(authority, registry, pairing)
    return pairing.to_text()


@contextmanager
def service(folder: Path, port: int) -> Iterator[None]:
    """Run the cloud service; it is up."""
    write_config(folder, port)
    command = [sys.executable, "-m", "hiertk_cloud", "serve", "--json"]
    log = folder / "cloud.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--config", str(folder / "cloud.toml")],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        try:
            assert process.stdout is not None
            if not any('"event": "up"' in line for line in process.stdout):
                sys.exit(f"the cloud service ended: {log.read_text().strip().splitlines()[-1]}")
            yield
        finally:
            process.terminate()
            process.wait(30)


def run(*command: object) -> str:
    """Run one of the repository's own programs and return what it prints."""
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> None:
    """Set all of it up in the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.chmod(0o711)  # Mosquitto becomes another user where root starts it
    images = folder / "images"
    run("-m", "hiertk", "data", "fashion-mnist-mini", "--out", images)
    engine = run(ENGINE, folder / "engine")
    deployment = export(folder)
    broker = SecuredBroker(folder)
    pairing = pair(folder, deployment)
    with broker, service(folder, broker.port):
        told = {"bundle": str(folder / "bundle.zip"), "pairing": pairing, "engine": engine}
        print(json.dumps({**told, "images": str(images)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
