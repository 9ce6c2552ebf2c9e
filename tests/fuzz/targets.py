"""Every parser of bytes from outside, as something that takes bytes.

A target may raise errors of the tree and nothing else. What it takes must be usable: each calls
what the product would do next with it.
"""

import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz import samples
from fuzz.file_mutations import mutate_json, mutate_safetensors, mutate_tables, mutate_zip
from fuzz.mutations import Mutation, mutate_bytes, mutate_fields
from fuzz.tampering import LOG_STATEMENTS, SPOOL_STATEMENTS
from hiertk_cloud.classes.devices import KnownDevice
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.ingest.judge import Judge
from hiertk_cloud.log import Accepted, DamagedEntryError, DurableLog, LogReader
from hiertk_cloud.training.checkpoint import load_checkpoint
from hiertk_edge.engines.program_checkpoint import read_checkpoint
from hiertk_edge.engines.pt2_file import read_graph
from hiertk_edge.spool import Spool
from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.class_map import parse_class_map
from hiertk_protocol.class_requests import ClassContract
from hiertk_protocol.codec import decode, dequantize
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import QuantizedFeatures
from hiertk_protocol.manifest import parse_manifest
from hiertk_protocol.messages import (
    FeatureContract,
    parse_ack,
    parse_device_status,
    parse_model_status,
)
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.prediction_messages import CloudRefusedError, PredictionContract
from hiertk_protocol.profile_file import read_cloud_profile, read_edge_profile

from cloud_service import cloud_parts

CORPUS = Path(__file__).parent / "corpus"
_MOST_MESSAGES = 50
_CLASS_STATEMENTS = (
    "UPDATE changes SET slot = slot + 1 WHERE version = 3",
    "UPDATE changes SET slot = -9223372036854775808",
    "UPDATE changes SET version = version + 1",
    "UPDATE changes SET kind = NULL",
    "UPDATE changes SET name = zeroblob(100000)",
    "UPDATE changes SET into_slot = 'x'",
    "DELETE FROM changes WHERE version = 2",
    "DROP TABLE changes",
    "UPDATE devices SET version = 9223372036854775807, seen = -1",
    "UPDATE devices SET device = char(10)",
    "UPDATE owner SET bundle_id = zeroblob(32)",
    "DELETE FROM exported",
    "UPDATE exported SET classes = '[['",
    "PRAGMA user_version = 7",
)


@dataclass(frozen=True)
class Target:
    """A parser, valid inputs for it, what damages them, and its share of all inputs."""

    name: str
    take: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    mutate: Mutation
    share: int

    @property
    def corpus(self) -> list[Path]:
        """Inputs that were found, or made, to be hard."""
        return sorted((CORPUS / self.name).glob("*"))


def make_targets(folder: Path) -> dict[str, Target]:
    """Return all targets by name; they write their files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [
        *_messages(),
        *_classes(folder),
        *_predictions(),
        *_texts(folder),
        *_files(folder),
        *_databases(folder),
    ]
    return {target.name: target for target in found}


def _messages() -> list[Target]:
    contract, judge = FeatureContract(samples.MANIFEST), Judge(samples.MANIFEST)
    message = samples.FEATURES.SerializeToString()
    shape = tuple(samples.FEATURES.shape)

    def features(data: bytes) -> None:
        batch = contract.check(contract.parse(data))
        assert np.isfinite(dequantize(batch.features)).all()

    def ingest(data: bytes) -> None:
        answer = judge.judge(samples.DEVICE, data)
        if isinstance(answer, Accepted):
            contract.check(contract.parse(answer.message))

    def codec(data: bytes) -> None:
        try:
            parsed = QuantizedFeatures.FromString(data)
        except Exception as error:
            raise ProtocolError("no message") from error
        assert decode(parsed, shape).values.shape == shape

    encoded = samples.FEATURES.features.SerializeToString()
    fields = mutate_fields
    return [
        Target("features", features, (message,), fields, 260),
        Target("ingest", ingest, (message, samples.new_classes()), fields, 180),
        Target("codec", codec, (encoded,), fields, 180),
        Target("ack", parse_ack, (samples.ACK.SerializeToString(),), fields, 80),
        Target(
            "device-status",
            parse_device_status,
            (samples.DEVICE_STATUS.SerializeToString(),),
            fields,
            50,
        ),
        Target(
            "model-status",
            parse_model_status,
            (samples.MODEL_STATUS.SerializeToString(),),
            fields,
            50,
        ),
    ]


def _classes(folder: Path) -> list[Target]:
    contract, capacity = ClassContract(samples.MANIFEST), samples.MANIFEST.classes.capacity
    path, scratch = folder / "classes.sqlite", folder / "scratch-classes.sqlite"

    def class_map(data: bytes) -> None:
        found = parse_class_map(data, capacity)
        assert parse_class_map(found.to_message().SerializeToString(), capacity) == found

    def class_request(data: bytes) -> None:
        name = contract.read_request(data)
        assert contract.read_request(contract.request(name)) == name

    def class_reply(data: bytes) -> None:
        try:
            found = contract.read_reply(data)
        except CloudRefusedError as error:
            assert str(error).isprintable()  # noqa: PT017  (a device shows it to its user)
            raise
        assert contract.read_reply(contract.reply(found)) == found

    def classes(data: bytes) -> None:
        _write_alone(path, data)
        with closing(ClassRegistry.open(path, samples.MANIFEST)) as opened:
            opened.request("one more", samples.DEVICE)
            opened.note([KnownDevice(samples.DEVICE, opened.history.newest.version, 1)])
            parse_class_map(opened.history.newest.to_message().SerializeToString(), capacity)

    fields = mutate_fields
    tables = mutate_tables(_CLASS_STATEMENTS, scratch)
    return [
        Target("class-map", class_map, (samples.CLASSES.SerializeToString(),), fields, 20),
        Target(
            "class-request", class_request, (samples.CLASS_REQUEST.SerializeToString(),), fields, 20
        ),
        Target("class-reply", class_reply, (samples.CLASS_REPLY.SerializeToString(),), fields, 20),
        Target("classes", classes, (samples.classes(folder),), tables, 2),
    ]


def _predictions() -> list[Target]:
    prediction = PredictionContract(samples.MANIFEST)
    request, reply = samples.PREDICT_REQUEST, samples.PREDICT_REPLY

    def predict_request(data: bytes) -> None:
        asked = prediction.read_request(data).features
        assert np.isfinite(dequantize(asked)).all()
        prediction.read_request(prediction.request(asked))

    def predict_reply(data: bytes) -> None:
        try:
            found = prediction.read_reply(data, samples=1)
        except CloudRefusedError as error:
            assert str(error).isprintable()  # noqa: PT017  (a device shows it to its user)
            raise
        prediction.read_reply(prediction.reply(found), samples=1)

    return [
        Target(
            "predict-request", predict_request, (request.SerializeToString(),), mutate_fields, 100
        ),
        Target("predict-reply", predict_reply, (reply.SerializeToString(),), mutate_fields, 60),
    ]


def _texts(folder: Path) -> list[Target]:
    profile = folder / "profile.toml"

    def broker(data: bytes) -> None:
        url = data.decode(errors="surrogateescape")
        assert parse_broker(str(parse_broker(url))) == parse_broker(url)

    def manifest(data: bytes) -> None:
        parsed = parse_manifest(data, "manifest.json")
        assert parsed.to_json() == data
        assert parsed.classes.bias().shape == (parsed.classes.capacity,)

    def edge_profile(data: bytes) -> None:
        profile.write_bytes(data)
        read_edge_profile(profile)

    def cloud_profile(data: bytes) -> None:
        profile.write_bytes(data)
        read_cloud_profile(profile)

    urls = (b"mqtt://localhost", b"mqtts://[::1]:8883", b"mqtt://a.b:1883/")
    return [
        Target("broker", broker, urls, mutate_bytes, 60),
        Target("manifest", manifest, (samples.MANIFEST.to_json(),), mutate_json, 80),
        Target("edge-profile", edge_profile, (samples.profile("edge", folder),), mutate_bytes, 4),
        Target(
            "cloud-profile", cloud_profile, (samples.profile("cloud", folder),), mutate_bytes, 4
        ),
    ]


def _files(folder: Path) -> list[Target]:
    bundle, archive = folder / "bundle", folder / "bundle.zip"
    zipped = samples.bundle_zip(bundle)
    checkpoint, training = folder / "checkpoint", samples.edge_training()
    state, learner = folder / "cloud.safetensors", samples.small_learner()
    program = folder / "infer.pt2"

    def bundle_folder(data: bytes) -> None:
        (bundle / "manifest.json").write_bytes(data)
        open_bundle(bundle)

    def bundle_zip(data: bytes) -> None:
        archive.write_bytes(data)
        opened = open_bundle(archive)
        assert opened.folder.parent == folder
        assert not any(path.is_symlink() for path in opened.folder.rglob("*"))
        shutil.rmtree(opened.folder)  # it would be taken again, unlooked at

    def edge_checkpoint(data: bytes) -> None:
        checkpoint.write_bytes(data)
        read_checkpoint(checkpoint, training, samples.MANIFEST.bundle_id, bundle)

    def cloud_checkpoint(data: bytes) -> None:
        state.write_bytes(data)
        load_checkpoint(state, cloud_parts.MANIFEST.bundle_id, learner)

    def pt2(data: bytes) -> None:
        program.write_bytes(data)
        read_graph(program)

    return [
        Target("bundle-folder", bundle_folder, (samples.MANIFEST.to_json(),), mutate_json, 6),
        Target("bundle-zip", bundle_zip, (zipped,), mutate_zip, 6),
        Target(
            "edge-checkpoint",
            edge_checkpoint,
            (samples.edge_checkpoint(folder),),
            mutate_safetensors,
            12,
        ),
        Target(
            "cloud-checkpoint",
            cloud_checkpoint,
            (samples.cloud_checkpoint(folder),),
            mutate_safetensors,
            12,
        ),
        Target("pt2", pt2, (samples.program(),), mutate_zip, 6),
    ]


def _databases(folder: Path) -> list[Target]:
    spool_path, log_path = folder / "spool.sqlite", folder / "log.sqlite"
    scratch = folder / "scratch.sqlite"
    contract = FeatureContract(samples.MANIFEST)
    arrival = Judge(samples.MANIFEST).judge(samples.DEVICE, samples.FEATURES.SerializeToString())
    bundle_id = samples.MANIFEST.bundle_id

    def spool(data: bytes) -> None:
        _write_alone(spool_path, data)
        with closing(Spool(spool_path, bundle_id=bundle_id, device=samples.DEVICE)) as opened:
            assert opened.cursor
            seq = opened.floor - 1
            for _ in range(_MOST_MESSAGES):
                stored = opened.next_after(seq)
                if stored is None:
                    break
                seq = stored.seq
            opened.put([samples.FEATURES], opened.cursor)
            opened.settle(4, [6], {5: "no"})

    def log(data: bytes) -> None:
        _write_alone(log_path, data)
        with closing(DurableLog(log_path, bundle_id, tell=lambda _text: None)) as opened:
            opened.append([arrival])
            opened.give_turns()
            opened.prune()
        with closing(LogReader(log_path)) as reader:
            for turn in range(1, _MOST_MESSAGES):
                entry = reader.at_turn(turn)
                if entry is None:
                    break
                with suppress(DamagedEntryError):
                    contract.parse(entry.message)

    spools = mutate_tables(SPOOL_STATEMENTS, scratch)
    logs = mutate_tables(LOG_STATEMENTS, scratch)
    return [
        Target("spool", spool, (samples.spool(folder),), spools, 3),
        Target("log", log, (samples.log(folder),), logs, 3),
    ]


def _write_alone(path: Path, data: bytes) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(data)
