"""Similarity, decoding and the best pixels against the peers' numbers and against loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vidcorr.functional.points import matching

DECODINGS = {
    "tapir_temperature20_radius5_cells": ("soft_argmax", 1 / 20, 5),
    "fomo_softmax1_radius16_cells": ("soft_argmax", 1.0, 16),
    "fomo_zero_shot_cells": ("argmax",),
}


@pytest.mark.parametrize("name", DECODINGS)
def test_places_are_those_of_the_peers(peers, name):
    positions = matching.decode_positions(torch.from_numpy(peers["cosine"]), *DECODINGS[name])
    np.testing.assert_allclose(positions.numpy(), peers[name], atol=2e-5)


def test_cosines_and_sampling_are_fomos(peers):
    tokens = torch.from_numpy(peers["fomo_cost_tokens"])[0]
    queries = torch.from_numpy(peers["fomo_cost_queries"])[0]
    for t, features in enumerate(tokens):
        found = matching.similarity_maps(queries, features)
        np.testing.assert_allclose(found, peers["fomo_cost_volume"][0, t], atol=1e-6)
    height, width = peers["fomo_sample_input_hw"]
    for (t, x, y), expected in zip(peers["fomo_sample_queries_txy"][0], peers["fomo_sample_features"][0], strict=True):
        features = tokens[int(t)]
        positions = torch.tensor([[x / width * features.shape[2], y / height * features.shape[1]]])
        np.testing.assert_allclose(matching.sample_features(features, positions)[0], expected, atol=1e-6)


def test_an_expectation_less_the_own_centre_is_gmrws_flow(peers):
    affinity = torch.from_numpy(peers["gmrw_affinity"])[0]
    height, width = affinity.shape[:2]
    logits = affinity.flatten(0, 1).log()
    assert matching.cell_centres(height, width, torch.device("meta")).is_meta
    own = matching.cell_centres(height, width)
    for decoding, name in (("expectation", "weighted_sum"), ("argmax", "argmax")):
        flow = (matching.decode_positions(logits, decoding, 1.0) - own).view(height, width, 2)
        np.testing.assert_allclose(flow.numpy(), peers[f"gmrw_flow_{name}"][0], atol=1e-4)


SQUARES = [(32, 256), (19, 266), (128, 256), (3, 24), (16, 17), (16, 40)]
OBLONGS = [((19, 40), (152, 320)), ((40, 19), (320, 152)), ((30, 53), (60, 106)), ((20, 30), (160, 60))]
"""Cells and pixels, by height and width; cells of the last are 8 px high and 2 px wide."""


@pytest.mark.parametrize(
    ("cells", "pixels"), [*(((cells,) * 2, (pixels,) * 2) for cells, pixels in SQUARES), *OBLONGS], ids=str
)
def test_the_best_pixels_are_those_of_the_enlarged_map(cells, pixels):
    noise = torch.rand(20, *cells)
    maps = torch.cat([noise, noise**30, F.avg_pool2d(noise**60, 5, 1, 2)])
    values, centres = matching.best_pixels(maps, *pixels, 5)
    enlarged = F.interpolate(maps[None], pixels, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(values, enlarged.flatten(1).topk(5).values, atol=2e-6, rtol=1e-5)
    y, x = (centres[..., axis].long() for axis in (1, 0))
    assert (centres % 1 == 0.5).all()
    torch.testing.assert_close(enlarged[torch.arange(len(maps))[:, None], y, x], values, atol=2e-6, rtol=1e-5)
    assert all(len(set(positions)) == 5 for positions in (y * pixels[1] + x).tolist())


def test_more_pixels_than_the_evaluated_squares_hold():
    maps = torch.rand(2, 20, 20)
    values, _ = matching.best_pixels(maps, 40, 40, 100)
    enlarged = F.interpolate(maps[None], (40, 40), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(values, enlarged.flatten(1).topk(100).values)


def test_the_best_cells_are_weighted_by_their_softmax():
    similarities, centres = torch.randn(3, 5, 7), matching.cell_centres(5, 7)
    found = matching.decode_positions(similarities, "topk", 0.3, topk=4)
    values, cells = similarities.flatten(1).sort(descending=True)
    weights = (values[:, :4] / 0.3).softmax(1)
    torch.testing.assert_close(found, (weights[..., None] * centres[cells[:, :4]]).sum(1))
