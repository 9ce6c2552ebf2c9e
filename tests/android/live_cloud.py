"""What the phone's live test needs of Python: a bundle, a secured broker's files, credentials.

live_cloud.py FOLDER PORT: fills FOLDER with

bundle/            a small bundle
mosquitto/         Mosquitto's files as `hiertk-cloud provision` writes them, for PORT and two more
phone-1/           ca.pem and password
phone-2/           ca.pem, device.pem and device.key
cloud.toml         configuration of `hiertk-cloud serve`
"""

import sys
from pathlib import Path

from hiertk.export import ExportSettings, export_bundle
from hiertk_cloud.provisioning.authority import open_authority
from hiertk_cloud.provisioning.devices import BrokerPlace, provision, refresh
from hiertk_cloud.provisioning.registry import Kind
from hiertk_protocol.manifest import Manifest

HOST = "127.0.0.1"
BATCH_SIZE = 8
PHONES: tuple[tuple[str, Kind], ...] = (("phone-1", "password"), ("phone-2", "certificate"))


def export(folder: Path) -> Manifest:
    """Export a bundle of which a cloud step is quick."""
    settings = ExportSettings(
        model="resnet18",
        split=6,
        target="android",
        classes=("red", "green", "blue"),
        class_capacity=8,
        batch_size=BATCH_SIZE,
        out=folder,
    )
    return export_bundle(settings).bundle.manifest


def provision_all(folder: Path, port: int, deployment: str) -> None:
    """Make the broker's files and the phones' credentials."""
    with open_authority(folder / "authority") as authority:
        registry, _ = refresh(authority, BrokerPlace((HOST,), port))
        for name, kind in PHONES:
            provision(
                authority,
                registry,
                name,
                kind=kind,
                deployment=deployment,
                days=10,
                out=folder / name,
            )
            registry, _ = refresh(authority, BrokerPlace())


def write_config(folder: Path, port: int) -> None:
    """Write the service's configuration."""
    credentials = folder / "credentials"
    text = f"""\
bundle = "{folder / "bundle"}"
state = "{folder / "cloud"}"

[broker]
url = "mqtts://{HOST}:{port + 2}"
ca = "{credentials / "ca.pem"}"
certificate = "{credentials / "hiertk-cloud.pem"}"
key = "{credentials / "hiertk-cloud.key"}"

[trainer]
replay = 0
threads = 1

[api]
listen = ""
"""
    (folder / "cloud.toml").write_text(text)


def main() -> None:
    """Prepare the folder that the command line names."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    manifest = export(folder / "bundle")
    provision_all(folder, port, manifest.deployment)
    write_config(folder, port)


if __name__ == "__main__":
    main()
