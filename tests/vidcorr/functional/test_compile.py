"""torch.compile takes every public function, and gives what the function gives."""

import inspect

import pytest
import torch
import torch.nn.functional as F

import vidcorr.functional
from vidcorr.functional import local_affinity
from vidcorr.functional.compactness import CompactnessPrior
from vidcorr.protocols import MatchingProtocol, PointProtocol, PropagationProtocol

torch.manual_seed(0)  # a near tie of two places may go either way once it is compiled
MASKS = PropagationProtocol("own", 2, 4, 0.1, 2)
QUERY, REFERENCES, VALUES = torch.randn(1, 3, 10, 11), torch.randn(1, 2, 3, 10, 11), torch.rand(1, 2, 2, 10, 11)
AFFINITY = local_affinity(QUERY, REFERENCES, 1)
FRAMES = torch.randn(4, 6, 5, 6)
VECTORS = torch.randn(4, 2, 2, 4)
HEATMAPS = torch.rand(2, 4, 5) / 2
HEATMAPS[0, 1, 2] = HEATMAPS[1, 2, 3] = 1.0  # a maximum at the border would be up-sampled to several equal pixels
CASES = {
    "rgb_to_lab": (torch.rand(2, 3, 5, 5),),
    "compact_affinity": (AFFINITY, 1),
    "compactness_loss": (AFFINITY, 1, CompactnessPrior()),
    "reconstruct_locally": (QUERY, REFERENCES, VALUES, 2, "exclude", CompactnessPrior()),
    "contrastive_random_walk_loss": (F.normalize(torch.randn(2, 4, 4, 5), dim=1),),
    "info_nce_loss": (VECTORS[0], VECTORS[1], torch.randn(9, 4)),
    "simsiam_loss": (*VECTORS,),
    "match_keypoints": (
        *torch.randn(2, 4, 3, 3),
        torch.tensor([[3.0, 4.0]]),
        (32, 32),
        (32, 40),
        MatchingProtocol.named("dift").with_changes(input_size=32),
    ),
    "track_points": (
        FRAMES.__getitem__,
        4,
        torch.tensor([[1.0, 9.5, 3.0]]),
        PointProtocol.named("fomo").with_changes(scored_size=48),
    ),
    "decode_keypoints": (HEATMAPS, (32, 40), MASKS),
    "decode_masks": (torch.rand(3, 4, 5), [1, 2], MASKS, (32, 40)),
    "encode_keypoints": (torch.rand(2, 2) * 30, (32, 40), (4, 5), MASKS),
    "encode_masks": (torch.randint(0, 3, (32, 40)), [1, 2], (4, 5), MASKS),
    "propagate_labels": (FRAMES, torch.rand(2, 5, 6), MASKS),
    "local_affinity": (QUERY, REFERENCES, 2),
    "reconstruct": (AFFINITY, VALUES, 1),
    "reconstruct_with_negatives": (QUERY, REFERENCES, VALUES, torch.randn(5, 3), 2),
    "siamese_correlation": (torch.randn(2, 3, 4, 4), torch.randn(2, 3, 8, 8)),
}
"""Public function → arguments."""
FUNCTIONS = [name for name in vidcorr.functional.__all__ if inspect.isfunction(getattr(vidcorr.functional, name))]


def compare(name, backend):
    function = getattr(vidcorr.functional, name)
    torch._dynamo.reset()
    found = torch.compile(function, backend=backend)(*CASES[name])
    expected = function(*CASES[name])
    if name == "propagate_labels":
        found = list(found)
        expected = list(expected)
    if name == "track_points":
        found = vars(found)
        expected = vars(expected)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4, equal_nan=True)


def test_every_public_function_has_a_case():
    assert set(CASES) == set(FUNCTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_traced(name):
    compare(name, "eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["info_nce_loss", "reconstruct_locally", "local_affinity", "simsiam_loss"])
def test_gradients_pass_through_a_compiled_loss(name):
    function = getattr(vidcorr.functional, name)
    first, *others = CASES[name]
    gradients = []
    for call in (function, torch.compile(function, backend="aot_eager")):
        torch._dynamo.reset()
        argument = first.clone().requires_grad_()
        result = call(argument, *others)
        outputs = result if isinstance(result, tuple) else (result,)
        sum(output.square().sum() for output in outputs).backward()
        gradients.append(argument.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-4)
