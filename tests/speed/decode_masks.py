"""Soft labels to a mask against the plain way: up-sample all labels, rescale each, argmax.

python tests/speed/decode_masks.py [--labels 3] [--size 480 854]
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional import decode_masks


def plain(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, min-max of each channel whose maximum is above 0, argmax."""
    maps = F.interpolate(labels[None], size=size, mode="bilinear", align_corners=False)[0]
    low, high = maps.flatten(1).amin(1)[:, None, None], maps.flatten(1).amax(1)[:, None, None]
    maps = torch.where(high > 0, (maps - low) / (high - low + 1e-12), maps)
    return maps.argmax(0).to(torch.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 3, 6, 21])
    parser.add_argument("--size", type=int, nargs=2, default=(480, 854))
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    size = tuple(args.size)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; median (min) of {args.repeats}")
    for count in args.labels:
        generator = torch.Generator().manual_seed(count)
        scores = F.avg_pool2d(torch.randn(count, size[0] // 8 + 8, size[1] // 8 + 9, generator=generator), 9, 1)
        labels = (scores * 12).softmax(0)
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(args.repeats):
            for name, function in (("ours", decode_masks), ("plain", plain)):
                start = perf_counter()
                function(labels, size)
                times[name].append(perf_counter() - start)
        same = torch.equal(decode_masks(labels, size), plain(labels, size))
        own, other = times["ours"], times["plain"]
        print(
            f"{count:3} labels: {1e3 * median(own):.2f} ms ({1e3 * min(own):.2f}), plain {1e3 * median(other):.1f} ms "
            f"({1e3 * min(other):.1f}): {median(other) / median(own):.1f}x ({min(other) / min(own):.1f}x), "
            f"identical: {same}"
        )


if __name__ == "__main__":
    main()
