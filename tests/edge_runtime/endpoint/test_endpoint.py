"""What a robot's own program gets from the endpoint, over real HTTP."""

import io
import math
import struct
import zlib
from pathlib import Path

import httpx2
import numpy as np
import pytest
from edge_runtime.endpoint.endpoint_parts import (
    INFO,
    FullDiskIntake,
    ListIntake,
    Serving,
    image_of,
    pixels_of,
    serving,
)
from hiertk_edge.endpoint.bodies import MAX_IMAGE_BYTES
from hiertk_edge.endpoint.recent import RecentPredictions
from hiertk_edge.endpoint.record import EndpointCounts
from hiertk_edge.images import read_image_bytes, resize
from PIL import Image


def error_of(response: httpx2.Response) -> str:
    assert set(response.json()) == {"error"}
    text: str = response.json()["error"]
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_labelled_image_reaches_the_intake_as_a_source_would_give_it(
    served: Serving, client: httpx2.Client, kind: str
) -> None:
    data = image_of("green", kind=kind)
    answer = client.post("/images", params={"label": "green"}, content=data)
    assert answer.status_code == 202
    assert answer.json() == {"stored": True, "class": "green"}
    (sample,) = served.intake.samples
    assert sample.label == "green"
    assert np.array_equal(sample.pixels, resize(read_image_bytes(data, "it"), INFO))
    assert served.endpoint.counts == EndpointCounts(taken=1)


def test_a_prediction_says_what_who_why_and_how_sure(client: httpx2.Client) -> None:
    answer = client.post("/predictions", content=image_of("blue")).json()
    assert answer["class"] == "blue"
    assert (answer["by"], answer["why"]) == ("early exit", "sure")
    assert answer["confidence"] == answer["classes"]["blue"] == max(answer["classes"].values())
    assert sum(answer["classes"].values()) == pytest.approx(1)
    assert answer["early"]["class"] == "blue"
    assert (answer["edge_step"], answer["cloud_step"]) == (30, None)
    assert 0 < answer["seconds"] < 10


def test_it_tells_as_many_classes_as_are_asked_for(client: httpx2.Client) -> None:
    for top, told in ((1, 1), (2, 2), (4096, 3)):
        answer = client.post("/predictions", params={"top": top}, content=image_of("red")).json()
        assert len(answer["classes"]) == len(answer["early"]["classes"]) == told
    refused = client.post("/predictions", params={"top": 0}, content=image_of("red"))
    assert refused.status_code == 422
    assert "top" in error_of(refused)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/images", "label: Field required"),
        ("/images?label=", "label: String should have at least 1 character"),
        (f"/images?label={201 * 'x'}", "label: String should have at most 200 characters"),
        ("/predictions?top=4097", "top: Input should be less than or equal to 4096"),
        ("/predictions?top=many", "top: Input should be a valid integer"),
        ("/predictions?top=", "top: Input should be a valid integer"),
        ("/predictions?top=1&top=0", "top: Input should be greater than or equal to 1"),
    ],
)
def test_a_query_that_does_not_fit_is_told_by_its_name(
    served: Serving, client: httpx2.Client, path: str, told: str
) -> None:
    refused = client.post(path, content=image_of("red"))
    assert refused.status_code == 422
    assert error_of(refused).startswith(told)
    assert served.endpoint.counts == EndpointCounts()


def test_what_shows_the_device_also_answers_to_head(client: httpx2.Client) -> None:
    for path in ("/", "/status", "/classes"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_a_corrected_prediction_becomes_a_labelled_image(
    served: Serving, client: httpx2.Client
) -> None:
    name = client.post("/predictions", content=image_of("red", size=16)).json()["id"]
    answer = client.post("/corrections", json={"prediction": name, "label": "blue"})
    assert answer.status_code == 202
    assert answer.json() == {
        "stored": True,
        "class": "blue",
        "right": False,
        "corrections": 1,
        "right_share": 0.0,
    }
    (sample,) = served.intake.samples
    assert sample.label == "blue"
    assert np.array_equal(sample.pixels, pixels_of("red"))
    assert name in sample.origin


def test_it_tells_how_often_it_was_right_according_to_the_user(
    served: Serving, client: httpx2.Client
) -> None:
    for said in ("red", "red", "red", "blue"):
        name = client.post("/predictions", content=image_of("red")).json()["id"]
        last = client.post("/corrections", json={"prediction": name, "label": said})
    assert (last.json()["corrections"], last.json()["right_share"]) == (4, 0.75)
    counts = served.endpoint.counts
    assert (counts.predictions, counts.corrections, counts.right) == (4, 4, 3)
    assert counts.right_share == 0.75


def test_the_same_correction_again_is_harmless_and_another_replaces_it(
    served: Serving, client: httpx2.Client
) -> None:
    name = client.post("/predictions", content=image_of("red")).json()["id"]
    for label in ("red", "red", "green", "green"):
        again = client.post("/corrections", json={"prediction": name, "label": label})
        assert again.status_code == 202
    assert served.intake.labels() == ["red", "green"]
    assert (again.json()["corrections"], again.json()["right_share"]) == (1, 0.0)


def test_a_forgotten_prediction_is_told_with_how_many_are_kept(client: httpx2.Client) -> None:
    first = client.post("/predictions", content=image_of("red")).json()["id"]
    for _ in range(64):
        client.post("/predictions", content=image_of("red", size=16))
    for name in (first, "never-was"):
        refused = client.post("/corrections", json={"prediction": name, "label": "red"})
        assert refused.status_code == 404
        assert "newest 64" in error_of(refused)


def test_large_inputs_are_kept_in_smaller_number() -> None:
    assert RecentPredictions(3 * 32 * 32).capacity == 64
    assert RecentPredictions(3 * 224 * 224).capacity == 27
    assert RecentPredictions(3 * 1024 * 1024).capacity == 1


def test_an_unknown_class_is_answered_with_those_there_are(
    served: Serving, client: httpx2.Client
) -> None:
    name = client.post("/predictions", content=image_of("red")).json()["id"]
    for refused in (
        client.post("/images", params={"label": "puce"}, content=image_of("red")),
        client.post("/corrections", json={"prediction": name, "label": "puce"}),
    ):
        assert refused.status_code == 422
        assert "red, green, blue" in error_of(refused)
    assert client.post("/images", content=image_of("red")).status_code == 422
    assert served.intake.samples == []
    assert served.endpoint.counts.mislabelled == 2


def test_a_full_intake_asks_to_come_again(tmp_path: Path) -> None:
    with serving(tmp_path, intake=ListIntake(room=1)) as served, served.client() as client:
        data = image_of("red")
        assert client.post("/images?label=red", content=data).status_code == 202
        refused = client.post("/images?label=red", content=data)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "no room" in error_of(refused)
        assert served.endpoint.counts == EndpointCounts(taken=1, refused=1)
        served.intake.room = 2
        assert client.post("/images?label=red", content=data).status_code == 202


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, intake=FullDiskIntake()) as served, served.client() as client:
        refused = client.post("/images?label=red", content=image_of("red"))
        assert refused.status_code == 507
        assert "No space left" in error_of(refused)
        assert served.endpoint.counts.taken == 0


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of few bytes and many pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (body, data)
    )


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"no image at all", 422, "no image"),
        (image_of("red")[:200], 422, "intact"),
        (bomb(3000, 2000), 413, "3000x2000"),
        (bomb(10000, 10000), 413, "too large"),
        (bomb(60000, 60000), 413, "too large"),
        (b"\0" * (MAX_IMAGE_BYTES + 1), 413, "at most"),
    ],
    ids=["empty", "text", "truncated", "large", "larger", "bomb", "long"],
)
def test_what_is_no_fit_image_is_refused_with_what_to_send(
    served: Serving, client: httpx2.Client, body: bytes, status: int, words: str
) -> None:
    for path in ("/images?label=red", "/predictions"):
        refused = client.post(path, content=body)
        assert refused.status_code == status
        assert words in error_of(refused)
    assert client.post("/predictions", content=image_of("red")).status_code == 200
    assert served.intake.samples == []


def test_a_long_body_without_a_length_is_cut_off(client: httpx2.Client) -> None:
    pieces = (b"\0" * (1 << 20) for _ in range(6))
    assert client.post("/predictions", content=pieces).status_code == 413


def test_a_form_is_told_to_send_the_file_itself(client: httpx2.Client) -> None:
    form = client.post("/predictions", files={"image": ("a.png", io.BytesIO(image_of("red")))})
    assert form.status_code == 415
    assert "--data-binary" in error_of(form)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"prediction": 1}', b'{"prediction": "a", "label": "red", "x": 1}', b"\xff"],
)
def test_a_correction_that_is_none_is_told_how_one_looks(
    client: httpx2.Client, body: bytes
) -> None:
    refused = client.post("/corrections", content=body)
    assert refused.status_code == 422
    assert '"label": "NAME"' in error_of(refused)
    assert client.post("/corrections", content=b"x" * 5000).status_code == 413


def test_the_status_is_what_it_was_given_and_null_where_nothing_was_measured(
    tmp_path: Path,
) -> None:
    status: dict[str, object] = {"state": "training", "early_exit_loss": math.nan}
    with serving(tmp_path, status=status) as served, served.client() as client:
        assert client.get("/status").json() == {"state": "training", "early_exit_loss": None}


def test_the_classes_come_with_their_numbers_of_images(tmp_path: Path) -> None:
    with serving(tmp_path, class_counts={0: 5, 2: 7}) as served, served.client() as client:
        client.post("/images?label=blue", content=image_of("blue"))
        assert client.get("/classes").json()["classes"] == [
            {"name": "red", "slot": 0, "provisional": False, "posted": 0, "remembered": 5},
            {"name": "green", "slot": 1, "provisional": False, "posted": 0, "remembered": 0},
            {"name": "blue", "slot": 2, "provisional": False, "posted": 1, "remembered": 7},
        ]


def test_a_new_class_is_named_and_taught_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        for _ in range(2):
            named = client.post("/classes", json={"name": " mauve "})
            assert named.status_code == 202
            assert named.json() == {"name": "mauve", "slot": 3, "provisional": True}
        taught = client.post("/images?label=mauve", content=image_of("red"))
        assert taught.status_code == 202
        shown = client.get("/classes").json()["classes"][-1]
        assert (shown["name"], shown["provisional"], shown["posted"]) == ("mauve", True, 1)
        assert served.intake.labels() == ["mauve"]
        assert client.post("/classes", json={"name": "red"}).json()["slot"] == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"name": ""}', "is empty"),
        ('{"name": "a\\u0000b"}', "cannot be shown"),
        ('{"name": "' + "x" * 3000 + '"}', "at most 200"),
        ('{"name": 7}', "no new class"),
        ('{"title": "cup"}', "no new class"),
        ("cup", "no new class"),
    ],
)
def test_what_cannot_be_a_class_is_refused_with_the_reason(
    client: httpx2.Client, body: str, reason: str
) -> None:
    refused = client.post("/classes", content=body)
    assert refused.status_code == 422
    assert reason in error_of(refused)
    assert len(client.get("/classes").json()["classes"]) == 3


def test_when_no_slot_is_free_a_new_class_is_refused_and_says_what_to_do(
    client: httpx2.Client,
) -> None:
    assert client.post("/classes", json={"name": "mauve"}).status_code == 202
    refused = client.post("/classes", json={"name": "puce"})
    assert refused.status_code == 422
    assert "hiertk grow" in error_of(refused)


def test_what_is_not_there_is_told(client: httpx2.Client) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/camera", 404),
        ("GET", "/images", 405),
        ("DELETE", "/classes", 405),
    ):
        refused = client.request(method, path)
        assert refused.status_code == status
        assert path in error_of(refused)


def test_a_prediction_in_any_colour_mode(client: httpx2.Client) -> None:
    for mode in ("L", "P", "RGBA", "CMYK"):
        file = io.BytesIO()
        Image.new(mode, (20, 20)).save(file, "JPEG" if mode == "CMYK" else "PNG")
        assert client.post("/predictions", content=file.getvalue()).status_code == 200
