"""The DAVIS reader on real sequences, on a generated layout, and on every mistake there."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Davis
from vidcorr.datasets.generated import write_davis
from vidcorr.datasets.generated.scene import Scenes
from vidcorr.videos.files import DataError, DecodingError

refusal = partial(refused, DataError, ".", Davis)


@pytest.fixture
def root(tmp_path):
    return write_davis(tmp_path / "davis", 2, frames=5, size=(64, 80), sprites=(2, 2))


def mask_path(root, t=0):
    return root / "Annotations" / "480p" / "synthetic-000" / f"{t:05d}.png"


def test_reads_what_was_written(root):
    davis = Davis(root)
    video, masks = Scenes(0, 1, 5, (64, 80), (2, 2)).render(0)
    sequence = davis[1]
    assert [s.name for s in davis] == ["synthetic-000", "synthetic-001"]
    assert (sequence.num_frames, sequence.size, sequence.objects) == (5, (64, 80), (1, 2))
    assert sequence.ground_truth
    for t, frame in enumerate(sequence.read()):
        assert frame.dtype == torch.uint8
        assert frame.shape == (3, 64, 80)
        assert (frame.permute(1, 2, 0).numpy().mean(-1) - video[t].mean(-1)).std() < 8  # brightness, after JPEG
        assert np.array_equal(sequence.read_mask(t).numpy(), masks[t])


def test_real_sequences(real_data, tmp_path):
    (tmp_path / "list.txt").write_text("dog\n")
    (dog,) = Davis(real_data("davis"), split=tmp_path / "list.txt")
    assert (dog.name, dog.num_frames, dog.objects, dog.size) == ("dog", 60, (1,), (480, 854))
    with Image.open(dog.frames[7]) as image:
        assert (dog.frame(7).permute(1, 2, 0).numpy().astype(int) - np.asarray(image)).std() < 1
    with Image.open(dog.masks[7]) as image:
        assert np.array_equal(dog.read_mask(7).numpy(), np.asarray(image))


def test_real_objects_that_enter_later(real_data):
    root = real_data("davis_multi_first")
    assert "853 × 480" in refusal(root, split=None, annotations="entering")
    bike, judo = Davis(root, split=None, annotations="entering", size_tolerance=1)
    assert (bike.objects, dict(bike.starts)) == ((1, 2), {1: 0, 2: 0})
    assert dict(judo.starts) == {1: 0, 2: 5, 3: 8, 4: 13}
    assert [judo.entering(t) for t in (0, 5, 6)] == [(1,), (2,), ()]
    assert judo.read_mask(5).shape == judo.size == (480, 854)
    assert judo.read_mask(5).unique().tolist() == [0, 2]
    assert not judo.ground_truth


def test_2016_merges_objects(root):
    several = Davis(root)[1].read_mask(0)
    merged = Davis(root, year=2016, split=None)[1]
    assert (merged.name, merged.objects) == ("synthetic-001", (1,))
    assert torch.equal(merged.read_mask(0), (several > 0).to(torch.uint8))


def test_test_split_has_no_ground_truth(root):
    (root / "ImageSets/2017/test-dev.txt").write_text("synthetic-000\n")
    for t in range(1, 5):
        mask_path(root, t).unlink()
    (sequence,) = Davis(root, split="test-dev")
    assert not sequence.ground_truth
    assert list(sequence.masks) == [0]


def test_missing_parts_are_named(root):
    said = refusal(root, resolution="Full-Resolution")
    assert "JPEGImages: holds 480p, not Full-Resolution; get DAVIS at Full-Resolution, or give --on COPY.yaml" in said
    said = refusal(root, split="train")
    assert "2017/train.txt or " in said
    message = "480p/train.txt: cannot be read (No such file or directory); a list has the name of a sequence per line"
    assert said.endswith(message)
    mask_path(root, 3).unlink()
    assert "4 masks for 5 frames, the first without one is 00003.jpg" in refusal(root)
    Image.new("L", (80, 64)).save(mask_path(root))
    assert "synthetic-000: no object in the mask" in refusal(root, annotations="first")
    mask_path(root).unlink()
    assert "no object in the mask" in refusal(root, annotations="first")


def test_a_narrower_frame_is_refused_by_name(root):
    """On a GPU several frames are stacked; on a CPU its features would not fit the labels."""
    path = root / "JPEGImages/480p/synthetic-000/00002.jpg"
    Image.fromarray(np.zeros((64, 79, 3), np.uint8)).save(path)
    message = r"00002\.jpg: is 79 × 64 px, other frames 80 × 64 px"
    frames = Davis(root, annotations="first")[0].read()
    assert next(frames).shape == next(frames).shape
    refused(DecodingError, message, next, frames)
    Image.fromarray(np.zeros((64, 79), np.uint8)).save(mask_path(root, 2))
    refused(DecodingError, message, Davis, root)


def test_the_lists_of_davis_2016_as_released_name_two_paths_in_a_line(root, monkeypatch):
    (root / "ImageSets/2017/val.txt").unlink()
    (root / "ImageSets/480p").mkdir()
    line = "/JPEGImages/480p/synthetic-001/0000{0}.jpg /Annotations/480p/synthetic-001/0000{0}.png \n"
    (root / "ImageSets/480p/val.txt").write_text("".join(map(line.format, range(5))))
    monkeypatch.chdir(root.parent)
    for year in (2016, 2017):
        (sequence,) = Davis(root.name, year=year)
        assert (sequence.name, sequence.num_frames) == ("synthetic-001", 5)
