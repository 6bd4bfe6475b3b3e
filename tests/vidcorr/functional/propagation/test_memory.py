"""The native kernel finds what the search by torch finds, whatever its sketches rule out."""

from unittest.mock import Mock, patch

import pytest
import torch
import torch.nn.functional as F

from tests.helpers.propagation import one_hot, protocol, run, video
from vidcorr.functional.propagation import memory as memory_file
from vidcorr.functional.propagation.memory import SWITCH, SketchedMemory, kernel
from vidcorr.functional.propagation.strips import best_matches
from vidcorr.functional.window_tiles import Neighbourhood

pytestmark = pytest.mark.usefixtures("compiled")
CIRCLE = Neighbourhood(5.0)


def features_of(slots, channels, height, width):
    """Smooth maps that differ from frame to frame, of a few strong components: (S, h, w, C), normalised."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.linspace(0, -6, channels).exp()
    still = torch.randn(1, channels, height, width, generator=generator)
    noise = torch.randn(slots, channels, height, width, generator=generator) * 0.2
    maps = F.avg_pool2d(still, 3, 1, 1) + noise
    return F.normalize(maps.permute(0, 2, 3, 1) * scales, dim=3).contiguous()


def sketched(maps, neighbourhood=CIRCLE):
    """All maps but the last as frames 0, 1, … of a memory."""
    memory = SketchedMemory(range(len(maps) - 1), 0, maps[0], neighbourhood)
    for frame in range(len(maps) - 1):
        assert memory.write(frame, maps[frame]) == frame  # its slot
    return memory


def search(maps, memory=None):
    """Sorted products of the best ten matches in all frames."""
    values, _ = (memory or sketched(maps)).best_matches(maps[-1], range(len(maps) - 1), 10)
    return values.sort(2).values


def assert_same(maps, neighbourhood=CIRCLE, sketches=None, atol=2e-6):
    """Compare values and cells with the search by torch; cells only where products are clearly apart."""
    references, keys = range(len(maps) - 1), maps[:-1].permute(1, 2, 0, 3).contiguous()
    values, cells = (sketches or sketched(maps, neighbourhood)).best_matches(maps[-1], references, 10)
    plain_values, plain_cells = best_matches(maps[-1], keys, references, 10, neighbourhood)
    missing = 10 - plain_values.shape[2]
    plain_values, plain_cells = F.pad(plain_values, (0, missing), value=-torch.inf), F.pad(plain_cells, (0, missing))
    torch.testing.assert_close(values.sort(2).values, plain_values.sort(2).values, atol=atol, rtol=0)
    products = torch.einsum("hwc,hwkc->hwk", maps[-1], keys.flatten(0, 2)[cells])
    torch.testing.assert_close(products.masked_fill(values == -torch.inf, -torch.inf), values, atol=atol, rtol=0)
    assert (cells.sort(2).values == plain_cells.sort(2).values).all(2).float().mean() > 0.99


def test_all_sizes_and_norms():
    for size in ((1, 1), (3, 2), (9, 61), (17, 5)):
        for channels in (3, 63, 64, 65, 130):
            assert_same(features_of(4, channels, *size))
    norms = torch.rand(5, 12, 15, 1, generator=torch.Generator().manual_seed(3)) * 3
    assert_same(features_of(5, 100, 12, 15) * norms, atol=2e-5)


def test_each_processor_gets_the_same_digits(monkeypatch):
    built, processor = kernel("avx2"), torch.backends.cpu.get_cpu_capability()
    if built is None or processor != "AVX512":
        pytest.skip(f"not compiled, or {processor} runs one kernel only: a processor with AVX-512 runs two")
    maps = features_of(5, 96, 13, 22)
    expected = search(maps)
    called = Mock(side_effect=built)
    monkeypatch.setattr(memory_file, "_compiled", lambda: called)
    assert torch.equal(search(maps), expected)
    called.assert_called()


def test_it_runs_unless_it_is_turned_off(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    with patch.object(memory_file, "SketchedMemory", wraps=SketchedMemory) as started:
        run(video(), one_hot(2), protocol())
    started.assert_called_once()
    assert kernel("unknown_processor") is None
    monkeypatch.setenv(SWITCH, "0")
    assert kernel() is None


def test_sketches_that_rule_out_little_are_made_longer(monkeypatch):
    monkeypatch.setattr(memory_file, "TOO_MANY", 0)
    maps = features_of(5, 150, 12, 15)
    sketches = sketched(maps)
    for _ in range(4):
        assert_same(maps, sketches=sketches)
    assert sketches._sketches.shape[2] == 5


@pytest.mark.parametrize("where", ["query", "key"])
def test_a_nan_is_found(where):
    maps = features_of(3, 80, 10, 10)
    maps[-1 if where == "query" else 0, 5, 5, 3] = torch.nan
    values = search(maps, sketched(maps, Neighbourhood(3.0)))
    assert values[5, 5].isnan().any()
    assert values[0, 0].isfinite().all()


def test_threads_change_nothing(monkeypatch):
    maps = features_of(5, 96, 29, 14)
    one = search(maps)
    for threads in (2, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert torch.equal(search(maps), one)
