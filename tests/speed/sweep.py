"""Time a sweep of 40 protocols against 40 single evaluations of one benchmark.

OMP_NUM_THREADS=1 python tests/speed/sweep.py --root ../shared/data/davis --limit 1
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks import DavisBenchmark
from callbacks.tools.grid import read_grid
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol

VARIED = ["radius=6,12", "topk=1,5,10,20", "temperature=0.03,0.05,0.07,0.1,0.2"]


def seconds(root: str, protocol: Any, limit: int) -> float:
    """Return the CPU seconds of one evaluation."""
    extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
    benchmark: Any = DavisBenchmark(root, predictions=False, limit_sequences=limit)
    benchmark.protocol = protocol
    began = time.process_time()
    benchmark.evaluate(extractor)
    return time.process_time() - began


def main() -> None:
    """Print both times and their ratio, which counts what a sweep saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--limit", type=int, default=1)
    flags = parser.parse_args()
    base = PropagationProtocol.named("vfs", "davis").with_changes(input_size=240)
    grid = read_grid(base, VARIED)
    alone = min(seconds(flags.root, grid.protocols[number], flags.limit) for number in (0, 20, 39))
    together = seconds(flags.root, grid.protocols, flags.limit)
    print(f"one protocol {alone:.1f} s, {len(grid.protocols)} protocols {together:.1f} s of processor time")
    print(f"{len(grid.protocols)} runs would take {len(grid.protocols) * alone / together:.1f} times as long")


if __name__ == "__main__":
    main()
