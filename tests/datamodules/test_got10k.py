"""Pairs of crops: which frames, which boxes, where the target is in them.

Also tests `loading/target_pairs.py`, `datasets/got10k_files.py`.
"""

import shutil
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.layouts import write_got10k
from tests.helpers.refusal import refused
from vidcorr.datamodules import Got10kDataModule
from vidcorr.datamodules.loading import target_pairs
from vidcorr.datamodules.loading.sampling import seeded_generator
from vidcorr.datamodules.loading.target_pairs import TargetPairs, draw_pair, training_crop
from vidcorr.datasets.got10k_files import list_sequences, read_annotation
from vidcorr.videos.files import DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("got10k") / "got10k"
    return write_got10k(folder, 5, valid=2, frames=6, size=(160, 160), sprites=(2, 2))


def made(root, **arguments):
    data = Got10kDataModule(root, num_workers=0, batch_size=2, **arguments)
    data.setup()
    return data


def test_a_batch_holds_exemplars_and_searches(root):
    data = made(root)
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    (held_out,) = data.val_dataloader()
    for batch in [*batches, held_out]:
        assert (batch["exemplar"].shape, batch["search"].shape) == ((2, 3, 120, 120), (2, 3, 239, 239))
        assert (batch["search"].dtype, batch["failures"]) == (torch.uint8, [])
    on_device = data.on_after_batch_transfer(batches[0], 0)
    assert on_device["search"].dtype == torch.float32
    assert 0.5 < on_device["search"].max() <= 1
    seen = [number for batch in batches for number in batch["video_index"].tolist()]
    assert len(set(seen)) == 4
    assert (data.training.seed, data.held_out.seed, len(made(root, repeat=3).training)) == (0, -1, 15)
    assert made(root, seed=3).held_out.seed == -4
    pairs = [TargetPairs(list_sequences(root, "train"), 5, seed=3) for _ in range(2)]
    assert torch.equal(pairs[0][1, 2]["search"], pairs[1][1, 2]["search"])
    assert not torch.equal(pairs[0][1, 2]["search"], pairs[1][2, 2]["search"])


def test_pairs_are_drawn_uniformly_from_those_that_are_near(monkeypatch):
    tickets = Mock(side_effect=map(torch.tensor, range(4)))
    monkeypatch.setattr("torch.randint", tickets)
    near = [(0, 1), (0, 5), (1, 5), (5, 104)]  # (1, 104) is 103 apart
    assert [draw_pair(np.array([0, 1, 5, 104, 300]), 100, None) for _ in range(4)] == near
    assert {call.args[0] for call in tickets.mock_calls} == {4}


def test_published_runs_drew_these_crops(monkeypatch):
    """Centre and side of the square in the frame, side of the crop, OpenCV's method.

    The target's centre is (204.5, 164.5); with its context it is a square of 79.4 px, which has 120 px in an exemplar.
    """
    cut = Mock()
    monkeypatch.setattr(target_pairs, "square_crop", cut)
    for seed in range(3):
        training_crop(None, np.array([151.0, 181, 30, 50]), 239, seeded_generator(seed))
    found = [[*made.args[1], *made.args[2:]] for made in cut.mock_calls]
    expected = [
        [204.77330788574554, 165.7755538129515, 152.731114372341, 239, cv2.INTER_CUBIC],
        [205.53179931750563, 164.15429198326626, 158.80236854463035, 239, cv2.INTER_AREA],
        [204.3397535692295, 162.5075900021645, 160.8134594339798, 239, cv2.INTER_AREA],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_sequences_without_a_pair_are_replaced_and_told(root, tmp_path):
    copy = Path(shutil.copytree(root, tmp_path / "got10k"))
    folders = list_sequences(copy, "train")
    (folders[0] / "cover.label").write_text("0\n" * 6)
    (folders[1] / "cover.label").write_text("8\n8\nhidden\n8\n8\n8\n")
    for path in folders[2].glob("*.jpg"):
        path.write_bytes(path.read_bytes()[:200])
    batches = list(made(copy, repeat=8).train_dataloader())
    assert all(number > 2 for batch in batches for number in batch["video_index"].tolist())
    lines = {line for batch in batches for line in batch["failures"]}
    assert {
        f"{folders[0]}: no usable boxes within 100 frames; take it out of list.txt",
        f"{folders[1]}/cover.label, line 3: expected numbers (the visible part), got 'hidden'",
    } < lines
    assert all(line.startswith(tuple(map(str, folders[:3]))) for line in lines)
    for name in ("cover.label", "groundtruth.txt"):
        (folders[3] / name).write_text(2 * (folders[3] / name).read_text())
        refused(DataError, "frames, boxes and visible parts differ in number", read_annotation, folders[3])
        (folders[4] / name).write_text("")
    for path in folders[4].glob("*.jpg"):
        path.unlink()
    refused(DataError, f"{folders[4]}: holds no frame", read_annotation, folders[4])
