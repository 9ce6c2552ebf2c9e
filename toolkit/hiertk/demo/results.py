"""What a run gave: read from the final status messages and from the cloud's own log on disk."""

import json
import math
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from hiertk_protocol.errors import StorageError
from hiertk_protocol.manifest import Manifest
from rich.console import Console
from rich.table import Table

from hiertk.demo.live import number
from hiertk.demo.watch import Moment


@dataclass(frozen=True)
class Results:
    """Accuracies are shares of the held-out images, means over the devices; times are medians."""

    early_exit_accuracy: float
    final_exit_accuracy: float
    feature_bytes_per_sample: float
    raw_bytes_per_sample: float
    png_bytes_per_sample: float
    edge_step_ms: float
    cloud_step_ms: float
    batches_sent: int
    batches_stored: int
    batches_trained: int
    batches_evaluated: int
    batches_lost: int
    batches_doubled: int
    messages_repeated: int
    seconds: float
    training_images: int
    held_out_images: int
    devices: int
    epochs: int
    broker: str
    deployment: str


@dataclass(frozen=True)
class LogCounts:
    """Rows of the cloud's log, and how many different keys they have."""

    stored: int
    keys: int
    training: int


def count_log(path: Path) -> LogCounts:
    """Count what the cloud stored, from its file. Raises StorageError."""
    query = (
        "SELECT count(*), count(train_number), "
        "(SELECT count(*) FROM (SELECT DISTINCT device, epoch, seq FROM batches)) FROM batches"
    )
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            stored, training, keys = database.execute(query).fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"cannot count {path}: {error}") from error
    return LogCounts(stored, keys, training)


def collect(
    moment: Moment,
    manifest: Manifest,
    log: LogCounts,
    *,
    png_bytes_per_sample: float,
    training_images: int,
    held_out_images: int,
    epochs: int,
    broker: str,
) -> Results:
    """Put a run's results together."""
    devices, model = list(moment.devices.values()), moment.model
    sent = sum(device.spooled_total for device in devices)
    samples = sum(device.samples_total for device in devices)
    payload = sum(device.payload_bytes_total for device in devices)
    return Results(
        early_exit_accuracy=_mean([device.early_exit_held_out_accuracy for device in devices]),
        final_exit_accuracy=model.final_exit_held_out_accuracy,
        feature_bytes_per_sample=payload / samples if samples else math.nan,
        raw_bytes_per_sample=manifest.input.raw_bytes,
        png_bytes_per_sample=png_bytes_per_sample,
        edge_step_ms=_mean([device.step_ms for device in devices]),
        cloud_step_ms=model.step_ms,
        batches_sent=sent,
        batches_stored=log.keys,
        batches_trained=model.trained_total,
        batches_evaluated=log.stored - log.training,
        batches_lost=sent - log.keys,
        batches_doubled=(log.stored - log.keys) + (model.trained_total - log.training),
        messages_repeated=sum(device.sent_total for device in devices) - sent,
        seconds=moment.seconds,
        training_images=training_images,
        held_out_images=held_out_images,
        devices=len(devices),
        epochs=epochs,
        broker=broker,
        deployment=manifest.deployment,
    )


def to_json(results: Results) -> str:
    """Return the results as JSON; what was not measured is null."""
    fields = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(results).items()
    }
    return json.dumps(fields, indent=2)


def print_results(results: Results, console: Console) -> None:
    """Print the results as a table."""
    sent, raw = results.feature_bytes_per_sample, results.raw_bytes_per_sample
    png = results.png_bytes_per_sample
    table = Table(title="Results", title_justify="left", show_header=False)
    for name, value in (
        ("early-exit accuracy, held out", f"{number(results.early_exit_accuracy)}"),
        ("final-exit accuracy, held out", f"{number(results.final_exit_accuracy)}"),
        ("features on the wire", f"{sent:.0f} bytes per sample"),
        ("  against the raw image", f"{sent / raw:.2f} of {raw:.0f} bytes"),
        ("  against its PNG file", f"{sent / png:.2f} of {png:.0f} bytes"),
        ("edge step", f"{number(results.edge_step_ms, 1)} ms"),
        ("cloud step", f"{number(results.cloud_step_ms, 1)} ms"),
        ("feature batches sent", f"{results.batches_sent}"),
        ("  stored", f"{results.batches_stored}"),
        ("  trained", f"{results.batches_trained} (and {results.batches_evaluated} held out)"),
        ("  lost", f"{results.batches_lost}"),
        ("  doubled", f"{results.batches_doubled}"),
        ("messages sent again", f"{results.messages_repeated}"),
        ("time", f"{results.seconds:.0f} s"),
    ):
        table.add_row(name, value)
    console.print(table)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
