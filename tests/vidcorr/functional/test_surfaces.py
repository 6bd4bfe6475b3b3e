"""Dense matches with the ratio weight, and their errors, by golden/pairs3d."""

import numpy as np
import pytest
import torch

from tests.helpers.references import golden
from vidcorr.functional import device
from vidcorr.functional.surfaces import match_surfaces


def by_source(matches):
    order = matches[0].argsort()
    return [values[order].numpy() for values in matches]


def test_few_cells_are_all_matched():
    case = golden("pairs3d/navi")
    maps = [torch.from_numpy(case[f"few_feats{v}"]) for v in (0, 1)]
    cells = [torch.from_numpy(case[f"few_xyz{v}"][2] > 0) for v in (0, 1)]
    source, target, weight = by_source(match_surfaces(*maps, *cells, "bicubic", 1000))
    np.testing.assert_array_equal(source, case["few_src"])
    np.testing.assert_array_equal(target, case["few_trg"])
    np.testing.assert_allclose(weight, case["few_weight"], atol=5e-5)


@pytest.mark.parametrize("size", [(6, 4), (130, 70)], ids=["few", "many"])
@pytest.mark.parametrize("sampling", ["bicubic", "bilinear-zero"])
def test_the_search_is_that_of_the_sampled_features(sampling, size, monkeypatch):
    """Products of the maps' cells, sampled, are the products of the sampled features; part by part."""
    torch.manual_seed(0)
    source, target = torch.randn(64, 5, 7), torch.randn(64, *size)
    cells = [torch.rand(12, 15) > 0.4, torch.rand(13, 10) > 0.4]
    sampled = []
    for features, where in zip((source, target), cells, strict=True):
        if sampling == "bicubic":
            grid = torch.nn.functional.interpolate(features[None], where.shape, mode="bicubic")[0]
        else:
            y, x = (((torch.arange(n) + 0.5) / n * 2 - 1) for n in where.shape)
            at = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
            grid = torch.nn.functional.grid_sample(features[None], at[None], align_corners=False)[0]
        sampled.append(torch.nn.functional.normalize(grid.flatten(1)[:, where.flatten()].double(), dim=0))
    values, index = (sampled[0].T @ sampled[1]).topk(2, dim=1)
    nearest, second = (1 - values).clamp(min=1e-9).T
    monkeypatch.setattr(device, "WORKSPACE", 64 * 130 * 3)
    found, target_cells, weight = by_source(match_surfaces(source, target, *cells, sampling, 10**6))
    np.testing.assert_array_equal(found, cells[0].flatten().nonzero()[:, 0])
    np.testing.assert_array_equal(target_cells, cells[1].flatten().nonzero()[index[:, 0], 0])
    np.testing.assert_allclose(weight, 1 - nearest / second, atol=1e-4)
