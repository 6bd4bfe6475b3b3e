"""The examples for annotation tools, run against the tools' own classes where they are installed."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.sprite import tensors
from vidcorr import MaskPrompt, PointPrompt, follow

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"


def test_cvats_function_gives_the_masks_of_follow(scene):
    cvataa = pytest.importorskip("cvat_sdk.auto_annotation")
    masks = pytest.importorskip("cvat_sdk.masks")
    function = runpy.run_path(str(EXAMPLES / "cvat_function.py"))["create"]("raw_colour@colour/4", "vfs")
    assert isinstance(function.spec, cvataa.TrackingFunctionSpec)
    frames, truth = scene
    rows, columns = truth[0].nonzero()
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    shape = cvataa.TrackableShape(type="mask", points=masks.encode_mask(truth[0] > 0, box))
    state = function.init_tracking_state(None, function.preprocess_image(None, Image.fromarray(frames[0])), shape)
    wanted = [ids for _, ids in follow("raw_colour@colour/4", tensors(frames), MaskPrompt.of(truth[0]), "vfs")]
    for frame, ids in list(zip(frames, wanted, strict=True))[1:]:
        found = function.track(None, function.preprocess_image(None, Image.fromarray(frame)), state)
        mask = masks.decode_mask(found.points, image_width=130, image_height=96)
        assert torch.equal(torch.from_numpy(mask), ids > 0)


def test_naparis_points_are_followed_both_ways(scene):
    track = runpy.run_path(str(EXAMPLES / "napari_tracker.py"))["track"]
    queries = np.array([[4, 31.0, 44.0], [4, 50.0, 60.0], [7, 40.0, 50.0]])  # frame, y, x
    tracks, scores = track(scene[0], queries, "raw_colour@colour/4")
    prompts = {4: PointPrompt.of({"a": (44, 31), "b": (60, 50)}), 7: PointPrompt.of({"c": (50, 40)})}
    wanted = np.stack([points for _, points in follow("raw_colour@colour/4", tensors(scene[0]), prompts)], axis=1)
    np.testing.assert_array_equal(tracks[:, 2:].reshape(3, 10, 2), wanted[..., 1::-1])
    np.testing.assert_array_equal(scores, wanted[..., 2])
    np.testing.assert_array_equal(tracks[:, 0], np.repeat(range(3), 10))
