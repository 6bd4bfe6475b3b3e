"""Time and memory of one propagation step against the dense method, in one process.

python tests/speed/propagation.py                   # stride 8: 60 x 107 cells
python tests/speed/propagation.py --scale           # over map size, channels, references, radius
python tests/speed/propagation.py --size 120 214 --part 0.05   # stride 4; dense from 5 % of the queries
"""

import argparse
import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning_modules.functional import LabelPropagator, PropagationProtocol
from tests.helpers.memory import peak_of
from tests.helpers.plain_propagation import dense_attention, dense_mask
from tests.speed import table


def video(frames: int, channels: int, height: int, width: int, device: str) -> Tensor:
    """Smooth random features that change a little from frame to frame, as those of a video do."""
    generator = torch.Generator().manual_seed(0)
    still = torch.randn(1, channels, height, width, generator=generator)
    still = torch.nn.functional.avg_pool2d(still, 3, 1, 1) * 3
    noise = torch.randn(frames, channels, height, width, generator=generator) * 0.5
    return (still + noise).to(device)


def timed(function: Callable[[], object], device: str) -> tuple[float, float]:
    """Seconds on the clock, and of this process's threads: on a machine shared with others only the second is ours."""
    start, busy = perf_counter(), process_time()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - start, process_time() - busy


def measure(
    args: argparse.Namespace, size: tuple[int, int], channels: int, context: int, radius: int
) -> dict[str, float]:
    """Seconds of one step in the steady state, ours and dense, and how well they agree."""
    height, width = size
    protocol = PropagationProtocol("speed", context, 10, 0.07, radius)
    features = video(context + 2, channels, height, width, args.device)
    labels = torch.rand(args.labels, height, width).softmax(0).to(args.device)
    propagator = LabelPropagator(labels, protocol)
    history = [propagator.step(frame) for frame in features[:-1]]

    def ours() -> Callable[[], Tensor]:
        return partial(copy.deepcopy(propagator).step, features[-1])  # a step changes what it finds

    # The plain method gets its matrices ready-made: only attention is timed.
    places = max(1, round(args.part * height * width))
    query = torch.nn.functional.normalize(features[-1], dim=0).flatten(1)[:, :places]
    keys = torch.nn.functional.normalize(features[:-1], dim=1).transpose(0, 1).flatten(1)
    values = torch.stack(history).transpose(0, 1).flatten(1)
    mask = dense_mask(height, width, radius, "circle", places).to(args.device)

    def dense() -> Tensor:
        return dense_attention(query, keys, values, mask, 10, 0.07)

    first = ours()().flatten(1)[:, :places]
    difference = (first - dense()).abs().amax(0)
    own, plain = [], []
    for _ in range(args.repeats):
        own.append(timed(ours(), args.device))
        plain.append(timed(dense, args.device))
    row = {
        "within 1e-5": float((difference <= 1e-5).float().mean()),
        "extra MB": peak_of(ours()) / 1e6,
    }
    for name, times, share in (("own", own, 1.0), ("dense", plain, places / (height * width))):
        clock, busy = zip(*times, strict=True)
        row |= {name: median(clock) / share, f"{name} min": min(clock) / share, f"{name} busy": min(busy) / share}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(60, 107))
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--context", type=int, default=20)
    parser.add_argument("--radius", type=int, default=12)
    parser.add_argument("--labels", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", type=float, default=1.0, help="fraction of the queries that the dense method does")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scale", action="store_true")
    args = parser.parse_args()
    cases = [(tuple(args.size), args.channels, args.context, args.radius)]
    if args.scale:
        args.part, args.repeats = min(args.part, 0.01), min(args.repeats, 3)
        sizes = [((h, w), 256, 20, 12) for h, w in ((30, 54), (60, 107), (85, 151), (120, 214))]
        others = [((60, 107), c, 20, 12) for c in (64, 512)] + [((60, 107), 256, m, 12) for m in (5, 10)]
        cases = sizes + others + [((60, 107), 256, 20, r) for r in (6, 18, 24)]
    print(f"{torch.get_num_threads()} threads, {args.device}, torch {torch.__version__}; median of {args.repeats}")
    for size, channels, context, radius in cases:
        row = measure(args, size, channels, context, radius)
        ratios = [row[f"dense{kind}"] / row[f"own{kind}"] for kind in ("", " min", " busy")]
        print(
            f"{size[0]:4} x {size[1]:3}, C {channels:3}, {context + 1:2} references, radius {radius:2}: "
            f"{row['own']:.3f} s, min {row['own min']:.3f}, busy {row['own busy']:.3f} "
            f"({1e6 * row['own busy'] / size[0] / size[1]:.0f} us a place); dense {row['dense']:.2f} s, "
            f"min {row['dense min']:.2f}, busy {row['dense busy']:.2f}; "
            f"{ratios[0]:.1f}x, min {ratios[1]:.1f}x, busy {ratios[2]:.1f}x; {row['extra MB']:.0f} MB extra; "
            f"within 1e-5: {row['within 1e-5']:.2%}",
            flush=True,
        )
        what = f"propagation, {size[0]} × {size[1]}, C {channels}, {context + 1} references, radius {radius}"
        table.row(what, row["dense busy"], row["own busy"])


if __name__ == "__main__":
    main()
