"""Masks, boxes and points given in the first frame are followed through the video."""

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.sprite import tensors
from vidcorr import MaskPrompt, PointPrompt, follow
from vidcorr.backbones import LiirEncoder, build_feature_extractor
from vidcorr.metrics import jaccard, object_outlines
from vidcorr.protocols import JointProtocol, PointProtocol, TrackingProtocol
from vidcorr.tracking.follow import encoder_of, name_of


def test_large_frames_are_seen_reduced_and_answered_at_their_own_size(scene, colour):
    video, masks = scene[0][:3], scene[1]
    seen = []
    colour.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    large = tensors(video.repeat(2, axis=1).repeat(2, axis=2))
    mask = masks[0].repeat(2, axis=0).repeat(2, axis=1)
    found = [mask for _, mask in follow(colour, large, MaskPrompt.of(mask), short_side=96)]
    assert set(seen) == {(1, 3, 96, 130)}
    assert found[-1].shape == (192, 260)
    small = [mask for _, mask in follow(colour, tensors(video), MaskPrompt.of(masks[0]))]
    for large_mask, small_mask in zip(found[1:], small[1:], strict=True):
        assert jaccard(*(object_outlines(each, [1])[1] for each in (large_mask[::2, ::2], small_mask))) > 0.9


def test_an_object_smaller_than_a_cell_is_named(scene):
    video, masks = scene
    mask = masks[0].copy()
    mask[0, 0] = 9
    with pytest.warns(UserWarning, match="object 9 is too small for feature cells of 8 px") as warned:
        list(follow(build_feature_extractor("raw_colour"), tensors(video[:3]), MaskPrompt.of(mask)))
    assert len(warned) == 1  # of the first frame alone


def test_more_points_than_a_mask_has_ids_are_followed_as_in_several_runs(scene, colour):
    """300 points: an id of a mask has 8 bits, a heat-map is a channel."""
    video = scene[0][:3]
    height, width = video.shape[1:3]
    points = np.random.default_rng(0).uniform((4, 4), (width - 4, height - 4), (300, 2)).tolist()
    runs = []
    for members in (points, points[:150], points[150:]):
        runs.append(torch.stack([found for _, found in follow(colour, tensors(video), PointPrompt.of(members))]))
    torch.testing.assert_close(runs[0], torch.cat(runs[1:], dim=1), rtol=0, atol=1e-4)


def rules_of(network, prompt, protocol):
    return encoder_of(network, prompt, protocol).protocol


def test_a_name_alone_is_label_propagation_and_our_point_protocol_has_a_name_of_its_own(colour):
    prompt = PointPrompt.of([(1, 1)])
    assert rules_of(colour, prompt, None) == rules_of(colour, prompt, "vidcorr")
    mask = MaskPrompt.of(np.ones((8, 8), np.uint8))
    liir = build_feature_extractor(LiirEncoder("none", stages=3))
    assert [rules_of(each, mask, None).name for each in (colour, liir)] == ["vidcorr", "liir"]
    line = "protocol 'vfs' is a TrackingProtocol; expected a PropagationProtocol"
    refused(ValueError, line, rules_of, colour, mask, TrackingProtocol())
    sizes = [rules_of(colour, mask, name).resized_data for name in ("catmae-16", "catmae-16+resized_data=8,8")]
    assert sizes == [None, (8, 8)]
    assert rules_of(colour, prompt, "vfs").keypoint_sigma == 2
    own = PointProtocol.named("vidcorr").brought_by_features(feature_stride=4)
    assert rules_of(colour, prompt, "vidcorr-points") == own
    for name in PointProtocol.sources():
        of_both = name in JointProtocol.sources()
        assert isinstance(rules_of(colour, prompt, name), JointProtocol if of_both else PointProtocol)
        own = rules_of(colour, prompt, f"{name}-points+scored_size=128")
        assert (type(own), own.feature_stride) == (PointProtocol, 4)
        assert rules_of(colour, prompt, name_of(own)) == own  # a log names what ran
    frames = iter(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    refused(ValueError, "reads a video several times: give a file", follow, colour, frames, prompt, "vidcorr-points")


def test_frames_of_other_readers_are_followed_or_their_form_is_named():
    frames = torch.randint(256, (3, 3, 24, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    mask = np.zeros((24, 32), np.uint8)
    mask[4:12, 4:16] = 1

    def found(video, prompt=None):
        prompt = MaskPrompt.of(mask) if prompt is None else prompt
        return torch.stack([ids for _, ids in follow("raw_colour@colour/4", video, prompt)])

    expected = found(frames)
    for same in (frames.numpy(), [frame.numpy() for frame in frames], map(torch.Tensor.numpy, frames)):
        assert torch.equal(found(same), expected)
    floats = frames / 255
    assert torch.equal(found((255 * floats).round().to(torch.uint8)), expected)
    forms = {
        r"got float32 \(3, 24, 32\)": list(floats),
        r"got uint8 \(1, 24, 32\)": frames[:, :1],
        "of one size, got 16 × 24 px after 32 × 24 px": [frames[0], frames[1, :, :, :16]],
    }
    for line, video in forms.items():
        refused(ValueError, line, found, video)
