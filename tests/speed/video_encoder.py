"""Time the encoding of a video by a network of clips through the engine against the network alone.

OMP_NUM_THREADS=1 python tests/speed/video_encoder.py --repeats 5
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.video import r3d_18

sys.path.insert(0, str(Path(__file__).parents[2]))

from callbacks.tracking.frame_encoder import FrameEncoder
from callbacks.tracking.stopwatch import Stopwatch
from lightning_modules.backbones import Clips
from lightning_modules.functional import PropagationProtocol
from tests.speed.table import row

WINDOW = 16


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time of one call."""
    began = time.process_time()
    with torch.inference_mode():
        work()
    return time.process_time() - began


def main() -> None:
    """Print both times, least and median, and the row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    torch.manual_seed(0)
    whole = r3d_18().eval()
    network = nn.Sequential(whole.stem, whole.layer1, whole.layer2)
    frames = torch.randint(256, (flags.frames, 3, flags.size, flags.size), dtype=torch.uint8)
    windows = (frames.float() / 255).split(WINDOW)
    rules = PropagationProtocol.named("rvm", "davis").with_changes(feature_stride=4, input_size=None)

    def alone() -> None:
        for clip in windows:
            network(clip.transpose(0, 1)[None])

    def by_engine() -> None:
        encoder = FrameEncoder(Clips(network, WINDOW), rules, Stopwatch())  # type: ignore[arg-type]
        for _ in encoder.encode(frames):
            pass

    pairs = [(seconds(alone), seconds(by_engine)) for _ in range(flags.repeats + 1)][1:]  # the first warms up
    for name, measure in (("least", min), ("median", statistics.median)):
        plain, ours = (measure(times) for times in zip(*pairs, strict=True))
        print(f"{name}: network alone {plain:.2f} s, through the engine {ours:.2f} s of CPU time: {ours / plain:.3f}")
    row(f"{flags.frames} frames by a network of clips", *(min(times) for times in zip(*pairs, strict=True)))


if __name__ == "__main__":
    main()
