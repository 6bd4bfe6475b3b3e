"""Time of points, of joints and of a SiamFC frame, each against the plain way.

python -m tests.speed.trackers
python -m tests.speed.trackers --small    # tiny maps and networks

Points: 20 queries in 24 frames under `fomo`, against a loop over points and frames. Joints: 15 maps through 16 frames
under `vfs`, against dense attention; both from random features. SiamFC: a frame with one target and ResNet-18, against
the passes of the backbone alone, which are a bound.
"""

import argparse

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tests.helpers.plain_propagation import plain_propagation
from tests.speed.propagation import video
from tests.speed.timing import compare, flags
from vidcorr.backbones import build_feature_extractor
from vidcorr.functional import propagate_labels, track_points
from vidcorr.functional.points.matching import cell_centres, sample_features
from vidcorr.protocols import PointProtocol, PropagationProtocol
from vidcorr.tracking.siamfc_tracker import SiamFCTracker

POINTS = 20
JOINTS = 15


def plain_tracks(features: Tensor, queries: Tensor, side: int) -> Tensor:
    """Return the best cell for each point in each frame, x, y (N, T, 2) in pixels, found one by one."""
    frames, _, height, width = features.shape
    cell = torch.tensor([side / width, side / height])
    centres = cell_centres(height, width) * cell
    tracks = torch.empty(len(queries), frames, 2, dtype=torch.float64)
    for number, (start, y, x) in enumerate(queries.tolist()):
        place = torch.tensor([[x, y]]) / cell
        descriptor = sample_features(features[int(start)], place)
        for t, frame in enumerate(features):
            similarities = cosine_similarity(descriptor[0, :, None], frame.flatten(1), dim=0)
            tracks[number, t] = centres[similarities.argmax()]
        tracks[number, int(start)] = torch.tensor([x, y])
    return tracks


def compare_points(given: argparse.Namespace) -> None:
    size, channels, frames = ((8, 8), 8, 4) if given.small else ((32, 32), 384, 24)
    features = video(frames, channels, size, "cpu")
    protocol = PointProtocol.named("fomo")
    side = protocol.scored_size
    queries = torch.rand(POINTS, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([0, side, side])

    def ours() -> Tensor:
        return track_points(features.__getitem__, frames, queries, protocol).points

    def plain() -> Tensor:
        return plain_tracks(features, queries, side)

    same = (ours() == plain()).all(-1).float().mean()
    print(f"equal: {same:.2%}")
    what = f"{POINTS} points in {frames} frames under fomo, {size[0]} × {size[1]}, C {channels}"
    compare(what, {"plain": plain}, ours, given.repeats)


def compare_joints(given: argparse.Namespace) -> None:
    size, channels, frames = ((8, 8), 8, 4) if given.small else ((40, 40), 256, 16)
    features = video(frames, channels, size, "cpu")
    protocol = PropagationProtocol.named("vfs", "jhmdb")
    labels = torch.rand(JOINTS, *size, generator=torch.Generator().manual_seed(1))

    def ours() -> Tensor:
        return torch.stack(list(propagate_labels(features, labels, protocol)))

    def plain() -> Tensor:
        return plain_propagation(features, labels, protocol)

    same = ((ours() - plain()).abs().flatten(1).amax(1) <= 1e-5).float().mean()
    print(f"within 1e-5: {same:.2%} of the frames")
    what = f"{JOINTS} joints through {frames} frames under vfs, {size[0]} × {size[1]}, C {channels}"
    compare(what, {"plain": plain}, ours, given.repeats)


@torch.inference_mode()
def compare_siamfc(given: argparse.Namespace) -> None:
    spec = "tests.helpers.encoders:TinyResNet" if given.small else "torchvision:resnet18"
    extractor = build_feature_extractor(spec, "res4", 8)
    tracker = SiamFCTracker(extractor)
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    track = tracker.start(frame, np.array([300.0, 200.0, 60.0, 80.0]))
    protocol = tracker.protocol
    crops = torch.rand(protocol.scales, 3, protocol.instance_size, protocol.instance_size)
    compare(
        "SiamFC frame, one target, against its backbone's passes alone",
        {"plain": lambda: tracker._network(crops)},
        lambda: tracker.step([track], frame),
        given.repeats,
    )


def main() -> None:
    parser = flags(__doc__, 7)
    parser.add_argument("--small", action="store_true", help="tiny maps and networks")
    given = parser.parse_args()
    compare_points(given)
    compare_joints(given)
    compare_siamfc(given)


if __name__ == "__main__":
    main()
