import numpy as np
import pytest
import torch

from lightning_modules.functional import (
    PropagationProtocol,
    decode_keypoints,
    decode_masks,
    encode_keypoints,
    encode_masks,
    propagate_labels,
)
from tests.helpers.plain_masks import plain_decode
from tests.helpers.refusal import refused


def by(**fields):
    return PropagationProtocol("x", context=1, topk=1, temperature=1.0, radius=None, **fields)


def test_strided_labels_are_those_of_liir(golden):
    case = golden("liir_mast")
    labels = encode_masks(case["lab_onehot_in"][0, 0], range(1, 7), (25, 25), by(label_encoding="strided"))
    np.testing.assert_array_equal(labels, case["lab_onehot_out"][0])


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("size", [(9, 11), (47, 83), (5, 6)])
@pytest.mark.parametrize("count", [1, 2, 5, 255])
def test_masks_are_those_of_a_plain_argmax(count, size, rescale):
    labels = torch.rand(count, 9, 11).softmax(0)
    labels[count // 2] = 0.0  # an object that is nowhere, and ties with others that are zero
    labels[-1] = labels[0]
    before = labels.clone()
    masks = decode_masks(labels, range(1, count), by(label_rescaling=rescale), size)
    assert torch.equal(masks, plain_decode(labels, size, rescale))
    assert torch.equal(labels, before)


@pytest.mark.parametrize("number", [0, 1])
def test_masks_of_dino(golden, number):
    case = golden("propagation_dino")
    soft, hard, patch = (case[f"c{number}_{name}"] for name in ("out", "hard", "patch"))
    dino = PropagationProtocol.named("dino").with_changes(feature_stride=int(patch))
    for labels, mask in zip(torch.from_numpy(soft[1:]), hard, strict=True):
        np.testing.assert_array_equal(decode_masks(labels, range(1, len(labels)), dino, mask.shape), mask)


def test_masks_of_liir(golden):
    case = golden("liir_mast")
    labels = torch.from_numpy(case["test_out_R12"][0])
    masks = decode_masks(labels, range(1, len(labels)), PropagationProtocol.named("liir"), (96, 96))
    np.testing.assert_array_equal(masks, case["test_pred"][0])


@pytest.mark.parametrize(
    ("mask", "objects", "size", "words"),
    [
        (torch.zeros(4, 4), [1], (2, 2), "integer ids"),
        (torch.zeros(1, 4, 4, dtype=torch.long), [1], (2, 2), r"\(1, 4, 4\)"),
        (torch.zeros(4, 4, dtype=torch.long), [0, 1], (2, 2), "background"),
        (torch.zeros(4, 4, dtype=torch.long), [2, 2], (2, 2), "different"),
        (torch.zeros(4, 4, dtype=torch.long), range(1, 256), (2, 2), "254 objects"),
        (torch.zeros(10, 10, dtype=torch.long), [1], (7, 7), "5 x 5"),
    ],
)
def test_bad_masks(mask, objects, size, words):
    assert refused(ValueError, words, lambda: encode_masks(mask, objects, size, by(label_encoding="strided")))


def test_heat_maps_of_vfs(golden):
    case = golden("jhmdb_pck")
    heatmaps = encode_keypoints(case["enc_points"], (60, 80), (60, 80), by(keypoint_sigma=float(case["enc_sigma"])))
    np.testing.assert_allclose(heatmaps, case["enc_heatmaps"], atol=1e-6)


def test_joints_of_vfs(golden):
    case = golden("jhmdb_pck")
    for topk, name in ((5, "dec_coords"), (1, "dec_coords_top1")):
        for frame, heatmaps in enumerate(torch.from_numpy(case["dec_heatmaps"])):
            found = decode_keypoints(heatmaps, (60, 80), by(keypoint_topk=topk))
            np.testing.assert_allclose(found, case[name][:, :, frame].T, atol=1e-4)


def test_a_joint_off_the_picture_is_nowhere():
    heatmaps = encode_keypoints(torch.tensor([[-100.0, 5.0]]), (48, 64), (6, 8), by())
    assert heatmaps.sum() == 0
    assert decode_keypoints(heatmaps, (48, 64), by()).tolist() == [[-1.0, -1.0]]


def leaving(seed, frames=12, leaves=6):
    """Features of an object that moves over a background and is gone from frame `leaves` on, and its cells."""
    generator = torch.Generator().manual_seed(seed)
    background = torch.randn(32, 16, 24, generator=generator)
    colour = torch.randn(32, 1, 1, generator=generator)
    cells = torch.zeros(frames, 16, 24, dtype=torch.bool)
    for t in range(leaves):
        cells[t, 5:11, 2 + 3 * t : 8 + 3 * t] = True
    noise = 0.2 * torch.randn(frames, 32, 16, 24, generator=generator)
    return torch.where(cells[:, None], colour, background) + noise, cells


@pytest.mark.parametrize("seed", [1, 2])
def test_an_object_that_has_left_leaves_false_pixels_under_vfs_and_none_under_vidcorr(seed):
    features, cells = leaving(seed)
    ids = cells.repeat_interleave(8, 1).repeat_interleave(8, 2).long()
    masks = {}
    for name in ("vfs", "vidcorr"):
        protocol = PropagationProtocol.named(name)
        first = encode_masks(ids[0], [1], (16, 24), protocol)
        soft = propagate_labels(features, first, protocol)
        masks[name] = torch.stack([decode_masks(labels, [1], protocol, (128, 192)) for labels in soft])
    assert torch.equal(masks["vfs"][:6], masks["vidcorr"][:6])
    assert ((masks["vidcorr"][:6] == ids[:6]).float().mean((1, 2)) > 0.98).all()
    assert (masks["vfs"][6:].sum((1, 2)) > 20).all()
    assert masks["vidcorr"][6:].sum() == 0
