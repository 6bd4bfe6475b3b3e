"""Choose the two thresholds of the point protocol `vidcorr` on generated videos, by AJ.

    python tests/speed/point_thresholds.py SPEC [--stage res4] [--strides 8 4] [--videos 6] [--seed 1]

Each video is tracked once at each stride; the rules are then applied to the cosines and the misses that were noted. The
grid of AJ, and the AJ of the best pair, the protocol's own and "all visible" are printed; rows are cosines, columns px.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from callbacks.metrics import sample_queries, tapvid_metrics
from callbacks.tracking.point_tracker import PointTracker
from datamodules.datasets import TapVid
from datamodules.synthetic import write_tap_vid
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional.points import PointProtocol, track

COSINES = (-1.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96)
PIXELS = (2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec")
    parser.add_argument("--stage")
    parser.add_argument("--strides", type=int, nargs="+", default=[8, 4])
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rules = PointProtocol.named("vidcorr", "tap_vid")
    with tempfile.TemporaryDirectory() as folder:
        sequences = TapVid(write_tap_vid(folder, options.videos, seed=options.seed, camouflage=0.5, size=(256, 256)))
        totals = []
        for stride in options.strides:
            torch.manual_seed(0)
            extractor = build_feature_extractor(options.spec, stage=options.stage, stride=stride)
            found = sum(table(extractor, sequence, rules) for sequence in sequences) / len(sequences)
            report(f"stride {stride}", found, rules)
            totals.append(found)
    report("mean over the strides", sum(totals) / len(totals), rules)


def table(extractor, sequence, rules) -> np.ndarray:
    """AJ of one video for each pair of thresholds, `(cosines, pixels)`."""
    queries = sample_queries(sequence.occluded, sequence.points * rules.scored_size, "first")
    jobs = []
    hidden = track._hidden
    track._hidden = lambda job, size: jobs.append((job, size)) or hidden(job, size)
    try:
        tracks = PointTracker(extractor, rules).track(sequence.frame, sequence.num_frames, queries.points, False)[0]
    finally:
        track._hidden = hidden
    ((job, size),) = jobs
    scores = np.zeros((len(COSINES), len(PIXELS)))
    for (i, cosine), (j, pixels) in itertools.product(enumerate(COSINES), enumerate(PIXELS)):
        job.protocol = rules.with_changes(similarity_threshold=cosine, cycle_threshold=pixels)
        occluded = hidden(job, size) | ~job.tracked(torch.arange(len(queries)))
        truth = queries.points, queries.occluded, queries.tracks
        scores[i, j] = tapvid_metrics(*truth, occluded.numpy(), tracks.points.numpy())["average_jaccard"]
    return scores


def report(title: str, scores: np.ndarray, rules: PointProtocol) -> None:
    best = np.unravel_index(scores.argmax(), scores.shape)
    own = COSINES.index(rules.similarity_threshold), PIXELS.index(rules.cycle_threshold)
    print(f"{title}: best AJ {100 * scores[best]:.1f} at cosine {COSINES[best[0]]:g}, {PIXELS[best[1]]:g} px; ", end="")
    print(f"the protocol's {100 * scores[own]:.1f}; all visible {100 * scores[0, -1]:.1f}")
    print("        " + "".join(f"{pixels:7g}" for pixels in PIXELS))
    for cosine, row in zip(COSINES, scores, strict=True):
        print(f"{cosine:7g} " + "".join(f"{100 * value:7.1f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
