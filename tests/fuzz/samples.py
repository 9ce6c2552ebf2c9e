"""Valid inputs, one of each kind, that the mutations damage."""

import json
import sqlite3
import zipfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from hiertk.planner.shipped import Role, shipped_profile
from hiertk_cloud.classes.devices import KnownDevice
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.ingest.judge import Judge
from hiertk_cloud.log import DurableLog
from hiertk_cloud.training.checkpoint import save_checkpoint
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.progress import Progress
from hiertk_edge.engines.optimizers import Trained
from hiertk_edge.engines.program_checkpoint import Training, write_checkpoint
from hiertk_edge.spool import Cursor, Spool
from hiertk_protocol.hiertk_pb2 import (
    Ack,
    ClassMap,
    ClassReply,
    ClassRequest,
    DeviceStatus,
    ModelStatus,
    PredictReply,
    PredictRequest,
    Refusal,
)
from hiertk_protocol.messages import NEW_CLASS
from hiertk_protocol.profile_file import read_cloud_profile, read_edge_profile, write_profile
from protocol_samples import FILES, make_batch, make_manifest, write_bundle
from torch import nn

from cloud_service import cloud_parts

MANIFEST = make_manifest()
DEVICE = "rpi-1"
FEATURES = make_batch(MANIFEST)
ACK = Ack(epoch=9, through=4, beyond=[6, 8], refused=[Refusal(seq=3, reason="no")])
DEVICE_STATUS = DeviceStatus(state=DeviceStatus.TRAINING, edge_step=7, step_ms=1.5, sent_bytes=99)
MODEL_STATUS = ModelStatus(state=ModelStatus.ONLINE, incarnation=5, max_message_bytes=1 << 17)
CLASSES = ClassMap(version=3)
CLASSES.slots.add(slot=1, name="shirt", since=1).aliases.add(name="top", slot=2, since=2)
CLASS_REQUEST = ClassRequest(bundle_id=FEATURES.bundle_id, name="ankle boot")
CLASS_REPLY = ClassReply(slot=2, version=3)
PREDICT_REQUEST = PredictRequest(
    bundle_id=FEATURES.bundle_id, shape=FEATURES.shape, features=FEATURES.features
)
PREDICT_REPLY = PredictReply(cloud_step=7, probabilities=[0.25, 0.75] + [0.0] * 8)


def bundle_zip(folder: Path) -> bytes:
    """Return a bundle as a zip, and write it as a folder, too."""
    manifest = write_bundle(folder)
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", manifest.to_json())
        for name, data in FILES.items():
            archive.writestr(name, data)
    return target.getvalue()


def profile(role: Role, folder: Path) -> bytes:
    """Return a shipped profile, of its first separation point only."""
    shipped = shipped_profile("resnet18", "torchvision", 32, role)
    assert shipped is not None
    whole = read_edge_profile(shipped) if role == "edge" else read_cloud_profile(shipped)
    path = folder / f"sample-{role}.toml"
    write_profile(path, whole.model_copy(update={"points": whole.points[:1]}))
    return path.read_bytes()


def small_learner() -> CloudLearner:
    """Return a learner with few tensors."""
    torch.manual_seed(0)
    return CloudLearner(nn.Linear(2, 8), cloud_parts.MANIFEST, 1e-3)


def cloud_checkpoint(folder: Path) -> bytes:
    """Return a checkpoint of the small learner."""
    path = folder / "sample.safetensors"
    save_checkpoint(path, cloud_parts.MANIFEST.bundle_id, small_learner(), Progress(turn=3))
    return path.read_bytes()


def edge_training() -> Training:
    """Return a training of two parameters."""
    parameters = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    moments = {"exp_avg": {name: torch.zeros_like(one) for name, one in parameters.items()}}
    return Training(Trained(parameters, moments, steps=3), {"mean": torch.zeros(2)})


def edge_checkpoint(folder: Path) -> bytes:
    """Return a checkpoint of a step program."""
    path = folder / "sample.checkpoint"
    write_checkpoint(path, edge_training(), MANIFEST.bundle_id, "0 1 2")
    return path.read_bytes()


def spool(folder: Path) -> bytes:
    """Return a spool that holds three messages, as one file."""
    path = folder / "sample-spool.sqlite"
    with closing(Spool(path, bundle_id=MANIFEST.bundle_id, device=DEVICE)) as opened:
        for consumed in (1, 2, 3):
            opened.put([make_batch(MANIFEST)], Cursor("plan", consumed, 0))
    return _in_one_file(path)


def log(folder: Path) -> bytes:
    """Return a log that holds three batches and a refusal, as one file."""
    path = folder / "sample-log.sqlite"
    messages = [make_batch(MANIFEST, samples=2) for _ in range(4)]
    for seq, message in enumerate(messages, 3):
        message.seq = seq
    messages[-1].labels[0] = 9  # no class has this slot
    judge = Judge(MANIFEST)
    with closing(DurableLog(path, MANIFEST.bundle_id)) as opened:
        opened.append([judge.judge(DEVICE, one.SerializeToString()) for one in messages])
        opened.give_turns()
    return _in_one_file(path)


def new_classes() -> bytes:
    """Return a feature batch that names a class."""
    message = make_batch(MANIFEST, samples=2)
    message.labels[1] = NEW_CLASS
    message.new_classes.append("boot")
    payload: bytes = message.SerializeToString()
    return payload


def classes(folder: Path) -> bytes:
    """Return a registry with a change of each kind and a device, as one file."""
    path = folder / "sample-classes.sqlite"
    with closing(ClassRegistry.open(path, MANIFEST)) as opened:
        for name in ("boot", "bag", "hat"):
            opened.request(name, DEVICE)
        opened.merge("boot", "bag")
        opened.retire("hat")
        opened.note([KnownDevice(DEVICE, 3, 1)])
    return _in_one_file(path)


def _in_one_file(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    return path.read_bytes()


def program() -> bytes:
    """Return a .pt2 file with one call of each kind of argument."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("infer/models/model.json", json.dumps(_graph()))
        archive.writestr("infer/version", "0")
    return target.getvalue()


def _graph() -> dict[str, Any]:
    x = {"as_tensor": {"name": "x"}}
    sizes = {"as_sym_ints": [{"as_int": 2}, {"as_name": "n"}]}
    nodes = [
        _node("torch.ops.aten.sym_size.int", [x, {"as_int": 0}], {"as_sym_int": {"as_name": "n"}}),
        _node("torch.ops.aten.relu.default", [x], {"as_tensor": {"name": "y"}}),
        _node(
            "torch.ops.aten.expand_copy.default",
            [sizes, {"as_float": 1.0}, {"as_scalar_type": 7}, {"as_device": {"type": "cpu"}}],
            {"as_tensor": {"name": "z"}},
        ),
        _node("torch.ops.aten.cat.default", [{"as_tensors": [{"name": "y"}]}], {"as_none": True}),
    ]
    graph = {"inputs": [x], "nodes": nodes, "outputs": [{"as_tensor": {"name": "y"}}]}
    return {"schema_version": {"major": 8, "minor": 1}, "graph_module": {"graph": graph}}


def _node(target: str, arguments: list[Any], result: dict[str, Any]) -> dict[str, Any]:
    inputs = [{"name": f"a{place}", "arg": one, "kind": 1} for place, one in enumerate(arguments)]
    return {"target": target, "inputs": inputs, "outputs": [result]}
