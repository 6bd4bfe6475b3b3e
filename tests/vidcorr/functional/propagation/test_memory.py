"""The native kernel finds what the search by torch finds, whatever its sketches rule out."""

import math
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F

from tests.helpers.propagation import one_hot, protocol, run, video
from vidcorr.functional import native
from vidcorr.functional.native import SWITCH
from vidcorr.functional.propagation import memory as memory_file
from vidcorr.functional.propagation.attention import best_matches
from vidcorr.functional.propagation.memory import SketchedMemory, kernel
from vidcorr.functional.window_tiles import Neighbourhood
from vidcorr.protocols import PropagationProtocol

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
    memory = SketchedMemory(range(len(maps) - 1), 0, maps[0], maps[0], neighbourhood)
    for frame in range(len(maps) - 1):
        assert memory.write(frame, maps[frame], maps[frame]) == frame  # its slot
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
    assert (cells.sort(2).values == plain_cells.sort(2).values).all(2).float().mean() > 0.98


def test_all_sizes_and_norms(each_kernel):
    for size in ((1, 1), (3, 2), (9, 61), (17, 5)):
        for channels in (3, 63, 64, 65, 130):
            assert_same(features_of(4, channels, *size))
    norms = torch.rand(5, 12, 15, 1, generator=torch.Generator().manual_seed(3)) * 3
    assert_same(features_of(5, 100, 12, 15) * norms, atol=2e-5)


def powers(least, most, channels):
    """Vectors of random directions with norms of about 10^least to 10^most."""
    exponents = torch.empty(5, 11, 14, 1).uniform_(least, most)
    return torch.randn(5, 11, 14, channels) * 10**exponents / math.sqrt(channels)


def rounded_down(channels):
    """Vectors of one direction, of which the longest lose most by rounding to integers, and the others gain."""
    longest = torch.rand(5, 11, 14, 1) < 0.3
    units = torch.where(longest, 3990.48, 3989.52 + 0.9 * torch.rand(5, 11, 14, 1))
    units[:, 5, 5] = 4000  # the norm of 64 channels, which sets the unit, is then `LARGEST_INTEGER`
    return (units / 32000).expand(-1, -1, -1, channels)


def fading(channels):
    """The same, of which each frame is shorter than the one before."""
    return rounded_down(channels) * 10.0 ** -torch.arange(5)[:, None, None, None]


def cancelling(channels):
    """Vectors whose products are small sums of large numbers."""
    signs = torch.ones(channels)
    signs[channels // 2 :] = -1
    still = 1000 * (torch.ones(5, 11, 14, channels) + 1e-4 * torch.randn(5, 11, 14, channels))
    still[:-1] *= signs
    return still


def with_infinities(channels):
    maps = powers(0, 0, channels)
    maps[1, 3, 4, 0] = torch.inf
    maps[2, 7, 8, 1] = -torch.inf
    maps[-1, 2, 2, 2] = torch.inf
    return maps


HOSTILE = {
    "random": lambda channels: powers(0, 0, channels),
    "smooth": lambda channels: features_of(5, channels, 11, 14),
    "all norms": lambda channels: powers(-30, 15, channels),
    "large": lambda channels: powers(17, 20, channels),
    "tiny": lambda channels: powers(-22, -17, channels),
    "denormal": lambda channels: powers(-44, -37, channels),
    "large against denormal": lambda width: torch.cat([powers(17, 18, width)[:-1], powers(-39, -37, width)[:1]]),
    "denormal against large": lambda width: torch.cat([powers(-39, -37, width)[:-1], powers(17, 18, width)[:1]]),
    "constant": lambda channels: torch.full((5, 11, 14, channels), 0.1),
    "nearly equal": lambda channels: 1 + 1e-6 * torch.randn(5, 11, 14, channels),
    "of a few values": lambda channels: torch.randint(-1, 2, (5, 11, 14, channels)).float(),
    "cancelling": cancelling,
    "rounded down": rounded_down,
    "fading": fading,
    "infinite": with_infinities,
}


@pytest.mark.parametrize("channels", [64, 100])
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.sampled(4, 3)
def test_sketches_change_nothing(kind, channels, each_kernel, monkeypatch):
    """To the bit, as if all products were computed: nothing that belongs to the best is ruled out."""
    torch.manual_seed(0)
    maps = HOSTILE[kind](channels).contiguous()
    ruled = sketched(maps).best_matches(maps[-1], range(4), 10)
    monkeypatch.setattr(SketchedMemory, "_margin", lambda memory: math.inf)
    expected = sketched(maps).best_matches(maps[-1], range(4), 10)
    assert torch.equal(ruled[0].view(torch.int32), expected[0].view(torch.int32))
    assert torch.equal(ruled[1], expected[1])


def test_each_kernel_finds_the_same_digits(monkeypatch):
    maps, found = features_of(5, 96, 13, 22), []
    for name in native.VARIANTS:
        if native.library_of(name).is_file():
            monkeypatch.setattr(native, "VARIANTS", [name])
            found.append(sketched(maps).best_matches(maps[-1], range(4), 10))
            monkeypatch.undo()
    assert len(found) > (native.VARIANTS[0] in ("avx512_vnni", "avx512"))
    for values, cells in found[1:]:
        assert torch.equal(values, found[0][0])
        assert torch.equal(cells, found[0][1])


def test_it_runs_unless_it_is_turned_off(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    with patch("vidcorr.functional.propagation.propagate.SketchedMemory", wraps=SketchedMemory) as started:
        run(video(), one_hot(2), protocol())
    started.assert_called_once()
    monkeypatch.setenv(SWITCH, "0")
    assert kernel() is None
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(native, "VARIANTS", ["unknown_processor"])
    assert kernel() is None


def test_autocast_changes_nothing():
    """The sketches of a frame that is kept without a search bound in full precision."""
    basis = torch.linalg.qr(torch.randn(256, 256))[0][:15]
    still, *changes = torch.randn(7, 30, 40, 15) @ basis
    frames = torch.stack([still + 0.02 * change for change in changes]).permute(0, 3, 1, 2)
    labels, vfs = one_hot(5, 30, 40), PropagationProtocol.named("vfs")
    expected = run(frames, labels, vfs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(frames, labels, vfs), expected)


def test_queries_of_any_memory_layout_find_the_same():
    maps = features_of(5, 40, 12, 15)
    transposed = maps.transpose(1, 3).contiguous().transpose(1, 3)
    assert torch.equal(search(transposed, sketched(maps)), search(maps))


def test_sketches_that_rule_out_little_are_made_longer(each_kernel, monkeypatch):
    monkeypatch.setattr(memory_file, "LENGTHEN_ABOVE_AT_START", 0)
    maps = features_of(5, 150, 12, 15)
    sketches = sketched(maps)
    for _ in range(4):
        assert_same(maps, sketches=sketches)
    assert sketches._sketches.shape[2] == -(-150 // sketches._kernel.chunk)


@pytest.mark.parametrize("where", ["query", "key"])
def test_a_nan_is_found(where, each_kernel):
    maps = features_of(3, 80, 10, 10)
    maps[-1 if where == "query" else 0, 5, 5, 3] = torch.nan
    values = search(maps, sketched(maps, Neighbourhood(3.0)))
    assert values[5, 5].isnan().any()
    assert values[0, 0].isfinite().all()
