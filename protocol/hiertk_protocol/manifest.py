"""The manifest of a bundle: everything that device, cloud and phone must agree on."""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import BundleError, ProtocolError

SCHEMA_VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 4 << 30
MAX_CLASSES = 4096
MAX_ANCESTORS = 16

CLOSED_SLOT_BIAS = -1e9  # its softmax is exactly 0 in float32, and so is its gradient

Positive = Annotated[int, Field(ge=1, le=1 << 20)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
WeightDecay = Annotated[float, Field(ge=0, lt=1)]
Target = Literal["linux", "android", "rpi"]
Backend = Literal["onnxruntime", "executorch", "torch"]
Stem = Literal["torchvision", "3x3"]
Normalization = Literal["batch", "frozen", "group"]
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}")
_SHA256 = r"^[0-9a-f]{64}$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelInfo(_Record):
    """Which network, and where it is cut.

    normalization: "batch" trains on each batch's own statistics, "frozen" keeps the exported ones,
    "group" has group normalization in place of batch normalization. bottleneck: how many of the
    features' channels are sent, the first ones; None for all.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,200}$")
    split: Positive
    split_count: Positive
    split_module: str = Field(max_length=300)
    stem: Stem
    edge_parameters: int = Field(ge=0)
    cloud_parameters: int = Field(ge=0)
    normalization: Normalization = "batch"
    bottleneck: Positive | None = None


class InputInfo(_Record):
    """How an image becomes an input: RGB, resized to size by size (bilinear), /255, normalized.

    The tensor is (N, 3, size, size) float32.
    """

    size: Annotated[int, Field(ge=8, le=1024)]
    mean: tuple[float, float, float]
    std: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (3, self.size, self.size)

    @property
    def raw_bytes(self) -> int:
        """Bytes of one input as 8-bit RGB."""
        return 3 * self.size * self.size


class FeatureInfo(_Record):
    """What the edge partition sends."""

    shape: tuple[Positive, Positive, Positive]
    bits: Literal[8, 4]

    @property
    def values(self) -> int:
        """Number of values of one sample."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def packed_bytes(self) -> int:
        """Bytes of one sample before compression."""
        return self.values if self.bits == 8 else (self.values + 1) // 2


def _check_name(name: str) -> None:
    try:
        clean = clean_class_name(name)
    except ProtocolError as error:
        raise ValueError(str(error)) from error
    if clean != name:
        raise ValueError(f"the class name {name!r} is not in its usual form, {clean!r}")


class ClassInfo(_Record):
    """The class map at export: names[i] is in slot i; slots up to `capacity` are free."""

    names: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
    capacity: Annotated[int, Field(ge=1, le=MAX_CLASSES)]

    @model_validator(mode="after")
    def _fits(self) -> "ClassInfo":
        if len(set(self.names)) != len(self.names):
            raise ValueError("class names repeat")
        if len(self.names) > self.capacity:
            raise ValueError(f"{len(self.names)} classes do not fit {self.capacity} slots")
        for name in self.names:
            _check_name(name)
        return self

    def bias(self) -> npt.NDArray[np.float32]:
        """Return the class bias of the export, (capacity,) float32."""
        return class_bias(range(len(self.names)), self.capacity)


def class_bias(open_slots: Iterable[int], capacity: int) -> npt.NDArray[np.float32]:
    """Return what both exits add to their logits, (capacity,) float32: 0 where a slot is open."""
    bias = np.full(capacity, CLOSED_SLOT_BIAS, np.float32)
    bias[list(open_slots)] = 0
    return bias


class AdamW(_Record):
    """AdamW of the edge partition."""

    name: Literal["adamw"] = "adamw"
    learning_rate: LearningRate = 1e-3
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: WeightDecay = 0.0


class Sgd(_Record):
    """SGD of the edge partition, as PyTorch defines it, without dampening."""

    name: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: WeightDecay = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


# Weight decay above 0 shrinks the rows of free class slots, too, which have no gradient. That does
# no harm: whoever opens a slot gives it a row (`new_class.imprinted_row`).
OptimizerInfo = Annotated[AdamW | Sgd, Field(discriminator="name")]


class EngineInfo(_Record):
    """The engine that trains on the device, in exactly the version that wrote its files."""

    backend: Backend
    version: str = Field(max_length=40)
    batch_size: Positive


class ParityCheck(_Record):
    """One comparison of the exported step with the PyTorch reference."""

    what: str
    worst: Annotated[float, Field(ge=0)]
    tolerance: Annotated[float, Field(gt=0)]
    where: str = ""


class FileInfo(_Record):
    """A file of the bundle."""

    sha256: str = Field(pattern=_SHA256)
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]


class Ancestor(_Record):
    """A bundle that another one was grown from: the same, with fewer class slots."""

    bundle_id: str = Field(pattern=_SHA256)
    class_capacity: Annotated[int, Field(ge=1, le=MAX_CLASSES)]


class Manifest(_Record):
    """manifest.json.

    grown_from: the bundles that it descends from by `hiertk grow`, the first one first.
    """

    schema_version: Literal[1] = 1
    target: Target
    model: ModelInfo
    input: InputInfo
    features: FeatureInfo
    classes: ClassInfo
    grown_from: Annotated[tuple[Ancestor, ...], Field(max_length=MAX_ANCESTORS)] = ()
    optimizer: OptimizerInfo
    engine: EngineInfo
    parity: tuple[ParityCheck, ...]
    files: dict[str, FileInfo]

    @model_validator(mode="after")
    def _file_names_stay_inside(self) -> "Manifest":
        for name in self.files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"file name {name[:80]!r} is not allowed")
        return self

    @model_validator(mode="after")
    def _each_has_more_slots_than_the_one_before(self) -> "Manifest":
        capacities = [one.class_capacity for one in self.grown_from] + [self.classes.capacity]
        if capacities != sorted(set(capacities)):
            raise ValueError(f"class slots do not grow: {capacities}")
        ids = [one.bundle_id for one in self.grown_from]
        if len(set(ids)) != len(ids):
            raise ValueError("a bundle that it was grown from is there twice")
        return self

    @property
    def edge_parameters(self) -> int:
        """Trainable values on the device: the edge partition's and its early exit's."""
        return self.model.edge_parameters + (self.features.shape[0] + 1) * self.classes.capacity

    def to_json(self) -> bytes:
        """Return the canonical form, of which the bundle id is the digest."""
        # Not pydantic's own JSON: how it writes floats depends on its version.
        content = self.model_dump(mode="json")
        if not self.grown_from:  # bundles from before there was growing keep their ids
            del content["grown_from"]
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    @property
    def bundle_id(self) -> bytes:
        """The sha256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.to_json()).digest()

    @property
    def deployment(self) -> str:
        """The deployment's name in topics: the first 16 hex digits of the bundle id.

        Of a grown bundle: of the first one's, so that devices of both talk to the same cloud.
        """
        first = self.grown_from[0].bundle_id if self.grown_from else self.bundle_id.hex()
        return first[:16]

    @property
    def ancestors(self) -> frozenset[bytes]:
        """The ids of the bundles that this one was grown from."""
        return frozenset(bytes.fromhex(one.bundle_id) for one in self.grown_from)

    def capacity_of(self, bundle_id: bytes) -> int | None:
        """Return the class slots of this bundle or of one that it was grown from.

        None for any other bundle.
        """
        if bundle_id == self.bundle_id:
            return self.classes.capacity
        capacities = {bytes.fromhex(one.bundle_id): one.class_capacity for one in self.grown_from}
        return capacities.get(bundle_id)

    def check_lineage(self, bundle_id: bytes) -> int:
        """Return `capacity_of` a message's bundle. Raises ProtocolError for any other bundle."""
        capacity = self.capacity_of(bundle_id)
        if capacity is None:
            raise ProtocolError(
                f"made with bundle {bundle_id.hex()[:16]}, not {self.bundle_id.hex()[:16]}"
            )
        return capacity


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Parse manifest.json. Raises BundleError, naming the first field that is wrong."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{where}: {len(data)} bytes, more than {MAX_MANIFEST_BYTES}")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        if place == "schema_version":
            raise BundleError(
                f"{where}: schema version {str(first['input'])[:20]} is not {SCHEMA_VERSION}: "
                "export the bundle again with this version of hiertk"
            ) from error
        raise BundleError(f"{where}: {place}: {first['msg']}: export the bundle again") from error
    if manifest.to_json() != data:
        raise BundleError(f"{where}: not in canonical form (edited?): export the bundle again")
    return manifest
