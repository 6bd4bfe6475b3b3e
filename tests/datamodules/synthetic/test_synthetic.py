"""Synthetic videos: deterministic, exact, hard for colour, and safely written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules import SyntheticVideoDataModule
from datamodules.datasets import Davis
from datamodules.datasets.jhmdb import JOINTS
from datamodules.datasets.vip import PARTS
from datamodules.reading.errors import DataError
from datamodules.synthetic import render_figures, render_video, write_davis, write_videos
from datamodules.synthetic.motion import Motion, Wave
from datamodules.synthetic.sprites import OVERSAMPLING, paste
from datamodules.synthetic.textures import FAMILIES, draw_texture, palette

SMALL: dict[str, Any] = {"frames": 6, "size": (64, 80)}


def test_shapes() -> None:
    video, masks = render_video(0, 0, 3, (64, 80), sprites=(3, 3))
    assert (video.shape, video.dtype) == ((3, 64, 80, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((3, 64, 80), np.uint8)
    assert np.unique(masks[0]).tolist() == [0, 1, 2, 3]


def test_same_arguments_same_video_and_fewer_frames_a_prefix() -> None:
    video, masks = render_video(3, 7, 6, (64, 80))
    again, masks_again = render_video(3, 7, 4, (64, 80))
    assert np.array_equal(video[:4], again)
    assert np.array_equal(masks[:4], masks_again)


def test_other_index_or_seed_other_video() -> None:
    video, _ = render_video(0, 0, 1, (64, 80))
    for seed, index in ((0, 1), (1, 0)):
        assert np.abs(render_video(seed, index, 1, (64, 80))[0].astype(int) - video).mean() > 10


def test_mask_is_where_the_sprite_is_drawn() -> None:
    patch = np.full((27, 27, 4), 255, np.float32)
    patch[..., :3] = (200, 100, 50)
    image, ids = np.zeros((40, 50, 3), np.float32), np.zeros((40, 50), np.uint8)
    paste(image, ids, 4, patch, np.array([[1.0, 0, 20], [0, 1.0, 15]]))
    assert np.array_equal(ids == 4, image[..., 0] >= 100)
    assert ids[15, 20] == 4
    side = 27 / OVERSAMPLING
    assert (ids == 4).sum() == pytest.approx(side**2, rel=0.05)
    y, x = np.nonzero(ids)
    assert (x.mean(), y.mean()) == (20, 15)


def test_a_patch_outside_the_frame_draws_nothing() -> None:
    image, ids = np.zeros((20, 20, 3), np.float32), np.zeros((20, 20), np.uint8)
    paste(image, ids, 1, np.full((9, 9, 4), 255, np.float32), np.array([[1.0, 0, 100], [0, 1.0, 5]]))
    assert not ids.any()
    assert not image.any()


def test_drift_bounces_inside_its_box() -> None:
    still = Wave(0, 1, 0)
    motion = Motion((4, 5), (3, -2), (0, 0, 10, 6), (still, still), still, still)
    assert motion.centre(2) == (10, 1)
    assert motion.centre(3) == (7, 1)  # 13 → 10 − 3; −1 → 1
    assert np.allclose(motion.matrix(0), [[1, 0, 4], [0, 1, 5]])


def test_textures_of_a_palette_share_their_mean_colour_and_not_their_structure() -> None:
    rng = np.random.default_rng(0)
    colours = palette(rng)
    textures = {family: draw_texture(rng, family, 160, 10, colours) for family in FAMILIES}
    for family, texture in textures.items():
        assert texture.shape == (160, 160, 3), family
        assert np.abs(texture.mean((0, 1)) - colours.mean(0)).max() < 4, family
        assert texture.std() > 15, family


def test_sprites_travel_and_keep_being_seen() -> None:
    for index in range(4):
        _, masks = render_video(0, index, 48, (128, 128))
        centres = []
        for mask in masks:
            y, x = np.nonzero(mask == mask.max())
            centres.append((x.mean(), y.mean()))
        assert np.ptp(np.array(centres), axis=0).max() > 20
        for number in range(1, masks.max() + 1):
            assert (masks == number).any((1, 2)).mean() > 0.7


def test_videos_are_h264_that_decodes(tmp_path: Path) -> None:
    import av

    root = write_videos(tmp_path / "videos", 2, **SMALL)
    assert sorted(path.name for path in root.glob("*.mp4")) == ["00000.mp4", "00001.mp4"]
    video, _ = render_video(0, 1, **SMALL)
    with av.open(str(root / "00001.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == video.shape
    assert np.abs(decoded.astype(int) - video).mean() < 12


def test_finished_folder_is_reused_and_replaced_when_the_arguments_change(tmp_path: Path) -> None:
    root = write_videos(tmp_path / "videos", 1, **SMALL)
    written = (root / "00000.mp4").stat().st_mtime_ns
    write_videos(root, 1, **SMALL)
    assert (root / "00000.mp4").stat().st_mtime_ns == written
    write_videos(root, 2, **SMALL)
    assert len(list(root.glob("*.mp4"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="not generated here"):
        write_videos(tmp_path, 1, **SMALL)
    assert (tmp_path / "holiday.mp4").exists()


def test_nothing_is_left_of_a_failed_generation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="high"):
        write_videos(tmp_path / "videos", 1, sprites=(4, 2), **SMALL)
    assert not list(tmp_path.iterdir())


def test_odd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="65 × 80"):
        write_videos(tmp_path / "videos", 1, size=(65, 80))


def test_another_range_of_indices_has_other_scenes(tmp_path: Path) -> None:
    first = Davis(write_davis(tmp_path / "a", 1, **SMALL))[0]
    later = Davis(write_davis(tmp_path / "b", 1, first=1, **SMALL))[0]
    assert (first.frame(0) != later.frame(0)).float().mean() > 0.5


def test_data_module_gives_clips_and_a_benchmark(tmp_path: Path) -> None:
    data = SyntheticVideoDataModule(
        tmp_path, videos=4, benchmark_videos=2, frames_per_video=6, video_size=64,
        frames=2, size=32, batch_size=2, num_workers=0, holdout=0.25,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (2, 2, 3, 32, 32)
    assert batch["failures"] == []
    assert len(Davis(tmp_path / "davis")) == 2


def test_figures_are_drawn_at_their_joints() -> None:
    video, ids, joints = render_figures(0, 0, 8, (120, 160))
    assert (video.shape, joints.shape) == ((8, 120, 160, 3), (1, 8, 15, 2))
    wrist, elbow = JOINTS.index("right wrist"), JOINTS.index("right elbow")
    for t in range(8):
        x, y = np.round((joints[0, t, wrist] + joints[0, t, elbow]) / 2).astype(int)
        assert ids[t, y, x] == 20 + PARTS.index("right-arm")  # the limb in front
    lengths = np.linalg.norm(joints[0, :, wrist] - joints[0, :, elbow], axis=1)
    torso = np.linalg.norm(joints[0, :, JOINTS.index("neck")] - joints[0, :, JOINTS.index("belly")], axis=1)
    np.testing.assert_allclose(lengths / torso, lengths[0] / torso[0])
    assert np.ptp(joints[0, :, wrist], axis=0).max() > 5


def test_sprites_may_appear_later() -> None:
    video, masks = render_video(0, 0, 8, (64, 80), (3, 3), latest=6)
    whole, _ = render_video(0, 0, 8, (64, 80), (3, 3))
    first = [int(np.flatnonzero((masks == number).any((1, 2)))[0]) for number in (1, 2, 3)]
    assert first[0] == 0
    assert max(first) > 0
    assert np.array_equal(video[7], whole[7])
    assert not np.array_equal(video[0], whole[0])
