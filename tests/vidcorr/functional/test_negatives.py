"""Log-sum-exps over negatives, each way of choosing them: double loops, gradients, tiles, draws, precision, memory."""

import itertools
import math

import pytest
import torch

from vidcorr.functional import negatives
from vidcorr.functional.negatives import drawn_cells, per_query_logsumexp, same_place_logsumexp, shared_logsumexp

WAYS = ("shared", "per_query", "same_place-exclude", "same_place-zero")


def case(height=5, width=9, samples=3, frames=4, channels=4):
    """Query, stored maps and videos to leave out; nothing is left for the last sample."""
    query = torch.randn(samples, channels, height, width, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(frames, channels, height, width, dtype=torch.float64)
    excluded = torch.rand(samples, frames) < 0.4
    excluded[:, 0], excluded[-1] = False, True
    return query, maps, excluded


def found(way, query, maps, excluded):
    name, _, border = way.partition("-")
    if name == "shared":
        return shared_logsumexp(query, maps[:, :, 1, 2], excluded)
    if name == "per_query":
        return per_query_logsumexp(query, maps, 3, 11, excluded)
    return same_place_logsumexp(query, maps, 2, border, excluded)


def by_loops(way, query, maps, excluded):
    """Place by place, with Python's own exponential."""
    samples, _, height, width = query.shape
    name, _, border = way.partition("-")
    drawn = drawn_cells(11, slice(0, len(maps)), 3, height * width, height * width)
    sums = torch.zeros(samples, height, width, dtype=query.dtype)
    for b, y, x in itertools.product(range(samples), range(height), range(width)):
        cells = []  # (frame, row, column)
        for frame in range(len(maps)):
            if name == "shared":
                cells += [(frame, 1, 2)]
            elif name == "per_query":
                own = drawn[y * width + x, 3 * frame : 3 * frame + 3] - frame * height * width
                cells += [(frame, int(cell) // width, int(cell) % width) for cell in own]
            else:
                cells += [(frame, y + dy, x + dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        for frame, row, column in cells:
            if excluded[b, frame]:
                continue
            if 0 <= row < height and 0 <= column < width:
                sums[b, y, x] += math.exp(query[b, :, y, x] @ maps[frame, :, row, column])
            elif border == "zero":
                sums[b, y, x] += 1.0
    return sums.log()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("budget", [1, 1 << 14])
@pytest.mark.parametrize("way", WAYS)
def test_equals_double_loops_whatever_the_chunks(monkeypatch, way, budget):
    monkeypatch.setitem(negatives.NUMBERS_AT_ONCE, "cpu", budget)
    query, maps, excluded = case()
    result = found(way, query, maps, excluded)
    torch.testing.assert_close(result, by_loops(way, query.detach(), maps, excluded))
    assert result[-1].isneginf().all()


@pytest.mark.parametrize("way", WAYS)
def test_gradient_is_that_of_differences(way):
    query, maps, excluded = case(height=3, width=4, samples=2, frames=3, channels=1)
    excluded[-1] = torch.tensor([True, False, False])
    torch.autograd.gradcheck(lambda query: found(way, query, maps, excluded), query)


@pytest.mark.parametrize("way", WAYS)
def test_large_products_and_half_precision(way):
    query, maps, excluded = case()
    large = found(way, 1000 * query, maps, excluded)
    assert large[:-1].isfinite().all()
    half, low = query.detach().bfloat16(), maps.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = found(way, half, low, excluded)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, found(way, half.float(), low.float(), excluded))


def test_draws_are_those_of_the_trainings_and_do_not_depend_on_the_chunk():
    known = [[1927603, 1270601, 2238250, 2611034], [1864189, 1096582, 2422446, 2629316]]
    assert drawn_cells(11, slice(1, 3), 2, 2, 10**6).tolist() == known
    whole = drawn_cells(3, slice(0, 50), 4, 100, 60)
    torch.testing.assert_close(whole[:, 80:120], drawn_cells(3, slice(20, 30), 4, 100, 60), rtol=0, atol=0)
