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


SHAPES = [
    (1, 64, (4, 5), 300, 4),
    (4, 64, (3, 3), 1, 1),
    (3, 5, (2, 7), 40, 3),
    (2, 200, (3, 2), 9, 2),
    (5, 17, (1, 1), 6, 1),
]


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("samples", "channels", "size", "maps", "points"), SHAPES)
@pytest.mark.usefixtures("compiled", "each_kernel")
def test_the_compiled_pass_is_that_of_float64(stored, samples, channels, size, maps, points):
    """Shapes of whole and of cut blocks, registers and pairs of queries; the videos of some maps are left out."""
    generator = torch.Generator().manual_seed(channels)
    query = torch.randn(samples, channels, *size, generator=generator)
    query *= 8 / channels**0.5  # the largest logit is about 30: few cells take most of the softmax
    features = torch.randn(maps, *size, channels, generator=generator).to(stored).movedim(3, 1)
    excluded = torch.rand(samples, maps, generator=generator) < 0.2
    excluded[0] = samples > 1
    upstream = torch.randn(samples, *size, generator=generator)
    found = []
    for queries, stored_maps in ((query, features), (query.double(), features.double())):
        queries = queries.clone().requires_grad_()
        sums = per_query_logsumexp(queries, stored_maps, points, 2**32 - 1, excluded)
        empty = sums.isneginf()
        (sums.masked_fill(empty, 0) * upstream).sum().backward()
        found.append((sums.detach(), queries.grad, empty))
    (sums, gradient, empty), (expected, expected_gradient, expected_empty) = found
    assert torch.equal(empty, expected_empty)
    finite = ~empty
    assert ((sums[finite] - expected[finite]).abs() <= 1e-6 * expected[finite].abs().max()).all()
    assert (gradient - expected_gradient).norm() <= 1e-6 * expected_gradient.norm()
    threads = torch.get_num_threads()
    torch.testing.assert_close(sums, by_two_threads(query, features, points, excluded, threads), rtol=0, atol=0)


def by_two_threads(query, features, points, excluded, threads):
    """The same sums, shared out to another number of threads."""
    torch.set_num_threads(3 - min(threads, 2))
    try:
        return per_query_logsumexp(query, features, points, 2**32 - 1, excluded)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("compiled", "each_kernel")
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_seen(value):
    query, maps = torch.randn(2, 8, 3, 3), torch.randn(20, 3, 3, 8).movedim(3, 1)
    query[0, 0, 0, 0] = value
    sums = per_query_logsumexp(query, maps, 2, 0)
    assert not sums[0, 0, 0].isfinite()
    assert sums.isfinite().sum() == 17
    maps[7] = value
    assert not per_query_logsumexp(query, maps, 2, 0).isfinite().any()
