"""DAVIS by the backbone in float32 and in bfloat16, sequence after sequence: scores, and CPU seconds a frame.

    OMP_NUM_THREADS=1 python tests/speed/backbone_precision.py                # the eight sequences, untrained ResNet-18
    OMP_NUM_THREADS=1 python tests/speed/backbone_precision.py --spec last.ckpt --stage res4 --protocol vfs

Scoring is included, pictures are not written. Each sequence is run by both, one after the other.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from callbacks import DavisBenchmark
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol

PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=str(Path(__file__).parents[3] / "shared" / "data" / "davis"))
    parser.add_argument("--spec", default="torchvision:resnet18")
    parser.add_argument("--stage", default=None)
    parser.add_argument("--protocol", default="vfs")
    parser.add_argument("--short-side", type=int, default=None, help="pixels; the radius shrinks with it")
    parser.add_argument("--limit", type=int, default=None, help="number of sequences")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    protocol = PropagationProtocol.named(args.protocol)
    extractor = build_feature_extractor(args.spec, args.stage, protocol.feature_stride)
    if args.short_side:
        changes = {"input_size": args.short_side, "input_filter": "bilinear-antialias"}
        protocol = protocol.with_changes(radius=(protocol.radius or 0) * args.short_side / 480 or None, **changes)
    benchmarks = {
        precision: DavisBenchmark(args.root, protocol=protocol.with_changes(backbone_precision=precision))
        for precision in PRECISIONS
    }
    sequences = list(benchmarks["float32"].sequences)[: args.limit]
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}, {args.spec}, {args.protocol}", flush=True)
    found: dict[str, list[tuple[float, float, int]]] = {precision: [] for precision in PRECISIONS}
    for sequence in sequences:
        for precision, benchmark in benchmarks.items():
            benchmark._sequences = [sequence]
            began = time.process_time()
            scores = benchmark.evaluate(extractor)
            seconds = time.process_time() - began
            score = next(value for name, value in scores.items() if name.endswith("J&F-Mean"))
            found[precision].append((score, seconds, sequence.num_frames))
        (a, s, frames), (b, t, _) = (found[precision][-1] for precision in PRECISIONS)
        print(
            f"{sequence.name:20} J&F {a:.3f} {b:.3f} ({b - a:+.3f}), s a frame {s / frames:.3f} {t / frames:.3f}",
            flush=True,
        )
    for precision, rows in found.items():
        scores_of, seconds_of, frames_of = zip(*rows, strict=True)
        each = sorted(s / n for s, n in zip(seconds_of, frames_of, strict=True))
        print(
            f"{precision:8} mean of the sequences {mean(scores_of):.3f}; {sum(frames_of)} frames, "
            f"{sum(seconds_of) / sum(frames_of):.3f} processor s a frame, least of a sequence {each[0]:.3f}"
        )


if __name__ == "__main__":
    main()
