"""Masks and joints as labels of cells and back: the original codes' numbers, every size."""

import numpy as np
import pytest
import torch

from tests.helpers.propagation import protocol
from vidcorr.functional import decode_keypoints, decode_masks, encode_keypoints, encode_masks
from vidcorr.functional.propagation.coding import input_sizes
from vidcorr.protocols import JointProtocol, PropagationProtocol


def joints(**fields):
    return JointProtocol(name="x", context=3, topk=4, temperature=0.1, radius=3, **fields)


def test_strided_labels_are_those_of_liir(golden):
    case = golden("liir_mast")
    labels = encode_masks(case["lab_onehot_in"][0, 0], range(1, 7), (25, 25), protocol(label_encoding="strided"))
    np.testing.assert_array_equal(labels, case["lab_onehot_out"][0])


def test_masks_of_liir(golden):
    case = golden("liir_mast")
    labels = torch.from_numpy(case["test_out_R12"][0])
    masks = decode_masks(labels, range(1, len(labels)), PropagationProtocol.named("liir"), (96, 96))
    np.testing.assert_array_equal(masks, case["test_pred"][0])


def test_heat_maps_of_vfs(golden):
    case = golden("jhmdb_pck")
    heatmaps = encode_keypoints(case["enc_points"], (60, 80), (60, 80), joints(keypoint_sigma=float(case["enc_sigma"])))
    np.testing.assert_allclose(heatmaps, case["enc_heatmaps"], atol=1e-6)


def test_joints_of_vfs(golden):
    case = golden("jhmdb_pck")
    for topk, name in ((5, "dec_coords"), (1, "dec_coords_top1")):
        for frame, heatmaps in enumerate(torch.from_numpy(case["dec_heatmaps"])):
            found = decode_keypoints(heatmaps, (60, 80), joints(keypoint_topk=topk))
            np.testing.assert_allclose(found, case[name][:, :, frame].T, atol=1e-4)


EVERY = []
for name, source in PropagationProtocol.sources().items():
    EVERY += [(name, benchmark) for benchmark in source.values if benchmark != "jhmdb"]


@pytest.mark.sampled(4, 3)
@pytest.mark.parametrize(("name", "benchmark"), EVERY)
def test_every_protocol_takes_masks_of_every_size(name, benchmark):
    """A cell's label is the id of an object that the mask has near the cell's place."""
    rules = PropagationProtocol.named(name, benchmark)
    for size in ((71, 333), (240, 320), (540, 960), (674, 1200), (64, 1920)):  # of YouTube-VOS and VIP but the first
        _, (height, width), covered = input_sizes(size, rules, multiple=rules.feature_stride)
        grid = -(-height // rules.feature_stride), -(-width // rules.feature_stride)
        mask = torch.zeros(covered, dtype=torch.uint8)
        mask[covered[0] // 2 :] += 1
        mask[:, covered[1] // 2 :] += 2
        labels = encode_masks(mask, [1, 2, 3], grid, rules)
        corners = labels[:, [0, 0, -1, -1], [0, -1, 0, -1]].argmax(0)
        assert (labels.shape, corners.tolist()) == ((4, *grid), [0, 2, 1, 3])
        assert abs((labels.argmax(0) == 3).float().mean() - 0.25) < 1 / min(grid)
        frame = torch.zeros(3, *size)
        assert decode_masks(labels, [1, 2, 3], rules, covered, size, frame).shape == size
