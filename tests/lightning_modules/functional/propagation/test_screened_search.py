"""The compiled search finds what the search by torch finds, whatever its sketches rule out."""

import ctypes
import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.functional.propagation import screened_search
from lightning_modules.functional.propagation.attention import LocalAttention
from lightning_modules.functional.propagation.screened_search import SWITCH, SketchedKeys, library
from lightning_modules.functional.propagation.tiles import Neighbourhood

pytestmark = pytest.mark.skipif(library() is None, reason="the installation compiled no search")


def features_of(slots: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth maps that differ from frame to frame, of a few strong components: (S, h, w, C), normalised."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.linspace(0, -6, channels).exp()
    still = torch.randn(1, channels, height, width, generator=generator)
    noise = torch.randn(slots, channels, height, width, generator=generator) * 0.2
    maps = F.avg_pool2d(still, 3, 1, 1) + noise
    return F.normalize(maps.permute(0, 2, 3, 1) * scales, dim=3).contiguous()


def sketched(maps: Tensor) -> SketchedKeys:
    """Return sketches of all slots but the last, which is the query."""
    keys = maps[:-1].permute(1, 2, 0, 3).contiguous()
    sketches = SketchedKeys(keys, maps[0])
    for slot in range(keys.shape[2]):
        sketches.write(slot, maps[slot])
    return sketches


def assert_same(
    maps: Tensor, references: list[int], neighbourhood: Neighbourhood, topk: int, sketches: SketchedKeys | None = None
) -> None:
    """Compare values and places with the search by torch; places only where products are clearly apart."""
    keys = maps[:-1].permute(1, 2, 0, 3).contiguous()
    sketches = sketches or sketched(maps)
    values, places = sketches.search(maps[-1], references, neighbourhood, topk)
    plain_values, plain_places = LocalAttention(neighbourhood).best_matches(maps[-1], keys, references, topk)
    missing = topk - plain_values.shape[2]
    plain_values = F.pad(plain_values, (0, missing), value=-torch.inf)
    plain_places = F.pad(plain_places, (0, missing))
    torch.testing.assert_close(values.sort(2).values, plain_values.sort(2).values, atol=2e-6, rtol=0)
    products = torch.einsum("hwc,hwkc->hwk", maps[-1], keys.flatten(0, 2)[places])
    torch.testing.assert_close(
        products.masked_fill(values == -torch.inf, -torch.inf), values, atol=2e-6, rtol=0, msg="a place is not its own"
    )
    same = (places.sort(2).values == plain_places.sort(2).values).all(2)
    assert same.float().mean() > 0.99


@pytest.mark.parametrize("shape", ["circle", "disc", "square"])
def test_all_neighbourhoods(shape: str) -> None:
    for radius in (1.0, 2.5, 40.0, None):
        assert_same(features_of(5, 96, 13, 22), [0, 1, 2, 3], Neighbourhood(radius, shape), 10)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 61), (17, 5)])
def test_all_sizes(size: tuple[int, int]) -> None:
    for channels in (3, 63, 64, 65, 130):
        assert_same(features_of(4, channels, *size), [0, 1, 2], Neighbourhood(5.0), 7)


@pytest.mark.parametrize("variant", ["avx512", "avx2"])
def test_each_processor_gets_the_same_digits(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec(f"lightning_modules.functional.propagation.compiled_{variant}")
    runs = ["AVX2", "AVX512"] if variant == "avx2" else ["AVX512"]
    if spec is None or spec.origin is None or torch.backends.cpu.get_cpu_capability() not in runs:
        pytest.skip(f"not compiled, or not a processor with {variant}")
    maps = features_of(5, 96, 13, 22)
    expected, _ = sketched(maps).search(maps[-1], range(4), Neighbourhood(6.0), 10)
    built = ctypes.CDLL(spec.origin)
    monkeypatch.setattr(screened_search, "library", lambda: built)
    assert_same(maps, [0, 1, 2, 3], Neighbourhood(6.0), 10)
    values, _ = sketched(maps).search(maps[-1], range(4), Neighbourhood(6.0), 10)
    assert torch.equal(values.sort(2).values, expected.sort(2).values)


def test_it_runs_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert screened_search.compiled_search_runs()
    monkeypatch.setenv(SWITCH, "0")
    assert not screened_search.compiled_search_runs()
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(screened_search, "library", lambda: None)
    assert not screened_search.compiled_search_runs()


def test_raw_features_of_any_norm() -> None:
    norms = torch.rand(5, 12, 15, 1, generator=torch.Generator().manual_seed(3)) * 3
    maps, neighbourhood = features_of(5, 100, 12, 15) * norms, Neighbourhood(5.0)
    values, _ = sketched(maps).search(maps[-1], range(4), neighbourhood, 10)
    keys = maps[:-1].permute(1, 2, 0, 3).contiguous()
    plain, _ = LocalAttention(neighbourhood).best_matches(maps[-1], keys, range(4), 10)
    torch.testing.assert_close(values.sort(2).values, plain.sort(2).values, atol=2e-5, rtol=0)


def test_sketches_of_other_features_change_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, neighbourhood = features_of(5, 200, 12, 15), Neighbourhood(5.0)
    values, places = sketched(maps).search(maps[-1], range(4), neighbourhood, 10)
    monkeypatch.setattr(screened_search, "_basis", lambda features, size: torch.eye(200)[:, -size:].contiguous())
    other = sketched(maps)
    for _ in range(3):
        other_values, other_places = other.search(maps[-1], range(4), neighbourhood, 10)
        assert torch.equal(other_values.sort(2).values, values.sort(2).values)
        assert torch.equal(other_places.sort(2).values, places.sort(2).values)


def test_sketches_that_rule_out_little_are_made_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screened_search, "TOO_MANY", 0)
    maps = features_of(5, 150, 12, 15)
    sketches = sketched(maps)
    lengths = [sketches._sketches.shape[2]]
    for _ in range(4):
        assert_same(maps, [0, 1, 2, 3], Neighbourhood(5.0), 10, sketches)
        lengths.append(sketches._sketches.shape[2])
    assert lengths == [2, 4, 5, 5, 5]


@pytest.mark.parametrize("where", ["query", "key"])
def test_a_nan_is_found(where: str) -> None:
    maps = features_of(3, 80, 10, 10)
    maps[-1 if where == "query" else 0, 5, 5, 3] = torch.nan
    sketches = sketched(maps)
    values, _ = sketches.search(maps[-1], [0, 1], Neighbourhood(3.0), 5)
    assert values[5, 5].isnan().any()
    assert sketches._largest > 0.9  # on which the margin for rounding rests
    assert values[0, 0].isfinite().all()


@pytest.mark.parametrize("threads", [2, 7])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = features_of(5, 96, 29, 14)
    one = sketched(maps).search(maps[-1], range(4), Neighbourhood(6.0), 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    several = sketched(maps).search(maps[-1], range(4), Neighbourhood(6.0), 10)
    assert all(torch.equal(a, b) for a, b in zip(one, several, strict=True))
