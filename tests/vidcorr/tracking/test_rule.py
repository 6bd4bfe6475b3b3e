"""A user's rule of propagation: what it gets, what it may use, and that nothing of it goes by a paper's name."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from tests.helpers.propagation import one_hot, video
from tests.helpers.refusal import refused
from tests.helpers.sprite import tensors
from vidcorr import BoxPrompt, DavisBenchmark, MaskPrompt, PointPrompt, follow, predict_video
from vidcorr.backbones import load
from vidcorr.functional import LabelPropagator, propagate_labels
from vidcorr.functional.propagation.matches import affinity_of_cells
from vidcorr.functional.propagation.propagate import References, with_rule_of
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder

RULE = "tests.vidcorr.tracking.test_rule.Learnt"


class Same(LabelPropagator):
    """References that are copied."""

    def average(self, query, references):
        copied = References.of(references.frames, references.keys, references.labels, self.protocol)
        return super().average(query, copied)


class Learnt(LabelPropagator):
    """The temperature of the user's module in place of the protocol's."""

    def average(self, query, references):
        factor = self.protocol.temperature / self.network.temperature
        return super().average(query * factor, references)


class First(LabelPropagator):
    """The labels of frame 0, wherever the features are."""

    def average(self, query, references):
        return references.labels[:, :, references.frames.index(0)]


class Own(nn.Module):
    stride = 8

    def __init__(self, temperature=0.01):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(temperature))
        self.convolution = nn.Conv2d(3, 8, 8, stride=8)

    def forward(self, images):
        return self.convolution(images)


class Lightning(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(0.01))
        self.encoder = Own()


@pytest.mark.sampled(6, 3)
@pytest.mark.parametrize("name", PropagationProtocol.sources())
def test_a_rule_gets_the_references_by_which_the_protocol_averages(name):
    """Under every named protocol, with an object that enters: the documented default equals the search in memory."""
    protocol = PropagationProtocol.named(name)
    protocol = protocol.with_changes(**({} if protocol.radius is None else {"radius": 4, "radius_unit": "cell"}))
    features, labels, entering = video(7), one_hot(3), torch.zeros(3, 9, 13)
    labels[0] += labels[2]
    labels[2] = 0
    entering[2, 2:5, 3:6] = 1
    rule = Same(labels, protocol)
    expected = propagate_labels(features, labels, protocol, {3: entering})
    for t, (frame, wanted) in enumerate(zip(features, expected, strict=True)):
        torch.testing.assert_close(rule.step(frame, entering if t == 3 else None), wanted, atol=1e-4, rtol=1e-3)


def test_a_rule_or_a_users_class_of_protocols_does_not_go_by_the_papers_name(davis_root):
    class Newest(PropagationProtocol):
        def reference_frames(self, frame, start=0):
            return [frame - 1]

    protocol, vfs = Newest.named("vfs"), PropagationProtocol.named("vfs")
    assert protocol.name.startswith("vfs+class=tests.vidcorr.tracking.test_rule.")
    made = (LabelPropagator, partial(Learnt, context=2))
    names = [with_rule_of(vfs, rule).rule for rule in made]
    assert names == [None, f"{RULE}(context=2)"]
    assert len({rules.digest() for rules in (protocol, vfs, with_rule_of(vfs, Learnt))}) == 3
    assert Newest(name="own", context=1, topk=1, temperature=1, radius=1).name == "own"
    line = "a rule is code: set `propagator`, here None"
    refused(ValueError, line, DavisBenchmark, davis_root, changes={"rule": RULE})


@pytest.mark.parametrize("module", [Own, Lightning])
def test_a_learnt_number_of_the_users_module_is_reached(module, davis_root, scene):
    network, frames, prompt = module().eval(), tensors(scene[0][:4]), MaskPrompt.of(scene[1][0])

    class OwnDavis(DavisBenchmark):
        propagator = Learnt

    assert FrameEncoder(load(network).view()).network is network
    expected = DavisBenchmark(davis_root, changes={"temperature": 0.01}).evaluate(network)
    own = OwnDavis(davis_root).evaluate(network)
    assert own.scores == pytest.approx(expected.scores, abs=1e-6)
    assert own.stage.protocol.name.endswith(f"+rule={RULE}")
    assert own.stage.protocol.shared_name == f"vfs+rule={RULE}"
    wanted = [mask for _, mask in follow(network, frames, prompt, "vidcorr+temperature=0.01")]
    found = [mask for _, mask in follow(network, frames, prompt, propagator=Learnt)]
    assert (torch.stack(found) == torch.stack(wanted)).float().mean() > 0.999
    assert not torch.equal(torch.stack(found), torch.stack([mask for _, mask in follow(network, frames, prompt)]))


def test_follow_and_predict_take_a_rule_where_labels_are_propagated(colour, folder, scene, tmp_path):
    ids, points = MaskPrompt.of(scene[1][0]), PointPrompt.of([(20, 30)])
    rules = "vidcorr+decoding_guidance=0"  # equal labels are equal masks
    masks = [mask for _, mask in follow(colour, tensors(scene[0]), ids, rules, propagator=First)]
    assert all(torch.equal(mask, masks[1]) for mask in masks[1:])
    places = [place for _, place in follow(colour, tensors(scene[0]), points, propagator=First)]
    assert all(torch.equal(place, places[1]) for place in places[1:])
    content = predict_video(colour, folder / "frames", ids, tmp_path / "out", overlay=False, propagator=First)
    assert content["protocol"]["name"].endswith(f"+rule={RULE.replace('Learnt', 'First')}")
    for prompt, protocol in ((BoxPrompt.of([(8, 8, 20, 20)]), None), (points, "vidcorr-points")):
        message = "propagates no labels: leave .*First out"
        refused(ValueError, message, follow, colour, tensors(scene[0]), prompt, protocol, propagator=First)


def test_affinity_is_the_weights_of_a_rule():
    features, protocol, points = video(4), PropagationProtocol.named("vfs+radius=3"), torch.tensor([[4, 6], [0, 0]])
    found = affinity_of_cells(features, points, protocol, propagator=Learnt, network=Own(0.02))
    expected = affinity_of_cells(features, points, protocol.with_changes(temperature=0.02))
    torch.testing.assert_close(found.weights, expected.weights)


def test_a_rule_of_another_shape_and_ids_without_channels_are_refused():
    class Transposed(LabelPropagator):
        def average(self, query, references):
            return references.labels[:, :, 0].permute(2, 0, 1)

    rule = Transposed(one_hot(3), PropagationProtocol.named("vfs"))
    rule.step(video()[0])
    refused(ValueError, r"Transposed.average must return \(9, 13, 3\), got \(3, 9, 13\)", rule.step, video()[1])
    others = References.of([0], torch.zeros(9, 13, 1, 8), torch.zeros(9, 13, 1, 3), rule.protocol)
    query = torch.zeros(9, 13, 4)
    message = r"the query is \(9, 13, 4\), a reference \(9, 13, 8\)"
    refused(ValueError, message, LabelPropagator(one_hot(3), rule.protocol).average, query, others)
    ids = torch.zeros(9, 13, dtype=torch.long)
    message = r"first_labels must be \(L, h, w\), got \(9, 13\); encode_masks makes them of ids"
    refused(ValueError, message, propagate_labels, video(), ids, rule.protocol)
