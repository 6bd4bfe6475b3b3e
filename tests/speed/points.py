"""Processor seconds a video and peak memory of point tracking, by protocol and number of points, without the backbone.

    python tests/speed/points.py [--frames 24] [--cells 32] [--channels 256]

Features are random, made once before the clock starts. Peak memory is that of the tensors beside the features; it is
measured again on a video twice as long.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lightning_modules.functional.points import PointProtocol, track_points
from lightning_modules.functional.points.protocol import POINT_SOURCES
from tests.helpers.memory import peak_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--cells", type=int, default=32)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--points", type=int, nargs="+", default=[5, 100, 1000])
    parser.add_argument("--protocols", nargs="+", default=list(POINT_SOURCES))
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    shape = (2 * options.frames, options.channels, options.cells, options.cells)
    features = torch.randn(shape, generator=generator)
    print(f"{options.frames} frames of {options.cells} x {options.cells} cells, {torch.get_num_threads()} thread(s)")
    print("protocol, points, processor seconds, MB, MB at twice the frames (less the tracks themselves)")
    for name in options.protocols:
        rules = PointProtocol.named(name, "tap_vid")
        for count in options.points:
            places = torch.rand(count, 2, generator=generator) * 256
            queries = torch.cat([torch.zeros(count, 1), places], dim=1)

            def track(frames: int, rules: PointProtocol = rules, queries: torch.Tensor = queries) -> None:
                track_points(features.__getitem__, frames, queries, rules, both_directions=False)

            began = time.process_time()
            track(options.frames)
            seconds = time.process_time() - began
            peaks = []
            for frames in (options.frames, 2 * options.frames):
                tracks = count * frames * (2 * 8 + 4 + 4)
                peaks.append((peak_of(lambda frames=frames: track(frames)) - tracks) / 1e6)
            print(f"{name}, {count}, {seconds:.2f}, {peaks[0]:.0f}, {peaks[1]:.0f}", flush=True)


if __name__ == "__main__":
    main()
