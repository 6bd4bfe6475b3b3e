"""Log-sum-exps over negatives, each way of choosing them: all products stored, gradients, tiles, draws, precision."""

import pytest
import torch
import torch.nn.functional as F

from vidcorr.functional import negatives
from vidcorr.functional.negatives import drawn_cells, per_query_logsumexp, same_place_logsumexp, shared_logsumexp

WAYS = ("shared", "per_query", "same_place-exclude", "same_place-zero")


def case():
    """Query, stored maps and videos to leave out; nothing is left for the last sample."""
    query = torch.randn(3, 4, 5, 9, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(4, 4, 5, 9, dtype=torch.float64)
    excluded = torch.rand(3, 4) < 0.4
    excluded[:, 0], excluded[-1] = False, True
    return query, maps, excluded


def found(way, query, maps, excluded):
    name, _, border = way.partition("-")
    if name == "shared":
        return shared_logsumexp(query, maps[:, :, 1, 2], excluded)
    if name == "per_query":
        return per_query_logsumexp(query, maps, 3, 11, excluded)
    return same_place_logsumexp(query, maps, 2, border, excluded)


def plain(way, query, maps, excluded):
    """All products stored, of each frame `(B, N, K, h, w)`."""
    name, _, border = way.partition("-")
    height, width = maps.shape[2:]
    outside = torch.zeros(1, dtype=torch.bool)
    cells = maps[:, :, None, 1:2, 2:3].expand(-1, -1, 1, height, width)
    if name == "per_query":
        drawn = drawn_cells(11, slice(0, len(maps)), 3, height * width, height * width)
        rows = maps.movedim(1, -1).flatten(0, 2)[drawn].unflatten(1, (len(maps), 3))
        cells = rows.permute(1, 3, 2, 0).unflatten(3, (height, width))
    elif name == "same_place":
        cells = F.unfold(maps, 5, padding=2).view(len(maps), maps.shape[1], 25, height, width)
        outside = F.unfold(torch.ones_like(maps[:1, :1]), 5, padding=2).view(25, height, width) == 0
    products = torch.einsum("bchw,nckhw->bnkhw", query, cells)
    if border == "exclude":
        products = products.masked_fill(outside, -torch.inf)
    return products.masked_fill(excluded[:, :, None, None, None], -torch.inf).flatten(1, 2).logsumexp(1)


@pytest.mark.parametrize("budget", [1, 1 << 14])
@pytest.mark.parametrize("way", WAYS)
def test_sums_and_gradients_are_those_of_all_products_whatever_the_chunks(monkeypatch, way, budget):
    monkeypatch.setitem(negatives.NUMBERS_AT_ONCE, "cpu", budget)
    query, maps, excluded = case()
    upstream = torch.randn(2, 5, 9, dtype=torch.float64)
    sums = [function(way, query, maps, excluded) for function in (found, plain)]
    torch.testing.assert_close(*sums)
    assert sums[0][-1].isneginf().all()
    gradients = [torch.autograd.grad((each[:-1] * upstream).sum(), query)[0] for each in sums]
    torch.testing.assert_close(gradients[0], gradients[1].nan_to_num())


@pytest.mark.parametrize("way", WAYS)
def test_large_products_and_half_precision(way):
    query, maps, excluded = case()
    assert found(way, 1000 * query, maps, excluded)[:-1].isfinite().all()
    half, low = query.detach().bfloat16(), maps.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = found(way, half, low, excluded)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, found(way, half.float(), low.float(), excluded))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_seen(value):
    query, maps = torch.randn(2, 8, 3, 3), torch.randn(20, 3, 3, 8).movedim(3, 1)
    query[0, 0, 0, 0] = value
    sums = per_query_logsumexp(query, maps, 2, 0)
    assert not sums[0, 0, 0].isfinite()
    assert sums.isfinite().sum() == 17
    maps[7] = value
    assert not per_query_logsumexp(query, maps, 2, 0).isfinite().any()
