"""What the endpoint answers; probabilities and shares are of 1, times in seconds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hiertk_edge.endpoint.work import Prediction
from hiertk_edge.prediction.record import Exit, Scores


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class StoredAnswer(_Answer):
    """A labelled image is on the device's disk, and will be trained on."""

    stored: Literal[True] = True
    label: str = Field(alias="class")


class ExitAnswer(_Answer):
    """What one exit says. classes: the likeliest ones."""

    label: str = Field(alias="class")
    confidence: float
    classes: dict[str, float]


class PredictionAnswer(ExitAnswer):
    """The exit's answer that stands, beside the early one's. cloud_step: null if not asked."""

    id: str
    by: Exit
    why: str
    early: ExitAnswer
    edge_step: int
    cloud_step: int | None
    seconds: float


class CorrectionRequest(BaseModel):
    """What a predicted image really shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prediction: str = Field(max_length=200)
    label: str = Field(max_length=200)


class CorrectionAnswer(StoredAnswer):
    """right: whether the prediction had said so. right_share: of all that users corrected."""

    right: bool
    corrections: int
    right_share: float | None


class ClassAnswer(_Answer):
    """One class. posted: images of it that came this way. remembered: in the rehearsal memory.

    provisional: the cloud has not given it a slot yet: this one is the device's own.
    """

    name: str
    slot: int
    provisional: bool
    posted: int
    remembered: int | None


class ClassesAnswer(_Answer):
    """The classes that the device knows, by slot."""

    classes: tuple[ClassAnswer, ...]


class NewClassRequest(BaseModel):
    """A class that somebody names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str


class NewClassAnswer(_Answer):
    """The class that has this name now, new or not. provisional: as in the list of classes."""

    name: str
    slot: int
    provisional: bool


class CameraAnswer(_Answer):
    """The newest frame. size: its width and height once resized."""

    age_s: float
    size: int


class TeachAnswer(_Answer):
    """How many of the next frames will be labelled images."""

    frames: int
    label: str = Field(alias="class")


def answer_response(answer: _Answer, status: int = 200) -> Response:
    """Return an answer as JSON."""
    return Response(answer.model_dump_json(by_alias=True), status, media_type="application/json")


def prediction_answer(prediction: Prediction, top: int) -> PredictionAnswer:
    """Return a prediction as the endpoint tells it."""
    answer = prediction.answer
    stands = exit_answer(answer.scores, top)
    return PredictionAnswer(
        label=stands.label,
        confidence=stands.confidence,
        classes=stands.classes,
        id=prediction.id,
        by=answer.by,
        why=answer.why,
        early=exit_answer(answer.early, top),
        edge_step=answer.edge_step,
        cloud_step=answer.cloud_step,
        seconds=prediction.seconds,
    )


def exit_answer(scores: Scores, top: int) -> ExitAnswer:
    """Return what one exit says, with the `top` likeliest classes."""
    return ExitAnswer(
        label=scores.best, confidence=scores.confidence, classes=dict(scores.classes[:top])
    )
