"""No result depends on torch's default type, which `precision: bf16-true` and user code may set to bfloat16."""

import pytest
import torch

from tests.helpers.propagation import protocol, run
from vidcorr import functional
from vidcorr.functional import encode_masks
from vidcorr.functional.patches import crop_and_resize, random_patch_boxes
from vidcorr.functional.position import sinusoidal_position
from vidcorr.functional.siamese import response_labels
from vidcorr.protocols import PointProtocol, PropagationProtocol

FEATURES = torch.randn(4, 16, 12, 17, generator=torch.Generator().manual_seed(0))
MASK = torch.arange(4).repeat_interleave(24 * 34).view(96, 34).repeat(1, 4)
QUERIES = torch.tensor([[0.0, 30.0, 41.0], [2.0, 60.0, 17.0]], dtype=torch.float64)


def propagated(of):
    return run(FEATURES, encode_masks(MASK, [1, 2, 3], (12, 17), of), of)


def points(name):
    rules = PointProtocol.named(name).with_changes(occlusion="similarity+cycle")
    tracks = functional.track_points(FEATURES.__getitem__, len(FEATURES), QUERIES, rules)
    return tracks.points, tracks.occluded, tracks.similarity


def crops(kind):
    boxes = random_patch_boxes(len(FEATURES), 12, (0.7, 0.9), torch.Generator().manual_seed(0))
    return crop_and_resize(FEATURES[:, :3, :, :12].to(kind), boxes)


def reconstructed():
    maps = FEATURES[:1], FEATURES[None, 1:3]
    return functional.local_affinity(*maps, 2), functional.reconstruct_locally(*maps, maps[1][:, :, :3], 2).values


CASES = {
    "top-k": lambda: propagated(protocol()),
    "ties": lambda: propagated(protocol(topk_ties="kept", neighbourhood="square")),
    "hard": lambda: propagated(protocol(label_feedback="hard", feature_stride=4)),
    "liir": lambda: propagated(PropagationProtocol.named("liir").with_changes(radius=3, mixture_width="moments")),
    "direct": lambda: points("tapir-matching"),
    "chained": lambda: points("gmrw-chained"),
    "carried": lambda: points("fgvc"),
    "position": lambda: sinusoidal_position(16, 33, 40),
    "labels": lambda: response_labels((18, 18), 2),
    "correlation": lambda: functional.siamese_correlation(FEATURES[:1, :, :4, :4], FEATURES[:2]),
    "reconstruction": reconstructed,
    "crops": lambda: crops(torch.float32),
    "crops in bfloat16": lambda: crops(torch.bfloat16),
}


@pytest.mark.parametrize("name", CASES)  # masks and joints: as scores, in vidcorr/benchmarks/test_base.py
def test_a_default_type_of_bfloat16_changes_nothing(name):
    expected = CASES[name]()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = CASES[name]()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, atol=0, rtol=0, equal_nan=True)
