"""Time and memory of a frame's propagation at 480p on the grids of upsampled features, a process for each row.

python -m tests.speed.fine_grids                                # 60 × 107, 120 × 214 and 240 × 428 cells
python -m tests.speed.fine_grids --only vfs --factors 4 --keep  # the window keeps its size in pixels

Features at stride 8 are random and smooth, and upsampled bilinearly. The references are filled without a search, then
two frames are propagated. The time is the CPU time of the second; the memory is the peak of the process beyond its size
before the first frame.
"""

import argparse
import dataclasses
import os
import resource
import subprocess
import sys

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tests.speed.propagation import video
from tests.speed.timing import flags, in_words, now
from vidcorr.functional import LabelPropagator, PropagationProtocol
from vidcorr.functional.propagation.memory import SWITCH

CHANNELS = {"vfs": 256, "dino": 384}
"""Of ResNet-18's res4 and of ViT-S."""
GRID = 60, 107
"""Cells of stride 8."""


def measure(name: str, factor: int, radius: int) -> str:
    """Return time and memory of a frame, in words."""
    protocol = dataclasses.replace(PropagationProtocol.named(name), radius=radius)
    labels = torch.rand(3, GRID[0] * factor, GRID[1] * factor).softmax(0)
    still = video(1, CHANNELS[name], GRID, "cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def frame() -> Tensor:
        coarse = still + 0.5 * torch.randn_like(still)
        return interpolate(coarse, scale_factor=factor, mode="bilinear")[0]

    propagator = LabelPropagator(labels, protocol)
    propagator._propagate = lambda query: labels  # type: ignore[method-assign]
    for _ in range(protocol.context + 1):
        propagator.step(frame())
    del propagator._propagate
    propagator.step(frame())  # sketches of the native kernel find their length
    latest, began = frame(), now()
    propagator.step(latest)
    seconds = (now() - began)[1]
    return f"{in_words(seconds)}, {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20:.2f} GiB"


def main() -> None:
    """Print a table of Markdown."""
    parser = flags(__doc__)
    parser.add_argument("--only", nargs="+", default=list(CHANNELS), choices=list(CHANNELS), help="protocols")
    parser.add_argument("--factors", nargs="+", type=int, default=[1, 2, 4], help="of the upsampling, from stride 8")
    parser.add_argument("--keep", action="store_true", help="multiply the radius of 12 cells by the factor")
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        name, *numbers = given.row
        print(measure(name, *map(int, numbers)))
        return
    print("| protocol | grid | radius | native kernel | torch |\n|---|---|---|---|---|")
    for name in given.only:
        for factor in given.factors:
            radius, grid = 12 * factor if given.keep else 12, f"{GRID[0] * factor} × {GRID[1] * factor}"
            command = [sys.executable, "-m", "tests.speed.fine_grids", "--row", name, str(factor), str(radius)]
            ways = ({**os.environ, SWITCH: native} for native in "10")
            found = [subprocess.check_output(command, env=way, text=True).strip() for way in ways]
            print(f"| `{name}` | {grid} | {radius} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
