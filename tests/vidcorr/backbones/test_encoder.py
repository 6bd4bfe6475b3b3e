"""Encoders: their descriptions, digests of their weights, defaults of a frozen one.

Also tests `backbones/copies.py`.
"""

import pickle

import pytest
import timm
import torch
from pydantic import ValidationError

from tests.helpers.fake_device import fake_gpu, moved
from vidcorr.backbones import (
    Encoder,
    EncoderSpec,
    LiirEncoder,
    Normalise,
    build_feature_extractor,
    load,
    weights_digest,
)
from vidcorr.backbones.copies import device_of
from vidcorr.description import UNKNOWN, Network
from vidcorr.lightning_modules import FrozenEncoder, Liir

pytestmark = pytest.mark.usefixtures("no_gradients")


TINY_RESNET = "tests.helpers.encoders:TinyResNet"


def test_random_weights_are_named_with_their_seed_and_drawn_by_it():
    name = "timm:test_resnet"
    first, other = load(name), load(name, seed=7)
    assert weights_digest(first) != weights_digest(other)
    assert Network.of(first.network) == Network(name="ResNet")  # nothing is written onto it: it may be trained later
    assert first.described == Network(name="test_resnet", weights="random weights", spec=name, seed=0, loaded=False)
    assert str(other.described) == "test_resnet, random weights, seed 7"
    torch.manual_seed(7)
    before = torch.get_rng_state()
    load(TINY_RESNET)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights_digest(load(name, seed=None)) == weights_digest(other)
    assert not torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert weights_digest(build_feature_extractor(name, "res5")) == weights_digest(other)


def test_a_callable_that_draws_its_weights_has_a_seed_and_colour_has_none():
    described = Network(name="TinyResNet", weights="random weights", spec=TINY_RESNET, seed=0, loaded=False)
    assert Network.of(load(TINY_RESNET)) == described
    assert str(Network.of(load("raw_colour"))) == "raw colour"
    assert str(Network(name="A", weights="weights of b", seed=3)) == "A, weights of b"
    liir = Network(name="LiirEncoder", spec="vidcorr.backbones:LiirEncoder")
    assert Network.of(Liir(position_size=8, bank={"frames": 0})) == liir
    assert Network.of(load(TINY_RESNET), "mine") == described.model_copy(update={"name": "mine", "weights": ""})


def test_a_description_cannot_be_changed_nor_hold_anything_else_and_is_of_a_network():
    assert len({Network(name="A"), Network(name="A")}) == 1
    for wrong in ({"seed": "3"}, {"sead": 3}):
        with pytest.raises(ValidationError):
            Network(name="A", **wrong)


def test_the_spec_of_a_named_network_makes_it_again():
    grey = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    network, colour = {"spec": TINY_RESNET, "stage": "res3"} | grey, {"spec": "raw_colour", "stride": 4}
    liir = {"spec": "vidcorr.backbones:LiirEncoder", "stage": "res2", "arguments": LiirEncoder("none").made_with}
    for stated in (network, colour, liir):
        made = load(EncoderSpec.of(stated, "a.ckpt"))
        assert made.spec.to_dict() == stated
        stride = 2 if stated is liir else stated.get("stride", 8)
        assert (made.view().stage, made.view().stride) == (stated.get("stage", "colour"), stride)
    assert Encoder(torch.nn.Conv2d(3, 4, 4, 4), stage="res3").spec is None


def test_rgb_is_normalised_as_in_the_training_in_the_type_of_the_weights():
    network = timm.create_model("test_vit", dynamic_img_size=True)
    encoder = load(network)  # in memory: of the record that timm keeps with it, also where no weights were loaded
    assert encoder.input.mean == encoder.input.std == (0.5, 0.5, 0.5)
    assert encoder.view().input == encoder.input
    assert load(load("timm:test_vit").network).input == UNKNOWN  # named, its random weights are known
    colour, images = load("raw_colour").view(), torch.rand(1, 3, 16, 20)  # the last cells are cut
    torch.testing.assert_close(colour(images)[..., 1, 2], Normalise()(images)[..., 8:, 16:].mean((2, 3)))
    seen = []
    network = load(TINY_RESNET).network.bfloat16()
    network.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    assert build_feature_extractor(network)(torch.rand(1, 3, 32, 32).fill_(0.5)).dtype == torch.float32
    exact = Normalise()(torch.full((1, 3, 32, 32), 0.5))  # in float32, and rounded once
    assert torch.equal(seen[-1], exact.bfloat16())


def test_a_network_on_a_gpu_has_a_digest_and_a_view_without_a_wait():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    with fake_gpu() as gpu:
        mixed = torch.nn.Sequential(network[0], moved(network[1], gpu.device))
        assert len(weights_digest(mixed)) == 12
        assert device_of(build_feature_extractor(moved(load("timm:test_resnet").network, gpu.device))).type == "cuda"


def test_a_network_by_name_moves_to_the_gpu_as_a_whole_and_a_users_own_stays(monkeypatch):
    monkeypatch.setattr("vidcorr.backbones.encoder.gpu_or_cpu", lambda: torch.device("meta"))
    encoder = load(TINY_RESNET)
    view = encoder.view(placed=True)
    devices = {tensor.device.type for part in (view, encoder.network) for tensor in part.state_dict().values()}
    assert devices == {"meta"}
    for own in (load(TINY_RESNET).network, FrozenEncoder(TINY_RESNET)):
        assert device_of(load(own).view(placed=True)).type == "cpu"


def test_an_encoder_and_its_view_are_pickled_as_for_processes_that_are_spawned():
    module = FrozenEncoder(TINY_RESNET)
    images = torch.rand(1, 3, 32, 32)
    for each in (module.encoder.view(), pickle.loads(pickle.dumps(module)).encoder.view()):
        assert torch.equal(pickle.loads(pickle.dumps(each))(images), module.encoder.view()(images))
