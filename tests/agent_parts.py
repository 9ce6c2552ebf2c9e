"""A device with 12 training batches of 4, run whole but for its learner."""

from pathlib import Path

import pytest
from edge_configs import edge_config
from edge_parts import DEVICE, make_manifest, write_bundle, write_images
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device import run_device
from hiertk_edge.spool import Spool
from hiertk_edge.watch import Outcome, Watch
from hiertk_protocol.errors import TransportError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from numpy_learner import open_numpy_learner

MANIFEST = make_manifest()


def offline_device(folder: Path) -> EdgeConfig:
    """Return its configuration; there is no broker, and it does not wait for one."""
    return edge_config(
        write_bundle(folder / "bundle"),
        folder / "state",
        data=f"folder:{write_images(folder / 'data', 16)}",
        held_out=f"folder:{write_images(folder / 'held-out', 3, seed=9)}",
        training={"drain_timeout_s": 0},
        checkpoint={"every_s": 0},
    )


def run(settings: EdgeConfig, watch: Watch | None = None) -> Outcome:
    return run_device(settings, watch or Watch(), open_engine=open_numpy_learner)


def run_offline(settings: EdgeConfig) -> None:
    with pytest.raises(TransportError, match="run the same command again"):
        run(settings)


def spooled(settings: EdgeConfig) -> list[FeatureBatch]:
    spool = Spool(settings.state / "spool.sqlite", bundle_id=MANIFEST.bundle_id, device=DEVICE)
    messages = []
    seq = 0
    while (stored := spool.next_after(seq)) is not None:
        seq = stored.seq
        messages.append(FeatureBatch.FromString(stored.message))
    spool.close()
    return messages


def training(messages: list[FeatureBatch]) -> list[FeatureBatch]:
    return [message for message in messages if message.purpose == FeatureBatch.TRAIN]
