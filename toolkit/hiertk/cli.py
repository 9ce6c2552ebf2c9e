"""The toolkit's command line: export, inspect, verify, data, demo."""

import json
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console

app = typer.Typer(
    name="hiertk",
    help="Put hierarchical training with early exits on devices: cut a network, export its edge "
    "part for on-device training, try the whole system.",
    epilog="Exit codes: 0 done, 2 wrong command line, 3 settings or data, 4 network or cut, "
    "5 export, 6 not equal to PyTorch, 7 bundle, 9 broker, 10 disk, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
BundleArgument = Annotated[Path, typer.Argument(help="The bundle: a folder, or a zip of one.")]


@app.command()
def export(
    *,
    model: Annotated[str, typer.Option(help="resnet18 or vgg16.")],
    split: Annotated[int, typer.Option(help="Separation point, from 1 (the first block).")],
    target: Annotated[str, typer.Option(help="linux or android.")],
    backend: Annotated[str, typer.Option(help="What trains on the device.")] = "onnxruntime",
    classes: Annotated[
        str, typer.Option(help="A number, names with commas between, or a file with one a line.")
    ] = "10",
    class_capacity: Annotated[
        int | None,
        typer.Option(
            help="Slots for classes, free ones included. Default: the next multiple of 16."
        ),
    ] = None,
    input_size: Annotated[int, typer.Option(help="Height and width of the input, pixels.")] = 32,
    batch_size: Annotated[int, typer.Option(help="Images per step on the device.")] = 32,
    bits: Annotated[int, typer.Option(help="Bits per feature value on the wire: 8 or 4.")] = 4,
    stem: Annotated[
        str, typer.Option(help="First layers: torchvision's own, or 3x3 (no early downsampling).")
    ] = "torchvision",
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from these weights (safetensors, torchvision's names)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. Default: MODEL-splitSPLIT-TARGET.")
    ] = None,
    zip_: Annotated[bool, typer.Option("--zip", help="Write the bundle as one zip, too.")] = False,
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
    from rich.console import Console

    from hiertk.export import ExportSettings, export_bundle, parse_classes
    from hiertk.inspection import as_json, print_manifest

    settings = ExportSettings(
        model=model,
        split=split,
        target=target,
        classes=parse_classes(classes),
        backend=backend,
        class_capacity=class_capacity,
        input_size=input_size,
        batch_size=batch_size,
        bits=bits,
        stem=stem,
        weights=weights,
        out=out,
        zip=zip_,
        force=force,
        seed=seed,
    )
    with Console(stderr=True).status("exporting") as status:
        done = export_bundle(settings, status.update)
    if json_:
        archive = str(done.archive) if done.archive else None
        print(json.dumps(as_json(done.bundle) | {"zip": archive, "notes": list(done.notes)}))
        return
    print_manifest(done.bundle)
    for note in done.notes:
        print(f"Warning: {note}")
    print(f"Wrote {done.bundle.folder}{f' and {done.archive}' if done.archive else ''}")


@app.command()
def inspect(bundle: BundleArgument, *, json_: Json = False, debug: Debug = False) -> None:
    """Show what is in a bundle: network, cut, features, classes, engine, files."""
    from hiertk_protocol.bundle import open_bundle

    from hiertk.inspection import as_json, print_files, print_manifest

    opened = open_bundle(bundle)
    if json_:
        print(json.dumps(as_json(opened)))
        return
    print_manifest(opened)
    print_files(opened)


@app.command()
def verify(bundle: BundleArgument, *, json_: Json = False, debug: Debug = False) -> None:
    """Check every file's checksum, then the golden steps through the device's own engine."""
    from hiertk_edge.golden import verify_golden
    from hiertk_protocol.bundle import open_bundle

    from hiertk.inspection import print_checks

    opened = open_bundle(bundle)
    checks = verify_golden(opened)
    if json_:
        print(json.dumps({"verified": True, "checks": [check.model_dump() for check in checks]}))
        return
    print_checks(checks)
    print(f"{bundle} is whole and trains as the PyTorch reference does.")


@app.command()
def data(
    spec: Annotated[str, typer.Argument(help="A data set's name, or folder:PATH.")],
    out: Annotated[Path, typer.Option(help="Folder to write: OUT/CLASS/NUMBER.png.")],
    *,
    part: Annotated[str, typer.Option(help="train or test.")] = "train",
    shard: Annotated[
        str, typer.Option(help="K/N: the K-th of N equal shares, one for each device.")
    ] = "1/1",
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write a data set as image files, one folder a class, as devices read them.

    Names: fashion-mnist-mini (shipped, no network needed), fashion-mnist, cifar10, cifar100,
    tiny-imagenet.

    Example: hiertk data fashion-mnist-mini --shard 1/2 --out device-1
    """
    from hiertk.data import load, write_image_folder
    from hiertk.data.sets import check_part, parse_shard

    images = load(spec, check_part(part))
    chosen = parse_shard(shard, len(images))
    size = write_image_folder(images, chosen, out, replace=force)
    if json_:
        print(json.dumps({"folder": str(out), "images": len(chosen), "bytes": size}))
        return
    print(f"Wrote {len(chosen)} images of {len(images.classes)} classes to {out} ({size} bytes)")


@app.command()
def demo(
    *,
    runs: Annotated[Path, typer.Option(help="Where the run's folder goes.")] = Path("runs"),
    devices: Annotated[int, typer.Option(min=1, max=8, help="Edge processes.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="Passes of each device over its images.")] = 2,
    data: Annotated[str, typer.Option(help="Data set; its images are shared out.")] = (
        "fashion-mnist-mini"
    ),
    limit: Annotated[
        int, typer.Option(min=100, help="Training images at most, all devices together.")
    ] = 4800,
    broker: Annotated[
        str, typer.Option(help="mosquitto, embedded, or auto: mosquitto where it is installed.")
    ] = "auto",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Run the whole system on this machine: export, broker, cloud, devices, real images.

    Ends with a table, results.json and summary.png in a new folder below --runs.
    """
    from hiertk.demo.run import DemoSettings, run_demo

    console.terminate_like_interrupt()
    run_demo(
        DemoSettings(
            runs=runs, devices=devices, epochs=epochs, data=data, limit=limit, broker=broker
        ),
        as_json=json_,
    )


def main() -> None:
    """Run the command line."""
    console.run(app)
