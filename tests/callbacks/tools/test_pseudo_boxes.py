"""Boxes carried through unlabelled videos, read back as GOT-10k's sequences."""

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.tools.pseudo_boxes import box_of, draw_box, follow_box, pseudo_boxes
from datamodules import Got10kDataModule
from lightning_modules.backbones import build_feature_extractor


def moving_square(frames: int, hidden_from: int | None = None) -> list[torch.Tensor]:
    """A red square of 40 px that moves 4 px a frame over grey, and is gone from one frame on."""
    pictures = torch.full((frames, 3, 120, 160), 90, dtype=torch.uint8)
    for t in range(frames):
        if hidden_from is None or t < hidden_from:
            x, y = 20 + 4 * t, 30 + 2 * t
            pictures[t, :, y : y + 40, x : x + 40] = torch.tensor([220, 20, 20], dtype=torch.uint8)[:, None, None]
    return list(pictures)


def test_the_box_follows_its_target():
    boxes, cover = follow_box(build_feature_extractor("raw_colour"), moving_square(6), (20, 30, 40, 40), 120)
    truth = np.array([[20 + 4 * t, 30 + 2 * t, 40, 40] for t in range(6)])
    assert np.abs(boxes - truth).max() <= 8  # a cell
    assert (cover == 8).all()


def test_a_target_that_has_gone_is_marked_as_hidden():
    frames = moving_square(5, hidden_from=3)
    _, cover = follow_box(build_feature_extractor("raw_colour"), frames, (20, 30, 40, 40), 120)
    assert cover[:3].tolist() == [8, 8, 8]
    assert cover[4] == 0


def test_strays_do_not_widen_a_box():
    mask = np.zeros((100, 100), np.uint8)
    mask[20:40, 30:60] = 1
    mask[90, 95] = 1
    left, top, width, height, filled = box_of(mask)
    assert np.abs(np.array([left, top, width, height]) - (30, 20, 30, 20)).max() <= 2
    assert filled > 0.95
    assert box_of(np.zeros((4, 4), np.uint8)) == (0, 0, 0, 0, 0)


def test_drawn_boxes_lie_in_the_frame():
    boxes = np.array([draw_box((90, 160), np.random.default_rng(seed)) for seed in range(200)])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (160, 90)).all()
    assert boxes[:, 2:].min() >= 18
    assert boxes[:, 2:].max() <= 40
    assert len(np.unique(boxes[:, 0])) > 50


def test_pairs_come_out_and_an_interrupted_call_resumes(tmp_path):
    for name in "ab":
        (tmp_path / "videos" / name).mkdir(parents=True)
        still = np.random.default_rng(ord(name)).integers(0, 256, (15, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        for t in range(4):
            Image.fromarray(still).save(tmp_path / "videos" / name / f"{t}.png")
    extractor = build_feature_extractor("raw_colour")
    assert pseudo_boxes(extractor, tmp_path / "videos", tmp_path / "got", videos=1, frames=4) == 1
    first = tmp_path / "got/train/000000/groundtruth.txt"
    before = first.stat().st_mtime_ns
    assert pseudo_boxes(extractor, tmp_path / "videos", tmp_path / "got", frames=4) == 2
    assert first.stat().st_mtime_ns == before
    data = Got10kDataModule(tmp_path / "got", batch_size=2, num_workers=0)
    data.setup("fit")
    sample = data.train_dataloader().dataset[0]
    assert sample["exemplar"].shape == (3, 120, 120)
    assert sample["failures"] == []
    with pytest.raises(ValueError, match="2 frames"):
        pseudo_boxes(extractor, tmp_path / "videos", tmp_path / "other", frames=1)
