"""A service for the numpy learner, over TLS, as a process: BROKER_URL STATE CREDENTIALS_FOLDER."""

import sys
from pathlib import Path

import torch
from edge_parts import make_manifest
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_protocol import console
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.mqtt import parse_broker
from torch import nn


def main() -> None:
    console.terminate_like_interrupt()
    folder = Path(sys.argv[3])
    credentials = Credentials(
        ca=folder / "ca.pem",
        certificate=folder / "hiertk-cloud.pem",
        key=folder / "hiertk-cloud.key",
    )
    manifest = make_manifest()
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(manifest.features.values, manifest.classes.capacity)
    )
    with open_service(
        manifest,
        module,
        broker=parse_broker(sys.argv[1]),
        state=Path(sys.argv[2]),
        settings=ServiceSettings(credentials=credentials),
        reporter=Reporter(as_json=True),
    ) as service:
        service.run()


if __name__ == "__main__":
    console.run(main)
