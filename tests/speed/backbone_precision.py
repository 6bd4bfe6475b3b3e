"""DAVIS by the backbone in float32 and in bfloat16, sequence after sequence: scores, and CPU time of a frame.

    OMP_NUM_THREADS=1 python tests/speed/backbone_precision.py                # the eight sequences, untrained ResNet-18
    OMP_NUM_THREADS=1 python tests/speed/backbone_precision.py --spec last.ckpt --stage res4 --protocol vfs

Scoring is included, images are not written. Each sequence is run by both, one after the other.
"""

import sys
from pathlib import Path
from statistics import mean

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks import DavisBenchmark
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol
from tests.speed.timing import DATA, flags, now, row


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--root", default=str(DATA / "davis"))
    parser.add_argument("--spec", default="torchvision:resnet18")
    parser.add_argument("--stage", default=None)
    parser.add_argument("--protocol", default="vfs")
    parser.add_argument("--short-side", type=int, default=None, help="pixels; the radius shrinks with it")
    parser.add_argument("--limit", type=int, default=None, help="number of sequences")
    given = parser.parse_args()
    torch.manual_seed(0)
    protocol = PropagationProtocol.named(given.protocol)
    extractor = build_feature_extractor(given.spec, given.stage, protocol.feature_stride)
    if given.short_side:
        changes = {"input_size": given.short_side, "input_filter": "bilinear-antialias"}
        protocol = protocol.with_changes(radius=(protocol.radius or 0) * given.short_side / 480 or None, **changes)
    found = {"float32": [], "bfloat16": []}
    benchmarks = {
        kind: DavisBenchmark(given.root, protocol=protocol.with_changes(backbone_precision=kind)) for kind in found
    }
    for sequence in list(benchmarks["float32"].sequences)[: given.limit]:
        for kind, benchmark in benchmarks.items():
            benchmark._sequences = [sequence]
            began = now()
            scores = benchmark.evaluate(extractor)
            seconds = (now()[1] - began[1]) / sequence.num_frames
            found[kind].append((next(value for name, value in scores.items() if "J&F-Mean" in name), seconds))
        (plain, slow), (low, fast) = (each[-1] for each in found.values())
        row(f"{sequence.name}, J&F {plain:.3f} and {low:.3f} ({low - plain:+.3f}), a frame", slow, fast)
    for kind, pairs in found.items():
        scores, seconds = zip(*pairs, strict=True)
        print(
            f"{kind}: mean J&F {mean(scores):.3f}, {mean(seconds):.3f} s of CPU time a frame, least {min(seconds):.3f}"
        )


if __name__ == "__main__":
    main()
