"""A training reads the videos of people's folders, and no folder of annotations."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.benchmark_data import arguments_of, benchmark_classes
from tests.helpers.palettes import with_palette
from tests.helpers.refusal import refused
from vidcorr.benchmarks.davis import DavisBenchmark
from vidcorr.commands import run_command
from vidcorr.datamodules import VideoDataModule
from vidcorr.datamodules.image_clips import ImageClipDataModule
from vidcorr.datasets.generated import write_davis
from vidcorr.videos import annotations
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import davis_palette
from vidcorr.videos.source import RESULTS, list_single_images, list_videos

SIZE = 48, 64
OTHER_PALETTE = np.vstack([np.zeros((1, 3), int), np.random.default_rng(7).integers(0, 256, (255, 3))]).astype(np.uint8)


def natural(t):
    """A frame of many colours that change slowly, as a camera sees them."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    shades = np.stack([90 + 80 * np.sin((x + t) / 9), 120 + y + 40 * np.cos(x / 5), 2 * x + y], -1)
    return shades + np.random.default_rng(t).normal(0, 4, shades.shape)


def ids(t):
    values = np.zeros(SIZE, np.uint8)
    values[5:25, 5 + t : 30 + t] = 1
    values[20:40, 30:50] = 2
    return values


KINDS = {
    "jpeg": lambda t: Image.fromarray(natural(t).clip(0, 255).astype(np.uint8)),
    "grey": lambda t: Image.fromarray(natural(t).mean(-1).clip(0, 255).astype(np.uint8)),
    "pixel art": lambda t: with_palette(ids(t) + (np.arange(64) % 9).astype(np.uint8), OTHER_PALETTE),
    "screen": lambda t: Image.fromarray(OTHER_PALETTE[ids(t)]),
    "davis ids": lambda t: with_palette(ids(t)),
    "other ids": lambda t: with_palette(ids(t), OTHER_PALETTE),
    "grey ids": lambda t: Image.fromarray(ids(t)),
    "black and white": lambda t: Image.fromarray(255 * (ids(t) > 0).astype(np.uint8)),
    "one bit": lambda t: Image.fromarray(ids(t) > 0),
    "colour ids": lambda t: Image.fromarray(davis_palette()[ids(t)]),
    "deep ids": lambda t: Image.fromarray(2000 * (ids(t) > 0).astype(np.uint16) + ids(t)),
    "matte": lambda t: Image.fromarray(cv2.GaussianBlur(255 * (ids(t) > 0).astype(np.uint8), (0, 0), 3)),
    "flow": lambda t: Image.fromarray(np.roll(natural(t), 1, axis=-1).clip(0, 255).astype(np.uint8)),
    "smooth": lambda t: Image.fromarray(255 * (ids(t) > 0).astype(np.uint8)).resize((32, 24)).resize(SIZE[::-1]),
}
SUFFIXES = {"jpeg": ".jpg"}


def write(root, folders):
    """Write folders of four pictures: path below the root → kind, or (kind, suffix)."""
    for place, kind in folders.items():
        name, suffix = kind if isinstance(kind, list) else (kind, SUFFIXES.get(kind, ".png"))
        (root / place).mkdir(parents=True, exist_ok=True)
        for t in range(4):
            KINDS[name](t).save(root / place / f"{t:05d}{suffix}")


LAYOUTS = json.loads(Path(__file__).with_name("layouts.json").read_text())
"""Layout of a data set → folders of annotations, folders of frames; the last are right, and nothing is left out."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_reads_the_frames_of_each_layout_and_no_annotations(layout, tmp_path, info_log, capsys):
    annotations, frames = LAYOUTS[layout]
    write(tmp_path, annotations | frames)
    data = VideoDataModule(tmp_path, frames=2, size=16, num_workers=0, validation_fraction=0.0)
    data.setup("fit")
    assert {Path(entry.file).relative_to(tmp_path).as_posix() for entry in data.videos} == frames.keys()
    line = f"{tmp_path}: {len(annotations)} annotations or results are left out, such as {tmp_path}/"
    assert (line in info_log.text) == bool(annotations)
    for number in range(len(data.videos)):
        assert data.training[0, number]["clip"].shape == (2, 3, 16, 16)
    images = ImageClipDataModule(tmp_path, num_workers=0)
    images.setup("fit")
    read = {Path(image.file).parent.relative_to(tmp_path).as_posix() for image in images.videos}
    assert read == frames.keys()


def test_check_data_lists_no_annotations_and_a_source_of_them_alone_is_refused(tmp_path, capsys, monkeypatch):
    def in_this_process(work, paths, *_):
        return ((path, work(path)) for path in paths)

    monkeypatch.setattr("vidcorr.videos.check.in_processes", in_this_process)
    annotations, frames = LAYOUTS["DAVIS"]
    write(tmp_path / "DAVIS", annotations | frames)
    for names in RESULTS:  # of `predict`, of a benchmark, of a training
        folder = tmp_path / "DAVIS" / min(names)
        write(folder, {"pictures": "jpeg"})
        for name in names:
            (folder / name).touch()
    run_command(["check-data", str(tmp_path / "DAVIS"), "--output", str(tmp_path), "--min-frames", "2"])
    assert "DAVIS: 5 annotations or results are left out, such as" in capsys.readouterr().out
    listed = (tmp_path / "clean.txt").read_text().split()
    assert {*listed} == {str(tmp_path / "DAVIS" / name) for name in frames}
    KINDS["grey ids"](0).save(tmp_path / f"DAVIS/{min(frames)}/00000_mask.png")
    images = list_single_images(tmp_path / "DAVIS")
    assert tmp_path / f"DAVIS/{min(frames)}/00000_mask.png" in images.annotations
    shutil.rmtree(tmp_path / "DAVIS/JPEGImages")
    for source in ("DAVIS", "DAVIS/Annotations", "DAVIS/Annotations/480p"):
        line = f"{source}: holds annotations or results alone, such as"
        refused(DataError, line, VideoDataModule(tmp_path / source).setup, "fit")


def trained(source, kind=VideoDataModule, **arguments):
    data = kind(source, num_workers=0, validation_fraction=0.0, **arguments)
    data.setup("fit")
    return data.trained_videos()


@pytest.mark.parametrize("benchmark", benchmark_classes(), ids=lambda kind: kind.name)
def test_each_benchmark_names_its_own_videos(benchmark, tmp_path):
    """Trained on its folder, a benchmark finds each of its sequences among the videos, or the pictures."""
    arguments = arguments_of(benchmark, tmp_path)
    held_out = set(benchmark(**arguments).held_out())
    if benchmark.name == "tap_vid":  # of a pickle, which no training reads
        assert not held_out
        return
    kind = VideoDataModule
    found = trained(arguments["root"], kind) & held_out
    assert found
    assert not trained(arguments["root"], kind, include_holdout=True)


def test_the_same_video_by_another_path_is_the_same(tmp_path):
    davis = write_davis(tmp_path / "davis", 2, frames=3, size=SIZE)
    frames = davis / "JPEGImages/480p"
    first, second = sorted(frames.iterdir())
    (tmp_path / "link").symlink_to(frames)
    (davis / "JPEGImages/1080p").mkdir()
    second.rename(davis / "JPEGImages/1080p" / second.name)
    second.symlink_to(davis / "JPEGImages/1080p" / second.name)
    of_links = tmp_path / "of links" / first.name  # a part of the data set, as a folder of links to frames
    of_links.mkdir(parents=True)
    for frame in first.iterdir():
        (of_links / frame.name).symlink_to(frame)
    held_out = set(DavisBenchmark(davis, split=None).held_out())
    for source in (davis, tmp_path / "link", davis / "JPEGImages/1080p"):
        assert trained(source) & held_out, source
    copy = shutil.copytree(davis, tmp_path / "other", symlinks=False)
    assert not trained(copy) & held_out  # equal names alone are no equal videos
    shutil.copytree(davis / "Annotations", tmp_path / "farm/Annotations")
    (tmp_path / "farm/JPEGImages").mkdir()
    of_links.parent.rename(tmp_path / "farm/JPEGImages/480p")
    shutil.rmtree(tmp_path / "farm/Annotations/480p" / second.name)
    assert trained(davis) & set(DavisBenchmark(tmp_path / "farm", split=None).held_out())


def test_of_many_folders_beside_each_other_few_pictures_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(annotations, "SIBLINGS", 4)
    for kind, root in (("grey", "films"), ("davis ids", "objects")):
        write(tmp_path / root, {f"v{number}": kind for number in range(9)})
    opened = []
    read = annotations.open_image
    monkeypatch.setattr(annotations, "open_image", lambda path: opened.append(path) or read(path))
    listing = list_videos(tmp_path)
    assert {path.parent.name for path in listing.annotations} == {"objects"}
    assert len(listing.annotations) == len(listing.entries) == 9
    assert len({path for path in opened if "films" in path.parts}) == 4
