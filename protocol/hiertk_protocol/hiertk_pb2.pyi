from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureBatch(_message.Message):
    __slots__ = ("bundle_id", "device", "epoch", "seq", "floor", "edge_step", "class_map_version", "purpose", "shape", "features", "labels", "early_exit", "early_exit_loss", "new_classes")
    class Purpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TRAIN: _ClassVar[FeatureBatch.Purpose]
        HELD_OUT: _ClassVar[FeatureBatch.Purpose]
    TRAIN: FeatureBatch.Purpose
    HELD_OUT: FeatureBatch.Purpose
    BUNDLE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    EDGE_STEP_FIELD_NUMBER: _ClassVar[int]
    CLASS_MAP_VERSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EARLY_EXIT_FIELD_NUMBER: _ClassVar[int]
    EARLY_EXIT_LOSS_FIELD_NUMBER: _ClassVar[int]
    NEW_CLASSES_FIELD_NUMBER: _ClassVar[int]
    bundle_id: bytes
    device: str
    epoch: int
    seq: int
    floor: int
    edge_step: int
    class_map_version: int
    purpose: FeatureBatch.Purpose
    shape: _containers.RepeatedScalarFieldContainer[int]
    features: QuantizedFeatures
    labels: _containers.RepeatedScalarFieldContainer[int]
    early_exit: _containers.RepeatedScalarFieldContainer[int]
    early_exit_loss: float
    new_classes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, bundle_id: _Optional[bytes] = ..., device: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., floor: _Optional[int] = ..., edge_step: _Optional[int] = ..., class_map_version: _Optional[int] = ..., purpose: _Optional[_Union[FeatureBatch.Purpose, str]] = ..., shape: _Optional[_Iterable[int]] = ..., features: _Optional[_Union[QuantizedFeatures, _Mapping]] = ..., labels: _Optional[_Iterable[int]] = ..., early_exit: _Optional[_Iterable[int]] = ..., early_exit_loss: _Optional[float] = ..., new_classes: _Optional[_Iterable[str]] = ...) -> None: ...

class QuantizedFeatures(_message.Message):
    __slots__ = ("bits", "scales", "zero_points", "compression", "payload")
    class Compression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NONE: _ClassVar[QuantizedFeatures.Compression]
        ZSTD: _ClassVar[QuantizedFeatures.Compression]
    NONE: QuantizedFeatures.Compression
    ZSTD: QuantizedFeatures.Compression
    BITS_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    ZERO_POINTS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    bits: int
    scales: bytes
    zero_points: bytes
    compression: QuantizedFeatures.Compression
    payload: bytes
    def __init__(self, bits: _Optional[int] = ..., scales: _Optional[bytes] = ..., zero_points: _Optional[bytes] = ..., compression: _Optional[_Union[QuantizedFeatures.Compression, str]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("epoch", "through", "beyond", "refused")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    BEYOND_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    through: int
    beyond: _containers.RepeatedScalarFieldContainer[int]
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    def __init__(self, epoch: _Optional[int] = ..., through: _Optional[int] = ..., beyond: _Optional[_Iterable[int]] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("seq", "reason")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    seq: int
    reason: str
    def __init__(self, seq: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class DeviceStatus(_message.Message):
    __slots__ = ("state", "edge_step", "early_exit_loss", "early_exit_accuracy", "early_exit_held_out_accuracy", "spool_batches", "spool_bytes", "spooled_total", "dropped_total", "refused_total", "sent_total", "sent_bytes", "step_ms", "bad_images", "samples_total", "payload_bytes_total", "bits", "aged_total", "thinned_total", "requantized_total", "wire_bytes", "budget_left_bytes", "problems", "waiting_samples", "rehearsal_samples", "mislabelled_images", "predictions_total", "predictions_by_cloud", "temperature_c", "class_map_version")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFFLINE: _ClassVar[DeviceStatus.State]
        TRAINING: _ClassVar[DeviceStatus.State]
        DRAINING: _ClassVar[DeviceStatus.State]
        FINISHED: _ClassVar[DeviceStatus.State]
        WAITING: _ClassVar[DeviceStatus.State]
        PAUSED: _ClassVar[DeviceStatus.State]
    OFFLINE: DeviceStatus.State
    TRAINING: DeviceStatus.State
    DRAINING: DeviceStatus.State
    FINISHED: DeviceStatus.State
    WAITING: DeviceStatus.State
    PAUSED: DeviceStatus.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    EDGE_STEP_FIELD_NUMBER: _ClassVar[int]
    EARLY_EXIT_LOSS_FIELD_NUMBER: _ClassVar[int]
    EARLY_EXIT_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    EARLY_EXIT_HELD_OUT_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BATCHES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOLED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    DROPPED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SENT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STEP_MS_FIELD_NUMBER: _ClassVar[int]
    BAD_IMAGES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    AGED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    THINNED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REQUANTIZED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WIRE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LEFT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    WAITING_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    REHEARSAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MISLABELLED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_BY_CLOUD_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_C_FIELD_NUMBER: _ClassVar[int]
    CLASS_MAP_VERSION_FIELD_NUMBER: _ClassVar[int]
    state: DeviceStatus.State
    edge_step: int
    early_exit_loss: float
    early_exit_accuracy: float
    early_exit_held_out_accuracy: float
    spool_batches: int
    spool_bytes: int
    spooled_total: int
    dropped_total: int
    refused_total: int
    sent_total: int
    sent_bytes: int
    step_ms: float
    bad_images: int
    samples_total: int
    payload_bytes_total: int
    bits: int
    aged_total: int
    thinned_total: int
    requantized_total: int
    wire_bytes: int
    budget_left_bytes: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    waiting_samples: int
    rehearsal_samples: int
    mislabelled_images: int
    predictions_total: int
    predictions_by_cloud: int
    temperature_c: float
    class_map_version: int
    def __init__(self, state: _Optional[_Union[DeviceStatus.State, str]] = ..., edge_step: _Optional[int] = ..., early_exit_loss: _Optional[float] = ..., early_exit_accuracy: _Optional[float] = ..., early_exit_held_out_accuracy: _Optional[float] = ..., spool_batches: _Optional[int] = ..., spool_bytes: _Optional[int] = ..., spooled_total: _Optional[int] = ..., dropped_total: _Optional[int] = ..., refused_total: _Optional[int] = ..., sent_total: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., step_ms: _Optional[float] = ..., bad_images: _Optional[int] = ..., samples_total: _Optional[int] = ..., payload_bytes_total: _Optional[int] = ..., bits: _Optional[int] = ..., aged_total: _Optional[int] = ..., thinned_total: _Optional[int] = ..., requantized_total: _Optional[int] = ..., wire_bytes: _Optional[int] = ..., budget_left_bytes: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ..., waiting_samples: _Optional[int] = ..., rehearsal_samples: _Optional[int] = ..., mislabelled_images: _Optional[int] = ..., predictions_total: _Optional[int] = ..., predictions_by_cloud: _Optional[int] = ..., temperature_c: _Optional[float] = ..., class_map_version: _Optional[int] = ...) -> None: ...

class ModelStatus(_message.Message):
    __slots__ = ("state", "incarnation", "cloud_step", "final_exit_loss", "final_exit_accuracy", "final_exit_held_out_accuracy", "stored_total", "consumed_total", "refused_total", "duplicates_total", "max_message_bytes", "step_ms", "trained_total")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFFLINE: _ClassVar[ModelStatus.State]
        ONLINE: _ClassVar[ModelStatus.State]
    OFFLINE: ModelStatus.State
    ONLINE: ModelStatus.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CLOUD_STEP_FIELD_NUMBER: _ClassVar[int]
    FINAL_EXIT_LOSS_FIELD_NUMBER: _ClassVar[int]
    FINAL_EXIT_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    FINAL_EXIT_HELD_OUT_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    STORED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STEP_MS_FIELD_NUMBER: _ClassVar[int]
    TRAINED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    state: ModelStatus.State
    incarnation: int
    cloud_step: int
    final_exit_loss: float
    final_exit_accuracy: float
    final_exit_held_out_accuracy: float
    stored_total: int
    consumed_total: int
    refused_total: int
    duplicates_total: int
    max_message_bytes: int
    step_ms: float
    trained_total: int
    def __init__(self, state: _Optional[_Union[ModelStatus.State, str]] = ..., incarnation: _Optional[int] = ..., cloud_step: _Optional[int] = ..., final_exit_loss: _Optional[float] = ..., final_exit_accuracy: _Optional[float] = ..., final_exit_held_out_accuracy: _Optional[float] = ..., stored_total: _Optional[int] = ..., consumed_total: _Optional[int] = ..., refused_total: _Optional[int] = ..., duplicates_total: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., step_ms: _Optional[float] = ..., trained_total: _Optional[int] = ...) -> None: ...

class ClassMap(_message.Message):
    __slots__ = ("version", "slots")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    slots: _containers.RepeatedCompositeFieldContainer[ClassSlot]
    def __init__(self, version: _Optional[int] = ..., slots: _Optional[_Iterable[_Union[ClassSlot, _Mapping]]] = ...) -> None: ...

class ClassSlot(_message.Message):
    __slots__ = ("slot", "name", "since", "aliases")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    slot: int
    name: str
    since: int
    aliases: _containers.RepeatedCompositeFieldContainer[ClassAlias]
    def __init__(self, slot: _Optional[int] = ..., name: _Optional[str] = ..., since: _Optional[int] = ..., aliases: _Optional[_Iterable[_Union[ClassAlias, _Mapping]]] = ...) -> None: ...

class ClassAlias(_message.Message):
    __slots__ = ("name", "slot", "since")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    slot: int
    since: int
    def __init__(self, name: _Optional[str] = ..., slot: _Optional[int] = ..., since: _Optional[int] = ...) -> None: ...

class ClassRequest(_message.Message):
    __slots__ = ("bundle_id", "name")
    BUNDLE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    bundle_id: bytes
    name: str
    def __init__(self, bundle_id: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class ClassReply(_message.Message):
    __slots__ = ("slot", "version", "error")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    slot: int
    version: int
    error: str
    def __init__(self, slot: _Optional[int] = ..., version: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("bundle_id", "shape", "features")
    BUNDLE_ID_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    bundle_id: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    features: QuantizedFeatures
    def __init__(self, bundle_id: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ..., features: _Optional[_Union[QuantizedFeatures, _Mapping]] = ...) -> None: ...

class PredictReply(_message.Message):
    __slots__ = ("cloud_step", "probabilities", "error")
    CLOUD_STEP_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    cloud_step: int
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    error: str
    def __init__(self, cloud_step: _Optional[int] = ..., probabilities: _Optional[_Iterable[float]] = ..., error: _Optional[str] = ...) -> None: ...
