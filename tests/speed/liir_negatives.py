"""Time and memory of Liir's negatives, forward and backward, against the form that stores all products, in one process.

python tests/speed/liir_negatives.py                       # 64 × 64 queries, C 64, 5,760 negatives, batch 2
python tests/speed/liir_negatives.py --batch 12 --repeats 1
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional.losses.logsumexp import dot_logsumexp
from tests.helpers.memory import peak_of


def plain(query: Tensor, negatives: Tensor, excluded: Tensor) -> Tensor:
    return (query @ negatives.T).masked_fill(excluded[:, None], -torch.inf).logsumexp(-1)


def gradients(form: Callable[..., Tensor], inputs: list[Tensor], excluded: Tensor, upstream: Tensor) -> list[Tensor]:
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    return list(torch.autograd.grad(form(*inputs, excluded), wanted, upstream))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--places", type=int, default=64 * 64)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--negatives", type=int, default=5760)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    query = torch.randn(options.batch, options.places, options.channels, device=device).div_(3).requires_grad_()
    negatives = torch.randn(options.negatives, options.channels, device=device).div_(3)
    upstream = torch.randn(options.batch, options.places, device=device)
    excluded = torch.rand(options.batch, options.negatives, device=device) < 0.01
    learned = negatives.clone().requires_grad_()
    forms: dict[str, tuple[Callable[..., Tensor], list[Tensor]]] = {
        "plain": (plain, [query, learned]),
        "streamed": (dot_logsumexp, [query, learned]),
        "plain, bank": (plain, [query, negatives]),  # negatives without gradient, as in training
        "streamed, bank": (dot_logsumexp, [query, negatives]),
    }
    print(f"{device}, {torch.get_num_threads()} threads, batch {options.batch}, {options.negatives} negatives")
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.repeats + 1):
        for name, (form, inputs) in forms.items():
            start = perf_counter()
            gradients(form, inputs, excluded, upstream)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(perf_counter() - start)
    for name, (form, inputs) in forms.items():
        times, reference = seconds[name][1:], seconds["plain, bank" if "bank" in name else "plain"][1:]
        peak = peak_of(lambda form=form, inputs=inputs: gradients(form, inputs, excluded, upstream))
        print(
            f"{name:15s} min {1e3 * min(times):7.1f} ms  median {1e3 * median(times):7.1f} ms  "
            f"×{min(reference) / min(times):.2f} (median ×{median(reference) / median(times):.2f})  "
            f"{peak / 1e6:7.1f} MB"
        )
    found = (gradients(*forms[name], excluded, upstream) for name in ("streamed", "plain"))
    differences = (((a - b).norm() / b.norm()).item() for a, b in zip(*found, strict=True))
    print("difference of gradients, relative:", *(f"{difference:.1e}" for difference in differences))


if __name__ == "__main__":
    main()
