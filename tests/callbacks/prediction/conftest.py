"""A scene with one sprite, in memory and on disk."""

import pytest

from datamodules.synthetic import render_video
from datamodules.synthetic.writers import write_frames, write_masks, write_mp4
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.sprite import FRAMES, RATE


@pytest.fixture(scope="module")
def scene():
    """A plainly coloured sprite that moves, and its masks."""
    return render_video(seed=7, index=0, frames=FRAMES, size=(96, 130), sprites=(1, 1), camouflage=0)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """The scene as a folder of frames, as a video and with the mask of its first frame."""
    root = tmp_path_factory.mktemp("scene")
    video, masks = scene
    write_frames(root / "frames", video, [f"{t:03d}.png" for t in range(FRAMES)])
    write_mp4(root / "clip.mp4", video, rate=RATE)
    write_masks(root / "masks", {"first": masks[0]})
    return root


@pytest.fixture
def colour():
    """Raw colour in cells of 4 px."""
    return build_feature_extractor("raw_colour", stride=4)
