"""Fields that count under a condition alone: without it another value moves no number, and renames no result."""

import importlib
import json
import pkgutil
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.propagation import one_hot, video
from vidcorr.backbones import load
from vidcorr.functional import LabelPropagator, decode_masks, points, propagation, track_points
from vidcorr.functional.propagation.coding import fit_input
from vidcorr.protocols import PointProtocol, PropagationProtocol
from vidcorr.protocols.base import READ_BY_NETWORK, OnlyIf
from vidcorr.protocols.network_input import NetworkInput
from vidcorr.tracking.frame_encoder import FrameEncoder

IDLE = json.loads(Path(__file__).with_name("idle.json").read_text())
"""Kind → field → changes under which the field is idle, and another value of it."""
BASES = {PropagationProtocol: PropagationProtocol.named("vfs", "davis"), PointProtocol: PointProtocol.named("fomo")}


def marked():
    """Yield kind and field of all fields with a condition; those of the network's input once."""
    for kind in BASES:
        for field in kind.value_fields():
            is_inherited = kind is not PropagationProtocol and field in NetworkInput.model_fields
            if not is_inherited and any(isinstance(mark, OnlyIf) for mark in kind.model_fields[field].metadata):
                yield kind, field


def masks_by(protocol):
    """Propagated and decoded masks, and the network's input."""
    features, rule = video(4), LabelPropagator(one_hot(3), protocol)
    labels = [rule.step(each) for each in features]
    frame = torch.randint(256, (1, 3, 40, 64)).byte()
    masks = [decode_masks(each, [1, 2], protocol, (72, 104)) for each in labels]
    return [fit_input(frame, protocol), *labels, *masks]


def points_by(protocol):
    queries = torch.tensor([[0.0, 40.0, 60.0], [1.0, 90.0, 30.0]], dtype=torch.float64)
    side = float(protocol.scored_size)
    found = track_points(list(video(4)).__getitem__, 4, queries, protocol, (side, side))
    return [found.points, found.occluded, found.similarity]


NUMBERS = {PropagationProtocol: masks_by, PointProtocol: points_by}


@pytest.mark.parametrize(("kind", "field"), list(marked()), ids=lambda value: getattr(value, "__name__", value))
def test_another_value_moves_no_number_and_no_name(kind, field):
    changes, value = IDLE[kind.__name__][field]
    protocol = BASES[kind].with_changes(**changes)
    other = protocol.with_changes(**{field: value})
    assert getattr(other, field) != getattr(protocol, field)
    assert (other.name, other.digest()) == (protocol.name, protocol.digest())
    assert other.effective_values() == protocol.effective_values()
    assert kind.named(protocol, protocol.benchmark, {field: value}).idle().keys() >= {field}
    numbers = []
    for each in (protocol, other):
        torch.manual_seed(3)
        numbers.append(NUMBERS[kind](each))
    for found, expected in zip(*numbers, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0, equal_nan=True)


WITHOUT_EFFECT = {
    *("CHUNK", "FIRST_LENGTH", "TINY", "LARGE", "MOST_MATCHES", "ROWS"),  # of the exact search
    *("LENGTHEN_ABOVE", "LENGTHEN_ABOVE_AT_START", "FIRST_WORDS", "LARGEST_INTEGER"),  # of its sketches
    *("CHECKED_TOGETHER", "NEARBY", "KEPT_MAPS", "KEPT_MATCHES", "QUADS"),  # of memory
    "GREY",  # the colour of padding, which `input_padding` states
}
OF_ALL_PROTOCOLS = {"WHITENING_POWER", "WHITENING_FLOOR"}
"""They have one value in every named protocol, which tests/helpers/plain_propagation.py repeats."""


@pytest.mark.parametrize("package", [propagation, points])
def test_no_number_that_a_score_depends_on_is_a_constant(package):
    """It would be no field, and so neither in a name nor in a digest."""
    found = set()
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        members = vars(importlib.import_module(module.name))
        constants = {name: value for name, value in members.items() if name.lstrip("_").isupper()}
        found |= {name for name, value in constants.items() if isinstance(value, int | float)}
    assert found
    assert found - {"TILE"} <= WITHOUT_EFFECT | OF_ALL_PROTOCOLS


@pytest.mark.parametrize("change", [{"position_embedding": "dino"}, {"final_norm": False}, {"features": "res3/4"}])
@pytest.mark.sampled(2)
def test_what_a_network_ignores_renames_nothing_and_is_said(change):
    """By a ResNet with a stage of its own, a module, and raw colour."""
    (field,) = change
    vfs = PropagationProtocol.named("vfs", "davis")
    assert READ_BY_NETWORK in PropagationProtocol.model_fields[field].metadata
    for network in ("torchvision:resnet18@res4", nn.AvgPool2d(8), "raw_colour"):
        view = load(network).view()
        with pytest.warns(UserWarning, match=f"change of {field} moves no number: it counts only if the network"):
            found = FrameEncoder(view, vfs.with_changes(**change)).protocol
        assert found == FrameEncoder(view, vfs).protocol
    if field != "features":
        assert field in FrameEncoder(load("timm:test_vit").view(), vfs.with_changes(**change)).protocol.changes
    else:
        resnet = load("torchvision:resnet18").view(of_protocol="res3/4")
        assert FrameEncoder(resnet, vfs.with_changes(**change)).protocol.name == "vfs+feature_stride=4+features=res3/4"
