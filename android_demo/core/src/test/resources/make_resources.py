"""Write what Python makes of pictures and bundles: the phone's tests compare with it.

Run `PYTHONPATH=tests python android_demo/core/src/test/resources/make_resources.py`. The pictures
are matplotlib's: Grace Hopper (United States Navy, public domain) and the present of Minduka (CC0).
"""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from hiertk.export.rehearsal import RehearsalImages
from hiertk_edge.images import normalize, resize
from hiertk_protocol.bundle import REHEARSAL, zip_bundle
from hiertk_protocol.manifest import Ancestor, InputInfo, Sgd
from matplotlib.cbook import get_sample_data
from PIL import Image
from protocol_samples import make_manifest, write_bundle

HERE = Path(__file__).parent
IMAGES = HERE / "images"
BUNDLES = HERE / "bundles"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Pixels = npt.NDArray[np.uint8]


def main() -> None:
    """Write images/ and bundles/ beside this file."""
    IMAGES.mkdir(exist_ok=True)
    BUNDLES.mkdir(exist_ok=True)
    hopper = _sample("grace_hopper.jpg")
    present = _sample("Minduka_Present_Blue_Pack.png")
    portrait = hopper.resize((91, 107), Image.Resampling.BILINEAR)
    pictures = [
        _picture("portrait", portrait, size=32, rotations=(0, 90, 180, 270)),
        _picture("detail", hopper.crop((200, 60, 320, 133)), size=64, rotations=(0,)),
        _picture("present", present.crop((30, 20, 50, 45)), size=32, rotations=(90,)),
    ]
    _write_json(IMAGES / "pictures.json", pictures)
    _write_camera_frame(portrait)
    _write_input(portrait)
    _write_bundles()
    _write_bundle_with_images()


def _sample(name: str) -> Image.Image:
    """Open one of matplotlib's pictures."""
    return Image.open(str(get_sample_data(name, asfileobj=False))).convert("RGB")


def _picture(name: str, image: Image.Image, *, size: int, rotations: tuple[int, ...]) -> object:
    """Write a picture as RGB rows, and what Python makes of it, turned so many degrees."""
    (IMAGES / f"{name}.rgb").write_bytes(np.asarray(image).tobytes())
    for degrees in rotations:
        made = _scaled(image, size, degrees)
        (IMAGES / f"{name}_{size}_{degrees}.rgb").write_bytes(made.tobytes())
    return {
        "name": name,
        "width": image.width,
        "height": image.height,
        "size": size,
        "rotations": list(rotations),
    }


def _scaled(image: Image.Image, size: int, degrees: int) -> Pixels:
    """Return the centred square, resized as devices do it, then turned clockwise."""
    info = InputInfo(size=size, mean=MEAN, std=STD)
    return np.ascontiguousarray(np.rot90(resize(_square(image), info), -degrees // 90))


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _write_camera_frame(image: Image.Image) -> None:
    """Write a frame's three planes, and what float64 arithmetic and Pillow make of them."""
    luma, blue, red = (np.asarray(one) for one in image.convert("YCbCr").split())
    blue, red = blue[::2, ::2], red[::2, ::2]
    for name, plane in (("y", luma), ("u", blue), ("v", red)):
        (IMAGES / f"frame.{name}").write_bytes(plane.tobytes())
    y = luma.astype(np.float64)
    u, v = (_widened(one, luma.shape) - 128 for one in (blue, red))
    rgb = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=-1)
    frame = Image.fromarray(np.clip(np.rint(rgb), 0, 255).astype(np.uint8))
    (IMAGES / "frame_32_90.rgb").write_bytes(_scaled(frame, 32, 90).tobytes())


def _widened(plane: Pixels, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    whole = plane.repeat(2, axis=0).repeat(2, axis=1)
    return whole[: shape[0], : shape[1]].astype(np.float64)


def _write_input(image: Image.Image) -> None:
    """Write the input (3, 32, 32) that devices make of a picture, little-endian float32."""
    info = InputInfo(size=32, mean=MEAN, std=STD)
    made = normalize(_scaled(image, 32, 0)[None], info)
    (IMAGES / "portrait_input.f32").write_bytes(made.astype("<f4").tobytes())


def _write_bundles() -> None:
    """Write manifests with their names, and a zip of a whole bundle."""
    first = make_manifest()
    grown = first.model_copy(
        update={
            "classes": first.classes.model_copy(update={"capacity": 12}),
            "grown_from": (Ancestor(bundle_id=first.bundle_id.hex(), class_capacity=10),),
            "optimizer": Sgd(nesterov=True),
        }
    )
    names = []
    for name, manifest in (("first", first), ("grown", grown)):
        data = manifest.to_json()
        (BUNDLES / f"{name}.json").write_bytes(data)
        names.append(
            {
                "file": f"{name}.json",
                "bundle_id": hashlib.sha256(data).hexdigest(),
                "deployment": manifest.deployment,
            }
        )
    _write_json(BUNDLES / "names.json", names)
    with TemporaryDirectory() as temporary:
        write_bundle(Path(temporary))
        zip_bundle(Path(temporary), BUNDLES / "first.zip")


def _write_bundle_with_images() -> None:
    """Write a zip of a bundle that takes three images along: the portrait, turned."""
    turned = [(IMAGES / f"portrait_32_{degrees}.rgb").read_bytes() for degrees in (0, 90, 180)]
    pixels = np.stack([np.frombuffer(one, np.uint8).reshape(32, 32, 3) for one in turned])
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        RehearsalImages(pixels, (1, 0, 1)).write(folder)
        write_bundle(folder, {REHEARSAL: (folder / REHEARSAL).read_bytes()})
        zip_bundle(folder, BUNDLES / "with_images.zip")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
