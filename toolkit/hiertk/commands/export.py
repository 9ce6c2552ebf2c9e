"""`hiertk export`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from hiertk_protocol.errors import ConfigError

from hiertk.commands.auto_split import AutoSplit, planned
from hiertk.commands.options import (
    BatchSize,
    Bottleneck,
    ClassCapacity,
    Debug,
    InputSize,
    Json,
    Normalization,
    Stem,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from hiertk_protocol.bundle import Bundle

    from hiertk.export import ExportSettings
    from hiertk.export.rehearsal import RehearsalImages


def export(
    *,
    model: Annotated[
        str,
        typer.Option(
            help="A name that `hiertk models` lists, timm:NAME, or your own package.module:factory."
        ),
    ],
    split: Annotated[
        str,
        typer.Option(
            help="Separation point, from 1 (the first block). auto: the planner's choice for "
            "--uplink. Several (1,3,5) or all: a profiling bundle for hiertk-edge profile."
        ),
    ],
    target: Annotated[str, typer.Option(help="linux, android or rpi.")],
    backend: Annotated[
        str | None,
        typer.Option(
            help="What trains on the device. linux: onnxruntime (default), executorch or torch; "
            "android: onnxruntime (default) or executorch; rpi: executorch (default) or torch."
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adamw (onnxruntime, torch, executorch except on android) or sgd (executorch, "
            "torch). Default: sgd with executorch, else adamw."
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Default: 0.001 for adamw, 0.01 for sgd.")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd. Default: 0.9.")] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            help="Default: 0. Above 0 it also shrinks the weights of class slots without a class, "
            "as PyTorch's own does."
        ),
    ] = None,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Of sgd.")] = False,
    classes: Annotated[
        str, typer.Option(help="A number, names with commas between, or a file with one a line.")
    ] = "10",
    class_capacity: ClassCapacity = None,
    input_size: InputSize = 32,
    batch_size: BatchSize = 32,
    bits: Annotated[
        int | None,
        typer.Option(help="Bits per feature value on the wire: 8 or 4. [default: 4]"),
    ] = None,
    stem: Stem = "torchvision",
    normalization: Normalization = "batch",
    bottleneck: Bottleneck = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from these weights (safetensors, the network's own names)."),
    ] = None,
    rehearsal: Annotated[
        str | None,
        typer.Option(
            help="Take labelled images along, which a device rehearses from its first day: a data "
            "set's name, or folder:PATH. Whoever has the bundle can see them."
        ),
    ] = None,
    rehearsal_images: Annotated[
        int, typer.Option(help="With --rehearsal: images of each class, at most.")
    ] = 20,
    uplink: Annotated[
        str | None, typer.Option(help="With --split auto: the link's rate, such as 1.1mbit.")
    ] = None,
    rtt: Annotated[str, typer.Option(help="With --split auto: the link's round trip.")] = "60ms",
    edge_profile: Annotated[
        Path | None, typer.Option(help="With --split auto: the device's profile.")
    ] = None,
    cloud_profile: Annotated[
        Path | None, typer.Option(help="With --split auto: the cloud's profile.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. Default: MODEL-splitSPLIT-TARGET.")
    ] = None,
    zip_: Annotated[bool, typer.Option("--zip", help="Write the bundle as one zip, too.")] = False,
    sign: Annotated[
        Path | None, typer.Option(help="Sign the bundle with this private key, of `hiertk key`.")
    ] = None,
    install_into: Annotated[
        Path | None,
        typer.Option(
            help="With --target android: put the phone's side of it into this project of the app, "
            "the folder android_demo of a checkout, in place of an older one."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of fresh weights.")] = 0,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Cut a network and write the bundle that devices and the cloud start from.

    Every export trains its first steps through the device's own engine and compares features,
    losses, every gradient and every updated parameter with PyTorch; if they differ, nothing is
    written.

    Example: hiertk export --model resnet18 --split 2 --target android
    """
    key = None if sign is None else _signing_key(sign)  # before anything that takes long
    from hiertk.export import ExportSettings, parse_classes, parse_splits
    from hiertk.export.optimizer import OptimizerFlags
    from hiertk.export.rehearsal import RehearsalSettings

    settings = ExportSettings(
        model=model,
        split=1,
        target=target,
        classes=parse_classes(classes),
        backend=backend,
        optimizer=OptimizerFlags(
            name=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov or None,
        ),
        class_capacity=class_capacity,
        input_size=input_size,
        batch_size=batch_size,
        bits=4 if bits is None else bits,
        stem=stem,
        normalization=normalization,
        bottleneck=bottleneck,
        weights=weights,
        rehearsal=None if rehearsal is None else RehearsalSettings(rehearsal, rehearsal_images),
        out=out,
        zip=zip_,
        force=force,
        seed=seed,
    )
    _check_installation(settings, install_into)
    if split == "auto":
        auto = AutoSplit(uplink, rtt, bits, edge_profile, cloud_profile)
        settings = planned(settings, auto)
    elif uplink is not None:
        raise ConfigError("--uplink is for --split auto; this export names its separation point")
    else:
        splits = parse_splits(split)
        if splits is None or len(splits) > 1:
            if install_into is not None:
                raise ConfigError("--install-into: the app takes a bundle of one separation point")
            if rehearsal is not None:
                raise ConfigError("--rehearsal: a profiling bundle is measured, and rehearses none")
            _export_cuts(settings, splits, key, as_json=json_)
            return
        settings = replace(settings, split=splits[0])
    _export_one(settings, key, install_into, as_json=json_)


def _check_installation(settings: "ExportSettings", project: Path | None) -> None:
    """Raise ConfigError if the app could not take the bundle."""
    if project is None:
        return
    from hiertk.export.install import check_project

    if settings.target != "android":
        raise ConfigError(f"--install-into is for --target android, not {settings.target}")
    check_project(project)


def _signing_key(path: Path) -> "Ed25519PrivateKey":
    from hiertk_protocol.signature import read_private_key

    return read_private_key(path)


def _export_one(
    settings: "ExportSettings",
    key: "Ed25519PrivateKey | None",
    project: Path | None,
    *,
    as_json: bool,
) -> None:
    from hiertk_protocol.bundle import sign_bundle
    from rich.console import Console

    from hiertk import inspection
    from hiertk.export import export_bundle
    from hiertk.export.install import install

    with Console(stderr=True).status("exporting") as status:
        done = export_bundle(settings, status.update)
        if key is not None:
            for path in filter(None, (done.bundle.folder, done.archive)):
                sign_bundle(path, key)
        installed = None if project is None else install(done.bundle, project)
    if as_json:
        archive = str(done.archive) if done.archive else None
        content = inspection.as_json(done.bundle)
        content |= {"zip": archive, "notes": list(done.notes)}
        if done.rehearsal is not None:
            content["rehearsal"] = _taken_along(done.bundle, done.rehearsal)
        if installed is not None:
            content["installed"] = asdict(installed) | {"folder": str(installed.folder)}
        print(json.dumps(content))
        return
    inspection.print_manifest(done.bundle)
    for note in done.notes:
        print(f"Warning: {note}")
    if done.rehearsal is not None:
        taken = _taken_along(done.bundle, done.rehearsal)
        print(
            f"Took {taken['images']} labelled images of {taken['classes']} classes along, "
            f"{taken['bytes'] / 1e6:.1f} MB: whoever has the bundle can see them"
        )
    print(f"Wrote {done.bundle.folder}{f' and {done.archive}' if done.archive else ''}")
    if installed is not None:
        print(
            f"Put the phone's side, {installed.files} files of {installed.size / 1e6:.1f} MB, into "
            f"{installed.folder}: build the app again"
        )


def _taken_along(bundle: "Bundle", rehearsal: "RehearsalImages") -> dict[str, int]:
    from hiertk_protocol.bundle import REHEARSAL

    return {
        "images": len(rehearsal.slots),
        "classes": rehearsal.class_count,
        "bytes": bundle.manifest.files[REHEARSAL].size,
    }


def _export_cuts(
    settings: "ExportSettings",
    splits: tuple[int, ...] | None,
    key: "Ed25519PrivateKey | None",
    *,
    as_json: bool,
) -> None:
    from hiertk_protocol.bundle import sign_bundle
    from rich.console import Console

    from hiertk.export import export_cuts
    from hiertk.export.settings import file_name

    default = Path(f"{file_name(settings.model)}-cuts-{settings.target}")
    settings = replace(settings, out=settings.out or default)
    if settings.zip:
        raise ConfigError("--zip: a profiling bundle is a folder; pack it as you like")
    with Console(stderr=True).status("exporting") as status:
        done = export_cuts(settings, splits, status.update)
        if key is not None:
            for number in done.splits:
                sign_bundle(done.folder / f"split-{number}", key)
    if as_json:
        content = {"folder": str(done.folder), "splits": done.splits, "left_out": done.left_out}
        print(json.dumps(content))
        return
    for split, reason in done.left_out.items():
        print(f"Left out separation point {split}: {reason}")
    print(f"Wrote {done.folder} with separation points {', '.join(map(str, done.splits))}")
    print(f"Measure it on a device: hiertk-edge profile --bundle {done.folder} --out FILE.toml")
