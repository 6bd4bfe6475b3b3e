"""The tracker frame by frame against the golden file, and where targets do odd things."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from tests.helpers.drawn_weights import with_drawn_weights
from tests.helpers.refusal import refused
from vidcorr import SiamFC, SiamFCTracker
from vidcorr.backbones import Normalise, build_feature_extractor, load
from vidcorr.backbones.views import NetworkView
from vidcorr.tracking.siamfc_tracker import cosine_window

pytestmark = pytest.mark.usefixtures("no_gradients")


class GoldenNet(nn.Sequential):
    """The three convolutions whose weights siamfc_tracking.npz holds."""

    stride = 8

    def __init__(self, golden):
        layers = [Normalise((golden["hp_mean"] / 255).tolist(), (golden["hp_std"] / 255).tolist())]
        for number, padding in ((1, 2), (2, 1), (3, 1)):
            weight, bias = (torch.from_numpy(golden[f"conv{number}_{part}"]) for part in ("weight", "bias"))
            layer = nn.Conv2d(*weight.shape[1::-1], weight.shape[2], 2, padding)
            layer.load_state_dict({"weight": weight, "bias": bias})
            layers += [layer, nn.ReLU()]
        super().__init__(*layers[:-1])


class GoldenHead(GoldenNet):
    """The same below a convolution for exemplars and one for search regions."""

    def __init__(self, golden):
        super().__init__(golden)
        self.heads = {name: torch.from_numpy(array) for name, array in golden.items() if name.startswith("convfc_")}

    def forward(self, images, kind="x"):
        return conv2d(super().forward(images), self.heads[f"convfc_{kind}_weight"], self.heads[f"convfc_{kind}_bias"])

    def feature_extractor(self, stage=None, stride=None):
        return HeadView(self)


class HeadView(NetworkView):
    def exemplar(self, crops):
        return self.network(self.prepared(crops), "z")


def follow(tracker, frames, box):
    track = tracker.start(frames[0], box)
    return np.stack([box, *(tracker.step([track], frame)[0] for frame in frames[1:])])


def test_golden_features_responses_window_and_boxes(golden):
    expected = golden("siamfc_tracking")
    tracker = SiamFCTracker(build_feature_extractor(GoldenNet(expected)))
    track = tracker.start(expected["frames"][0], expected["init_box"])
    np.testing.assert_allclose(track.exemplar, expected["exemplar_feat"], rtol=0, atol=1e-4)
    rows = cosine_window(272, tracker.device).view(272, 272)[::16]
    np.testing.assert_allclose(rows, expected["hann_window_rows"], rtol=0, atol=1e-12)
    for number, frame in enumerate(expected["frames"][1:]):
        raw = tracker.correlate([track], frame)[0] * expected["hp_out_scale"].item()
        np.testing.assert_allclose(raw, expected["responses"][number], rtol=0, atol=1e-4)
        (box,) = tracker.step([track], frame)
        np.testing.assert_allclose(box, expected["boxes"][number + 1], rtol=0, atol=1e-3)
        state = np.array([*track.target, track.side, track.side * 255 / 120])
        np.testing.assert_allclose(state, expected["state"][number + 1], rtol=0, atol=1e-3)


@pytest.mark.slow
def test_golden_boxes_of_a_head(golden):
    expected = golden("siamfc_tracking")
    tracker = SiamFCTracker(build_feature_extractor(GoldenHead(expected)))
    boxes = follow(tracker, expected["frames"], expected["init_box"])
    assert np.abs(boxes - expected["convfc_boxes"]).max() < 1e-3


@pytest.mark.slow
def test_dilations_are_those_of_vfss_code(golden):
    """Maps of two crops and boxes through a whole ResNet-18 and both convolutions; those of the text differ."""
    expected = golden("siamfc_dilations")
    seed = int(expected["c0_seed"])
    encoder = load("torchvision:resnet18", seed=None)
    with_drawn_weights(encoder.network, seed)
    method = SiamFC("torchvision:resnet18")
    method.backbone = encoder.view("res5", dilated=method.hparams["dilated"])
    with_drawn_weights(nn.ModuleDict({"exemplar_conv": method.exemplar_conv, "search_conv": method.search_conv}), seed)
    method.search_conv.weight.mul_(0.3).add_(method.exemplar_conv.weight)
    crops = {side: torch.from_numpy(expected[f"c0_crop{side}"]).movedim(-1, 0)[None] / 255 for side in (127, 255)}
    for side, every in ((127, 8), (255, 16)):
        (found,) = method.maps(crops[side])
        np.testing.assert_allclose(found[::every], expected[f"c0_map{side}"], rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.double().mean((1, 2)), expected[f"c0_map{side}_mean"], rtol=0, atol=1e-3)
    boxes = follow(SiamFCTracker(method.feature_extractor()), expected["c0_frames"], expected["c0_boxes"][0])
    np.testing.assert_allclose(boxes, expected["c0_boxes"], rtol=0, atol=0.05)
    by_text = encoder.view("res5", dilated="text")(crops[255])[0, ::16]
    assert (by_text - torch.from_numpy(expected["c0_map255"])).abs().max() > 1


def test_targets_tracked_together_are_those_tracked_alone(golden):
    expected = golden("siamfc_tracking")
    frames = expected["frames"][:3]
    boxes = np.array([expected["gt"][0], [30.0, 60, 20, 25], [90.0, 40, 40, 30]])
    tracker = SiamFCTracker(build_feature_extractor(GoldenNet(expected)))
    for box in ([1, 1, 0, 5], [1, np.nan, 5, 5]):
        refused(ValueError, "it needs a width and a height", tracker.start, frames[0], box)
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    together = np.stack([found for _, found in tracker.track(video, boxes)], axis=1)
    for n in range(3):
        np.testing.assert_allclose(together[n], follow(tracker, frames, boxes[n]), rtol=0, atol=1e-3)
