"""Damaged pictures and films are never read; right ones of any form are, to the bit."""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.damage import with_changes, with_hole
from tests.helpers.refusal import refused
from tests.helpers.words import refusal
from vidcorr.datamodules import VideoDataModule
from vidcorr.datasets.generated import write_davis
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DecodingError
from vidcorr.videos.image_files import read_image, read_photo

PICTURE = Image.fromarray(
    cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (96, 130, 3), np.uint8), (0, 0), 2)
)


def jpeg(picture: Image.Image = PICTURE, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def without_tables(content: bytes) -> bytes:
    """Return a JPEG without its Huffman tables, as the frames of MJPEG are."""
    kept, place = content[:2], 2
    while content[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        kept += b"" if content[place + 1] == 0xC4 else content[place:end]
        place = end
    return kept + content[place:]


TURNED = Image.Exif()
TURNED[0x0112] = 6
RIGHT = {
    "plain": jpeg(),
    "progressive": jpeg(progressive=True),
    "grey": jpeg(PICTURE.convert("L")),
    "CMYK": jpeg(PICTURE.convert("CMYK")),
    "RGB": jpeg(keep_rgb=True),
    "4:4:4": jpeg(subsampling=0),
    "4:2:2": jpeg(subsampling=1),
    "restarts": jpeg(restart_marker_blocks=4),
    "turned by EXIF": jpeg(exif=TURNED),
    "bytes behind the end": jpeg() + b"trailer" * 99,
    "zeros behind the end": jpeg() + bytes(4096),
    "MJPEG's tables": without_tables(jpeg()),
}


@pytest.mark.parametrize("form", RIGHT)
def test_right_jpegs_of_any_form_are_read_as_by_opencv(form: str, tmp_path: Path, capfd: Any) -> None:
    content = RIGHT[form]
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    (tmp_path / "a.jpg").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image("a.jpg", content), expected)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg"), expected)
    assert capfd.readouterr().err == ""


def test_a_damaged_picture_is_refused_by_name(tmp_path: Path, capfd: Any) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 130, 3), np.uint8))
    png = io.BytesIO()
    noise.save(png, "PNG")
    for content in (jpeg(noise), png.getvalue()):
        name = "v.png" if content[:1] == b"\x89" else "v.jpg"
        for damaged in (with_hole(content, 256), with_changes(content), content[:-200]):
            (tmp_path / name).write_bytes(damaged)
            for read in (read_image, read_photo):
                refused(DecodingError, rf"{name}: .*cannot be decoded as an image \(", read, tmp_path / name)
    refused(DecodingError, "cut: is damaged, or cannot .* .Premature end", read_image, "cut", jpeg(noise)[:-20])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.avi", "mpeg4")])
def test_a_damaged_film_is_refused_with_the_frame(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25, width=64, height=48, pix_fmt="yuv420p")
        for frame in noise:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        film.mux(stream.encode(None))
    with VideoFile(path) as video:
        expected = list(video.frames())
    path.write_bytes(with_hole(path.read_bytes(), 9000))
    with VideoFile(path) as video:
        line = refused(DecodingError, f"{name}: frame [0-9]+ is damaged", lambda: list(video.frames()))
        number = int(re.search(r"frame ([0-9]+)", line)[1])  # a decoder may notice it at a later frame
        assert 0 < number < 30
        refused(DecodingError, f"{name}: frame {number} is damaged", video.read, list(range(30)))
        np.testing.assert_array_equal(video.read([0])[0], expected[0])


def test_damaged_data_are_refused_by_each_command_and_replaced_in_a_training(tmp_path: Path, capsys: Any) -> None:
    root = write_davis(tmp_path / "davis", 2, frames=4, size=(48, 64))
    frames = root / "JPEGImages/480p/synthetic-000"
    file = sorted(frames.iterdir())[2]
    file.write_bytes(with_hole(file.read_bytes(), 400))
    mask = root / "Annotations/480p/synthetic-000/00000.png"
    line = f"{file.name}: is damaged"
    words = {
        "predict": [frames, "--model=raw_colour", "--mask", mask, "--output", tmp_path / "p"],
        "features": ["raw_colour", frames, "--output", tmp_path / "f.npz"],
    }
    for command, rest in words.items():
        assert line in refusal(command, *rest), command
    refusal("evaluate", "raw_colour", "--on", f"davis={root}", "--protocol", "vfs+radius=3", "--output", tmp_path / "e")
    assert line in "".join(capsys.readouterr())
    masks = root / "Annotations/480p"
    of_mask = sorted((masks / "synthetic-001").iterdir())[1]
    of_mask.write_bytes(with_hole(of_mask.read_bytes(), 20))
    assert f"{of_mask.name}: " in refusal("score", masks, masks)
    data = VideoDataModule(root / "JPEGImages/480p", frames=4, size=16, num_workers=0, validation_fraction=0.0)
    data.setup("fit")
    samples = [data.training[0, number] for number in range(len(data.videos))]
    failures = [line for sample in samples for line in sample["failures"]]
    assert failures
    assert {line.partition(": ")[0] for line in failures} == {str(file)}


def test_a_photo_of_16_bits_keeps_its_upper_bits(tmp_path: Path) -> None:
    levels = np.arange(0, 2**16, 683, dtype=np.uint16).reshape(8, 12)
    Image.fromarray(levels).save(tmp_path / "a.png")
    for read in (read_photo, read_image):
        np.testing.assert_array_equal(read(tmp_path / "a.png"), np.repeat(levels[..., None] >> 8, 3, axis=2))
    Image.fromarray(np.array([[-5, 7, 255, 70_000]], np.int32)).save(tmp_path / "a.tiff")  # is cut
    assert read_photo(tmp_path / "a.tiff")[0, :, 0].tolist() == [0, 7, 255, 255]
