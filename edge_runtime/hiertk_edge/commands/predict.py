"""`hiertk-edge predict`: classify image files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hiertk_edge.commands.options import (
    BundleOption,
    Debug,
    Json,
    PublicKey,
    Threads,
    log_to_stderr,
)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    *,
    bundle: BundleOption,
    state: Annotated[
        Path | None, typer.Option(help="Use the checkpoint of this state folder.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to show per image.")] = 3,
    threads: Threads = 1,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Classify images with the early exit, without any network."""
    from hiertk_protocol.bundle import open_bundle
    from hiertk_protocol.errors import ConfigError
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.engines.backends import open_learner
    from hiertk_edge.predict import predict as predict_images
    from hiertk_edge.prediction.calibration import NOT_CALIBRATED
    from hiertk_edge.state import StateFolder
    from hiertk_edge.training.checkpoints import Checkpoints

    log_to_stderr(debug=debug)
    checked = open_bundle(bundle, trusted_key(public_key))
    newest = None
    if state is not None:
        folder = StateFolder(state).checkpoints
        newest = Checkpoints(folder, checked.manifest.bundle_id).newest()
        if newest is None:
            raise ConfigError(f"{state} holds no checkpoint: train there first, or leave --state")
    checkpoint = newest.learner_file if newest else None
    learner = open_learner(checked, threads=threads, checkpoint=checkpoint)
    calibration = newest.record.calibration if newest else NOT_CALIBRATED
    known = newest.record.classes if newest else None
    for prediction in predict_images(
        learner, checked.manifest, images, top=top, calibration=calibration, known=known
    ):
        if json_:
            classes = dict(prediction.classes)
            print(json.dumps({"image": str(prediction.image), "classes": classes}))
        else:
            shown = "  ".join(f"{name} {100 * p:.1f} %" for name, p in prediction.classes)
            print(f"{prediction.image}: {shown}")
