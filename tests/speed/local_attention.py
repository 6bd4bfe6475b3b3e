"""Time and memory of Liir's reconstruction, forward and backward, against two plain forms, in one process.

python tests/speed/local_attention.py                       # 64 × 64, C 64, R 6, 3 references, batch 2
python tests/speed/local_attention.py --batch 12 --only tiles --repeats 1
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional.compactness import CompactnessPrior
from lightning_modules.functional.reconstruction import reconstruct_locally
from tests.helpers.memory import peak_of
from tests.speed.table import row


def by_unfolding(query: Tensor, references: Tensor, values: Tensor, radius: int) -> Tensor:
    """Every window copied out, as one batch over places."""
    side, (batch, count, channels, height, width) = 2 * radius + 1, references.shape
    keys = F.unfold(references.flatten(0, 1), side, padding=radius).view(batch, count, channels, -1, height * width)
    logits = (query.flatten(2)[:, None, :, None] * keys).sum(2).flatten(1, 2)
    inside = F.unfold(torch.ones_like(query[:1, :1]), side, padding=radius).repeat(1, count, 1) > 0
    weights = logits.masked_fill(~inside, -torch.inf).softmax(1).view(batch, count, 1, -1, height * width)
    colours = F.unfold(values.flatten(0, 1), side, padding=radius).view(batch, count, -1, side**2, height * width)
    return (weights * colours).sum((1, 3)).view(batch, -1, height, width)


def by_shifts(query: Tensor, references: Tensor, values: Tensor, radius: int) -> Tensor:
    """One product of whole maps for each offset."""
    height, width = query.shape[2:]
    padded, colours = (F.pad(maps, (radius,) * 4) for maps in (references, values))
    inside = F.pad(torch.ones_like(query[:1, :1], dtype=torch.bool), (radius,) * 4)
    offsets = [(y, x) for y in range(2 * radius + 1) for x in range(2 * radius + 1)]
    logits = []
    for y, x in offsets:
        product = (query[:, None] * padded[..., y : y + height, x : x + width]).sum(2)
        logits.append(product.masked_fill(~inside[..., y : y + height, x : x + width], -torch.inf))
    weights = torch.stack(logits, 2).flatten(1, 2).softmax(1).unflatten(1, (-1, len(offsets)))
    windows = (colours[..., y : y + height, x : x + width] for y, x in offsets)
    return sum(weights[:, :, n, None] * window for n, window in enumerate(windows)).sum(1)  # type: ignore[union-attr]


def gradients(form: Callable[..., Tensor], maps: list[Tensor], upstream: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(form(*maps), maps[:2], upstream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--radius", type=int, default=6)
    parser.add_argument("--references", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=["unfold", "shifts", "tiles", "tiles, compactness"])
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = options.channels, options.size, options.size
    query = torch.randn(options.batch, *shape, device=device).div_(2).requires_grad_()
    references = torch.randn(options.batch, options.references, *shape, device=device).div_(2).requires_grad_()
    colours = torch.rand(options.batch, options.references, 1, *shape[1:], device=device)
    upstream = torch.randn(options.batch, 1, *shape[1:], device=device)

    def tiles(q: Tensor, r: Tensor, v: Tensor) -> Tensor:
        return reconstruct_locally(q, r, v, options.radius).values

    def compact(q: Tensor, r: Tensor, v: Tensor) -> Tensor:
        found = reconstruct_locally(q, r, v, options.radius, prior=CompactnessPrior())
        return found.values + found.compactness

    every: dict[str, Callable[..., Tensor]] = {
        "unfold": lambda q, r, v: by_unfolding(q, r, v, options.radius),
        "shifts": lambda q, r, v: by_shifts(q, r, v, options.radius),
        "tiles": tiles,
        "tiles, compactness": compact,
    }
    forms = {name: form for name, form in every.items() if name in options.only}
    maps = [query, references, colours]
    print(f"{device}, {torch.get_num_threads()} threads, batch {options.batch}, {options.references} references")
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.repeats + 1):
        for name, form in forms.items():
            start = perf_counter()
            gradients(form, maps, upstream)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(perf_counter() - start)
    ours = seconds.get("tiles", seconds[next(iter(forms))])[1:]
    for name, form in forms.items():
        times = seconds[name][1:]
        peak = peak_of(lambda form=form: gradients(form, maps, upstream))
        print(
            f"{name:19s} min {min(times):7.3f} s  median {median(times):7.3f} s  {peak / 1e6:8.1f} MB  "
            f"tiles are ×{min(times) / min(ours):.1f} (median ×{median(times) / median(ours):.1f})"
        )
        if name in ("unfold", "shifts"):
            row(f"reconstruction, forward and backward, against {name}", min(times), min(ours))
    if {"unfold", "tiles"} <= forms.keys():
        found = zip(gradients(tiles, maps, upstream), gradients(every["unfold"], maps, upstream), strict=True)
        print("largest difference of gradients, relative:", *(f"{((a - b).norm() / b.norm()):.1e}" for a, b in found))


if __name__ == "__main__":
    main()
