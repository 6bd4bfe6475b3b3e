"""A 480 × 854 frame by Liir's own protocol: encoder at stride 4 in float32 and bfloat16, propagation with radius 14.

    OMP_NUM_THREADS=1 python tests/speed/liir_frame.py --repeats 5

Processor milliseconds, minimum and median of interleaved rounds. Random weights and pictures: the time depends on
neither.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from lightning_modules.backbones import LiirEncoder, LiirExtractor
from lightning_modules.functional import LabelPropagator, PropagationProtocol


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--protocol", default="liir")
    args = parser.parse_args()
    torch.manual_seed(0)
    protocol = PropagationProtocol.named(args.protocol)
    encoder = LiirExtractor(LiirEncoder()).folded()
    pictures = torch.rand(7, 1, 3, 480, 856)
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = work()
        seconds[name].append(1e3 * (time.process_time() - began))
        return result

    def encode(picture: torch.Tensor, half: bool) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features: torch.Tensor = encoder(picture)[0].float()
            return features

    with torch.inference_mode():
        features = [encode(picture, False) for picture in pictures]
        propagator = LabelPropagator(torch.rand(3, *features[0].shape[1:]).softmax(0), protocol)
        for item in features[:-1]:
            propagator.step(item)
        for _ in range(args.repeats):
            timed("encoder, float32", lambda: encode(pictures[-1], False))
            timed("encoder, bfloat16", lambda: encode(pictures[-1], True))
            timed("propagation", lambda: propagator.step(features[-1]))
    print(
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}, {args.protocol}, {tuple(features[0].shape)}"
    )
    for name, times in seconds.items():
        print(f"{name:18} min {min(times):7.1f}   median {median(times):7.1f} ms")


if __name__ == "__main__":
    main()
