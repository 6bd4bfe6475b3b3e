"""Time and memory of InfoNCE, forward and backward, against the plain form that stores all logits, in one process.

python tests/speed/info_nce.py
python tests/speed/info_nce.py --videos 32 --frames 4      # as on each of 8 devices, n = 8
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional import info_nce_loss
from tests.helpers.memory import peak_of
from tests.speed.table import row


def plain(predicted: Tensor, target: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Logits of all pairs, each beside those of the whole queue; a copy of the queue, since it changes in place."""
    positive = predicted @ target.mT
    negative = (predicted @ queue.clone().T)[:, :, None].expand(*positive.shape, -1)
    logits = torch.cat([positive[..., None], negative], dim=-1).flatten(0, 2) / temperature
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=256)
    parser.add_argument("--frames", type=int, default=1, help="n/2")
    parser.add_argument("--queue", type=int, default=65536)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{device}, {torch.get_num_threads()} threads, queue {options.queue}, {options.videos} × {options.frames}")
    for width in options.widths:
        shape = (options.videos, options.frames, width)
        predicted, target = (normalize(torch.randn(shape, device=device), dim=-1) for _ in range(2))
        queue = normalize(torch.randn(options.queue, width, device=device), dim=-1)
        ids = torch.arange(options.queue, device=device) % 10_000
        own = ids == torch.arange(options.videos, device=device)[:, None]
        predicted.requires_grad_()
        forms = {
            "plain": lambda p=predicted, z=target, u=queue: plain(p, z, u, 0.2).backward(),
            "streamed": lambda p=predicted, z=target, u=queue: info_nce_loss(p, z, u, 0.2).backward(),
            "own video masked": lambda p=predicted, z=target, u=queue, e=own: info_nce_loss(p, z, u, 0.2, e).backward(),
        }
        seconds: dict[str, list[float]] = {name: [] for name in forms}
        for _ in range(options.repeats + 1):
            for name, form in forms.items():
                start = perf_counter()
                form()
                if device == "cuda":
                    torch.cuda.synchronize()
                seconds[name].append(perf_counter() - start)
        reference = seconds["plain"][1:]
        for name, form in forms.items():
            times = seconds[name][1:]
            print(
                f"d {width:4d}  {name:17s} min {1e3 * min(times):7.1f} ms  median {1e3 * median(times):7.1f} ms  "
                f"×{min(reference) / min(times):.2f} (median ×{median(reference) / median(times):.2f})  "
                f"{peak_of(form) / 1e6:6.1f} MB"
            )
        row(f"InfoNCE, K {options.queue}, B {options.videos}, d {width}", min(reference), min(seconds["streamed"][1:]))


if __name__ == "__main__":
    main()
