"""One DAVIS frame stage by stage against the plain official method, then whole sequences end to end.

python tests/speed/davis_stages.py                      # ../shared/data/davis, R18 at stride 8, protocol vfs
python tests/speed/davis_stages.py --limit 1 --only-whole  # the first sequence end to end, nothing else
python tests/speed/davis_stages.py --limit 0            # the frame only
"""

import argparse
import copy
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks import DavisBenchmark
from callbacks.metrics import boundary_score, object_outlines, region_score
from callbacks.tracking.frame_encoder import view_for
from datamodules.datasets import Davis, MaskSequence
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.functional import LabelPropagator, PropagationProtocol, decode_masks, encode_masks
from tests.helpers.plain_masks import plain_boundary_score, plain_region
from tests.helpers.plain_propagation import dense_attention, dense_mask
from tests.speed.table import row

STAGES = ("backbone", "propagate", "decode masks", "score")
Timings = dict[str, dict[str, list[float]]]


def new_timings() -> Timings:
    return {"ours": defaultdict(list), "plain": defaultdict(list)}


class Clock:
    """Seconds of each stage, ours and plain: of the processor, as others may use it too; on a GPU by the clock."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.now = perf_counter if device == "cuda" else process_time
        self.seconds = new_timings()

    def __call__(self, who: str, stage: str, work: Callable[[], Any], scale: float = 1.0) -> Any:
        began = self.now()
        result = work()
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.seconds[who][stage].append((self.now() - began) * scale)
        return result


def plain_decode(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, min-max of each channel whose maximum is above 0, argmax."""
    maps = F.interpolate(labels[None], size=size, mode="bilinear", align_corners=False)[0]
    low, high = maps.flatten(1).amin(1)[:, None, None], maps.flatten(1).amax(1)[:, None, None]
    maps = torch.where(high > 0, (maps - low) / (high - low + 1e-12), maps)
    return maps.argmax(0).to(torch.uint8)


class PlainNormalise(nn.Module):
    """ImageNet's normalisation, memory left as it is."""

    def forward(self, images: Tensor) -> Tensor:
        mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (images - mean) / std


def plain_backbone(extractor: nn.Module) -> nn.Module:
    """The network as its code has it: BatchNorms apart, channels before rows and columns."""
    network = copy.deepcopy(extractor).to(memory_format=torch.contiguous_format)
    network.normalise = PlainNormalise()
    return network


def time_a_frame(sequence: MaskSequence, args: argparse.Namespace, protocol: PropagationProtocol) -> Timings:
    """Both ways for the first frame whose window is full, several times, one after the other."""
    clock = Clock(args.device)
    extractor = build_feature_extractor(args.spec).to(args.device)
    view, network, t = view_for(extractor, protocol), plain_backbone(extractor), protocol.context + 1
    images = [sequence.frame(n).to(args.device)[None].float() / 255 for n in range(t + 1)]
    features = torch.cat([view(image) for image in images])
    grid = (features.shape[2], features.shape[3])
    first = encode_masks(sequence.mask(0), sequence.objects, grid, protocol).to(args.device)
    propagator = LabelPropagator(first, protocol)
    history = torch.stack([propagator.step(item) for item in features[:t]])
    normed = F.normalize(features, dim=1)
    places = max(1, round(args.part * grid[0] * grid[1]))
    chosen = [0, *range(t - protocol.context, t)]
    keys, values = (item[chosen].transpose(0, 1).flatten(1) for item in (normed, history))
    mask = dense_mask(*grid, protocol.radius or max(grid), protocol.neighbourhood, places).to(args.device)
    target = sequence.mask(t)

    def dense() -> Any:
        return dense_attention(
            normed[t].flatten(1)[:, :places], keys, values, mask, protocol.topk, protocol.temperature
        )

    def score(prediction: Any) -> list[tuple[float, float]]:
        pairs = [object_outlines(item, sequence.objects) for item in (prediction, target)]
        return [(region_score(*both), boundary_score(*both)) for both in zip(*(p.values() for p in pairs), strict=True)]

    def plain_score(prediction: Any) -> list[tuple[float, float]]:
        masks = [((prediction == i).numpy(), (target == i).numpy()) for i in sequence.objects]
        return [(plain_region(*both), plain_boundary_score(*both)) for both in masks]

    for repeat in range(args.repeats + 1):
        if repeat == 1:
            clock.seconds = new_timings()  # the first round only warms up
        clock("ours", "backbone", lambda: view(images[t]))
        clock("plain", "backbone", lambda: network(images[t]))
        fresh = copy.deepcopy(propagator)  # a step changes what it finds
        labels = clock("ours", "propagate", partial(fresh.step, features[t]))
        clock("plain", "propagate", dense, grid[0] * grid[1] / places)
        ours = clock(
            "ours",
            "decode masks",
            lambda labels=labels: decode_masks(labels, sequence.objects, protocol, sequence.size).cpu(),
        )
        plain = clock("plain", "decode masks", lambda labels=labels: plain_decode(labels, sequence.size).cpu())
        same = (
            clock("ours", "score", lambda ours=ours: score(ours)),
            clock("plain", "score", lambda p=plain: plain_score(p)),
        )
        assert same[0] == same[1], same
    return clock.seconds


def report_frame(seconds: Timings) -> None:
    """Median and minimum of each stage in ms, and the ratios."""
    print(f"{'stage':>14} {'ours':>9} {'(min)':>9} {'plain':>9} {'(min)':>9} {'ratio':>6} {'(min)':>6}")
    for runs in seconds.values():
        runs["sum"] = [sum(parts) for parts in zip(*runs.values(), strict=True)]
    for stage in (*STAGES, "sum"):
        ours, plain = (seconds[who][stage] for who in ("ours", "plain"))
        times = [1e3 * value for runs in (ours, plain) for value in (median(runs), min(runs))]
        ratios = median(plain) / median(ours), min(plain) / min(ours)
        row(f"DAVIS frame at 480p, {stage}", min(plain), min(ours))
        print(f"{stage:>14}" + "".join(f" {value:9.1f}" for value in times) + "".join(f" {r:6.1f}" for r in ratios))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=str(Path(__file__).parents[3] / "shared" / "data" / "davis"))
    parser.add_argument("--spec", default="torchvision:resnet18")
    parser.add_argument("--protocol", default="vfs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", type=float, default=0.05, help="fraction of the queries that the dense method does")
    parser.add_argument("--only-whole", action="store_true", help="leave the comparison of a frame out")
    parser.add_argument("--limit", type=int, default=None, help="whole sequences to run, 0 for none")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, {args.device}, torch {torch.__version__}, {args.spec}, {args.protocol}")
    protocol = PropagationProtocol.named(args.protocol)
    if not args.only_whole:
        sequence = Davis(args.root)[0]
        with torch.inference_mode():
            seconds = time_a_frame(sequence, args, protocol)
        print(f"one frame of {sequence.name} with a full window; median (min) of {args.repeats}")
        report_frame(seconds)
    if args.limit == 0:
        return
    benchmark = DavisBenchmark(args.root, protocol=protocol, limit_sequences=args.limit)
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        benchmark.evaluate(build_feature_extractor(args.spec).to(args.device), folder)
        whole = perf_counter() - began
    frames = sum(sequence.num_frames for sequence in benchmark.sequences)
    each = f"{1e3 * whole / frames:.0f} ms a frame"
    print(f"end to end: {len(benchmark.sequences)} sequences, {frames} frames, {whole:.1f} s, {each}")
    for stage, spent in benchmark.stopwatch.seconds.items():
        print(f"{stage:>14} {1e3 * spent / frames:8.1f} ms a frame {spent / whole:6.1%}")


if __name__ == "__main__":
    main()
