"""A guided filter against its definition, and masks decoded by it."""

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from tests.helpers.refusal import refused
from vidcorr.functional import decode_masks
from vidcorr.functional.propagation.coding import upsampled_argmax
from vidcorr.functional.propagation.guidance import GuidedFilter
from vidcorr.functional.propagation.resizing import resize_maps
from vidcorr.metrics import jaccard, object_outlines
from vidcorr.protocols import PropagationProtocol

GUIDED = PropagationProtocol.named("vfs", "davis", {"decoding_guidance": 0.1})


def by_definition(frame, values, radius, epsilon):
    """Return the filtered map: the mean, over all windows of a pixel, of the windows' ridge regressions on colour."""
    _, height, width = frame.shape
    windows = {}
    for y, x in product(range(height), range(width)):
        inside = np.s_[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        colours = frame[:, *inside].reshape(3, -1)
        targets = values[inside].ravel()
        centred = colours - colours.mean(1, keepdims=True)
        covariance = centred @ centred.T / colours.shape[1] + epsilon * np.eye(3)
        slope = np.linalg.solve(covariance, centred @ (targets - targets.mean()) / colours.shape[1])
        windows[y, x] = np.append(slope, targets.mean() - slope @ colours.mean(1))
    filtered = np.zeros((height, width))
    for y, x in product(range(height), range(width)):
        near = [windows[p] for p in windows if abs(p[0] - y) <= radius and abs(p[1] - x) <= radius]
        filtered[y, x] = np.mean(near, axis=0) @ [*frame[:, y, x], 1]
    return filtered


def test_the_filter_on_a_grid_of_pixels_is_the_papers():
    generator = torch.Generator().manual_seed(0)
    frame = torch.rand(3, 9, 12, generator=generator)
    values = torch.rand(9, 12, generator=generator)
    found = GuidedFilter(frame, radius=2 / 9, radius_in_cells=2, epsilon=1e-2)(values)
    expected = by_definition(frame.double().numpy(), values.double().numpy(), 2, 1e-2)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_winner_is_the_largest_of_the_filtered_channels():
    """Channels are compared with the background before the filter, which is linear."""
    frame, _ = disc_frame(2)
    labels = torch.rand(4, 12, 20, generator=torch.Generator().manual_seed(0))
    guide = GuidedFilter(frame, radius=0.1, radius_in_cells=3, epsilon=1e-3)
    filtered = torch.stack([guide(value) for value in resize_maps(labels, (96, 160), "bilinear")])
    runner_up, largest = filtered.sort(0).values[-2:]
    clear = largest - runner_up > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(upsampled_argmax(labels, (96, 160), guide=guide)[clear], filtered.argmax(0)[clear].byte())


def disc_frame(objects=1):
    """Return a frame (3, 96, 160) with discs of one colour each, and their ids."""
    y, x = torch.meshgrid(torch.arange(96), torch.arange(160), indexing="ij")
    ids = torch.zeros(96, 160, dtype=torch.long)
    for number in range(1, objects + 1):
        ids[(y - 48) ** 2 + (x - 50 * number) ** 2 < 20**2] = number
    colours = torch.tensor([[40, 90, 60], [200, 60, 50], [50, 80, 220]], dtype=torch.uint8)
    return colours[ids].permute(2, 0, 1), ids


def test_padding_is_cut_and_a_missing_frame_refused():
    frame, ids = disc_frame()
    labels = F.one_hot(F.pad(ids, (0, 8, 0, 16))[4::8, 4::8], 2).permute(2, 0, 1).float()
    mask = decode_masks(labels, [1], GUIDED, (112, 168), (96, 160), frame)
    assert mask.shape == ids.shape
    assert jaccard(*(object_outlines(each, [1])[1] for each in (mask, ids))) > 0.95
    refused(ValueError, "decodes labels by their frame", decode_masks, labels, [1], GUIDED, (112, 168))
