"""What the tests of the endpoint share: one that serves, with a learner that has learned."""

import io
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx2
import numpy as np
from edge_parts import CLASSES, make_manifest
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.endpoint.record import Camera, EndpointSettings
from hiertk_edge.endpoint.server import Endpoint
from hiertk_edge.images import Pixels, normalize
from hiertk_edge.prediction.record import Answer, Scores
from hiertk_edge.sources.record import Labelled
from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems
from numpy_learner import NumpyLearner
from PIL import Image

MANIFEST = make_manifest()
INFO = MANIFEST.input
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the system's own takes half a second


def image_of(name: str, *, size: int = 40, kind: str = "PNG", seed: int = 0) -> bytes:
    """Return an image file of one of the classes, which are colours."""
    pixels = np.random.default_rng(seed).integers(0, 80, (size, size, 3), np.uint8)
    pixels[..., CLASSES.index(name)] += 150
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def pixels_of(name: str, seed: int = 0) -> Pixels:
    with Image.open(io.BytesIO(image_of(name, size=INFO.size, seed=seed))) as image:
        return np.asarray(image, np.uint8)


class ListIntake:
    """Keeps what is offered in memory, up to `room` images."""

    def __init__(self, room: int = 1 << 20) -> None:
        self.room = room
        self.samples: list[Labelled] = []

    def offer(self, sample: Labelled) -> bool:
        if len(self.samples) >= self.room:
            return False
        self.samples.append(sample)
        return True

    def labels(self) -> list[str]:
        return [sample.label for sample in self.samples]


class FullDiskIntake(ListIntake):
    """Its disk is full."""

    def offer(self, sample: Labelled) -> bool:
        try:
            with Path("/dev/full").open("wb") as file:
                file.write(sample.pixels.tobytes())
        except OSError as error:
            raise StorageError(f"memory.sqlite: {error.strerror}: free some space") from error
        return super().offer(sample)


@cache
def trained_learner() -> NumpyLearner:
    """Return a learner after 30 steps on the colours."""
    learner = NumpyLearner(MANIFEST)
    labels = np.arange(30) % len(CLASSES)
    pixels = np.stack(
        [pixels_of(CLASSES[label], seed) for seed, label in enumerate(labels.tolist())]
    )
    for _ in range(30):
        learner.step(normalize(pixels, INFO), labels)
    return learner


class LearnerPredicts:
    """The early exit of a learner that was trained on the colours; `pause` holds it up."""

    def __init__(self) -> None:
        self.pause = threading.Event()
        self.pause.set()
        self._learner = trained_learner()
        self._turn = threading.Lock()

    def predict(self, pixels: Pixels) -> Answer:
        self.pause.wait()
        with self._turn:
            logits = self._learner.evaluate(
                normalize(pixels[None], INFO), np.zeros(1, np.int64)
            ).logits[0, : len(CLASSES)]
            edge_step = self._learner.edge_step
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares).tolist()
        scores = Scores(tuple((CLASSES[slot], float(shares[slot])) for slot in best))
        return Answer("early exit", "sure", scores, scores, edge_step)


@dataclass
class Serving:
    """An endpoint and what it was given. told: the problems, as event and text."""

    endpoint: Endpoint
    token_file: Path
    intake: ListIntake
    predicts: LearnerPredicts
    problems: Problems
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.endpoint.address.removeprefix("http://").rpartition(":")
        return host, int(port)

    def client(self, timeout_s: float = 20, connections: int = 10) -> httpx2.Client:
        return httpx2.Client(
            base_url=self.endpoint.address,
            headers=self.authorization,
            timeout=timeout_s,
            verify=NO_TLS,
            limits=httpx2.Limits(max_connections=connections),
        )


@contextmanager
def serving(
    folder: Path,
    *,
    intake: ListIntake | None = None,
    predicts: LearnerPredicts | None = None,
    camera: Camera | None = None,
    status: dict[str, object] | None = None,
    class_counts: Mapping[int, int] | None = None,
) -> Iterator[Serving]:
    told: list[tuple[str, str]] = []
    problems = Problems(lambda event, text: told.append((event, text)))
    intake = intake or ListIntake()
    predicts = predicts or LearnerPredicts()
    token_file = folder / "endpoint-token"
    endpoint = Endpoint(
        EndpointSettings(token_file, port=0),
        intake=intake,
        predicts=predicts,
        classes=DeviceClasses(folder / "classes.json", MANIFEST, problems),
        info=INFO,
        status=lambda: status or {},
        problems=problems,
        camera=camera,
        class_counts=None if class_counts is None else lambda: class_counts,
    )
    endpoint.start()
    try:
        yield Serving(endpoint, token_file, intake, predicts, problems, told)
    finally:
        predicts.pause.set()
        endpoint.stop()
