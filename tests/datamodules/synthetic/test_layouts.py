"""Generated sets in the layouts of the other benchmarks, read by their readers."""

from pathlib import Path

import numpy as np
import torch

from datamodules.datasets import Jhmdb, Vip, YoutubeVos
from datamodules.synthetic import render_figures, write_jhmdb, write_vip, write_youtube_vos


def test_joints_are_those_of_the_figures(tmp_path: Path) -> None:
    (first, second) = Jhmdb(write_jhmdb(tmp_path / "jhmdb", 2, seed=3, frames=4, size=(60, 80)))
    assert [first.num_frames, first.size] == [4, (60, 80)]
    video, _, joints = render_figures(3, 0, 4, (60, 80))
    np.testing.assert_allclose(first.points, joints[0], atol=1e-9)
    assert np.array_equal(first.frame(2).permute(1, 2, 0), video[2])
    assert not np.allclose(first.points, second.points)


def test_parts_and_people_are_those_of_the_figures(tmp_path: Path) -> None:
    root = write_vip(tmp_path / "vip", 1, seed=3, frames=3, size=(60, 80), people=2, step=2)
    (sequence,) = Vip(root, "val", "instance")
    _, ids, _ = render_figures(3, 0, 5, (60, 80), 2)
    for t in range(3):
        instances, classes = sequence.instances(t)
        assert np.array_equal(instances, np.where(ids[2 * t] % 20 > 0, ids[2 * t], 0))
        assert all(number % 20 == part for number, part in classes.items())


def test_objects_of_the_validation_videos_enter_with_their_own_mask_only(tmp_path: Path) -> None:
    root = write_youtube_vos(tmp_path / "yv", 1, valid=2, frames=21, size=(48, 48), sprites=(3, 3))
    for sequence in YoutubeVos(root, "valid"):
        assert min(sequence.starts.values()) == 0
        for number, start in sequence.starts.items():
            assert (sequence.mask(start) == number).any()
            later = [t for t in sequence.masks if t > start]
            assert not any(torch.isin(torch.tensor(number), sequence.mask(t)) for t in later)
