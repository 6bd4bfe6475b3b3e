"""A 480 × 854 frame through ResNet-18 at stride 8 and Liir's encoder: as trained, folded, and folded in bfloat16.

    OMP_NUM_THREADS=1 python tests/speed/backbones.py --repeats 5

Processor milliseconds, minimum and median of interleaved rounds.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import Tensor

from lightning_modules.backbones import LiirEncoder, LiirExtractor, build_feature_extractor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    extractors: dict[str, Any] = {
        "ResNet-18": build_feature_extractor("torchvision:resnet18", "res4", 8),
        "Liir": LiirExtractor(LiirEncoder()),
    }
    folded = {name: extractor.folded() for name, extractor in extractors.items()}
    image = torch.rand(1, 3, 480, 854)

    def run(extractor: Any, half: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return extractor(image)

    ways = {"as trained": (extractors, False), "folded": (folded, False), "bfloat16": (folded, True)}
    seconds: dict[tuple[str, str], list[float]] = {(name, way): [] for name in extractors for way in ways}
    with torch.inference_mode():
        for _ in range(args.repeats):
            for (name, way), times in seconds.items():
                began = time.process_time()
                run(ways[way][0][name], ways[way][1])
                times.append(1e3 * (time.process_time() - began))
    for (name, way), times in seconds.items():
        print(f"{name:10} {way:11} min {min(times):7.1f}   median {median(times):7.1f} ms")


if __name__ == "__main__":
    main()
