"""Clips of two views of one image: the batch, its draws, what is refused, and SimSiam on it."""

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.datamodules import ImageClipDataModule
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.files import DataError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of three images of different plain colours and sizes."""
    root = tmp_path_factory.mktemp("images")
    for number in range(9):
        pictures = np.full((1, 40 + number, 60 - number, 3), 20 * number, np.uint8)
        write_frames(root / f"class {number // 3}", pictures, [f"n0144{number // 3}764_{number * number}.JPEG"])
    return root


def make(source, **arguments):
    plain = {"size": 16, "batch_size": 3, "num_workers": 0, "colour": False}
    data = ImageClipDataModule(source, **(plain | arguments))
    data.setup("fit")
    return data


def test_the_batch_is_that_of_videos(images):
    seen = list(make(images).train_dataloader())
    assert [set(batch) for batch in seen] == [{"clip", "video_index", "frame_index", "failures"}] * 3
    for batch in seen:
        assert (batch["clip"].shape, batch["clip"].dtype) == ((3, 2, 3, 16, 16), torch.uint8)
        assert batch["frame_index"].tolist() == [[0, 0]] * 3
        grey = batch["clip"].float().mean((1, 2, 3, 4))
        assert (grey / 20).round().long().tolist() == batch["video_index"].tolist()
    assert sorted(int(index) for batch in seen for index in batch["video_index"]) == list(range(9))
    assert ImageClipDataModule(images).colour.sigma == (0.1, 2.0)


def test_lists_and_broken_images(images, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    lines = [f"{path} {number}" for number, path in enumerate(sorted(images.rglob("*.JPEG")))]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "broken.jpg 9"]))
    seen = list(make(tmp_path / "list.txt", batch_size=10).train_dataloader())
    assert sorted(set(seen[0]["video_index"].tolist())) == list(range(9))
    assert [line.partition(": ")[0] for line in seen[0]["failures"]] == [str(tmp_path / "broken.jpg")]
    (tmp_path / "film.mp4").touch()
    (tmp_path / "list.txt").write_text("film.mp4\n")
    refused(DataError, r"film\.mp4 is no image", make, tmp_path / "list.txt")
