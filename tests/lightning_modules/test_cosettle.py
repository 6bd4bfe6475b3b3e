"""Co-Settle: each stage against the golden numbers, draws of positions, encoders of other kinds, and resuming."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from tests.helpers.golden_steps import expect_steps
from tests.helpers.refusal import refused
from vidcorr.datamodules.loading.sampling import FractionPairs, PairCrops, resized_crop, seeded_generator
from vidcorr.description import stated_input
from vidcorr.lightning_modules import CoSettle, cosettle

EXACT = {"rtol": 0, "atol": 1e-10}
VIT = "tests.helpers.encoders:tiny_vit"
LINEAR, NORM = "adapter.adapter.adapter_linear", "adapter.adapter.adapter_layer_norm1"
OURS = {LINEAR: "projection.linear", NORM: "projection.norm"}


def tensor(numbers, name):
    found = torch.from_numpy(numbers[name])
    return found.double() if found.is_floating_point() else found


def expect(ours, numbers, name):
    torch.testing.assert_close(ours, tensor(numbers, name), **EXACT, msg=lambda text: f"{name}: {text}")


def ours_of(name):
    """Return our name of a weight."""
    part, _, kind = name.rpartition(".")
    return f"{OURS[part]}.{kind}" if part in OURS else f"backbone.network.{name}"


@pytest.fixture(params=["mae", "dino"])
def case(request, golden, monkeypatch):
    """A golden network: its numbers and the module in float64 with its weights, and pictures as they are."""
    prefix = f"{request.param}/"
    everything = golden("cosettle/method").items()
    numbers = {name.removeprefix(prefix): array for name, array in everything if name.startswith(prefix)}
    size, patch = numbers["config"][:2].tolist()
    temperature, stretch, weight = numbers["params"].tolist()
    options = {"temperature": temperature, "stretch": stretch, "separability": weight}
    if request.param == "dino":  # made by the code's alternative
        monkeypatch.setattr(cosettle, "separability_loss", mse_loss)
    module = CoSettle(VIT, **options).double()
    network = module.backbone.network
    network.patch_embed.grid_size = (size // patch, size // patch)
    network.pos_embed = nn.Parameter(tensor(numbers, "w/pos_embed"), requires_grad=False)
    weights = {ours_of(name[2:]): tensor(numbers, name) for name in numbers if name.startswith("w/")}
    module.load_state_dict(weights)
    module.backbone = module.backbone.changed(stated=stated_input((0, 0, 0), (1, 1, 1)))
    draw(module, monkeypatch, np.tile(numbers["offsets"], 2))
    return module, numbers


def draw(module, monkeypatch, offsets):
    """Hand over the golden row and column of the piece, in this order."""
    left = offsets.tolist()
    monkeypatch.setattr("vidcorr.lightning_modules.cosettle.torch.randint", lambda *_, **__: torch.tensor(left.pop(0)))


def test_losses_and_gradients_of_a_step_are_the_golden_ones(case):
    module, numbers = case
    network, side = module.backbone.network, int(numbers["pos_aug"].shape[1] ** 0.5)
    changed = module.drawn_positions(network, (side, side))
    expect(changed[:, 1:], numbers, "pos_aug")
    assert torch.equal(changed[:, :1], network.pos_embed[:, :1])
    found = module.losses(module.encode(tensor(numbers, "imgs1")[:, 1], tensor(numbers, "imgs2")[:, 1]))
    expect(found["cycle"], numbers, "cycle_loss")
    expect(found["separability"], numbers, "reg_loss")
    identity = numbers["sim_identity"].item()  # the code's identity is float32, and so is its norm
    assert found["identity"].item() == pytest.approx(identity, abs=2e-8)
    assert found["accuracy"].item() == numbers["cycle_acc"].item()
    expect(found["loss"], numbers, "loss")
    found["loss"].backward()
    gradients = {ours_of(name.removeprefix("grad/")): name for name in numbers if name.startswith("grad/")}
    learned = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    assert learned.keys() == gradients.keys()
    for name, weight in learned.items():
        expect(weight.grad, numbers, gradients[name])


def test_features_of_a_larger_picture_are_the_golden_ones(case):
    module, numbers = case
    image = tensor(numbers, "eval_image")
    for view, name in ((module.frozen_view(), "eval_features_plain"), (module.feature_extractor(), "eval_features")):
        for part in view.modules():
            part.positions = "dino"  # a protocol's rule
        cells = view(image).flatten(2).mT
        expect(cells, numbers | {name: numbers[name][:, -cells.shape[1] :]}, name)  # DINO's has a class token


@pytest.mark.parametrize("case", ["mae"], indirect=True)
def test_four_steps_are_the_golden_ones(case, monkeypatch):
    module, numbers = case
    module.rate_of_batch = lambda base_lr: base_lr / 1e-4 * float(numbers["steps/base_lr"])
    module.total_steps = lambda: 10
    draw(module, monkeypatch, numbers["steps/offsets"].flatten())
    first, second = (tensor(numbers, name)[:, 1] for name in ("imgs1", "imgs2"))
    expect_steps(module, numbers, ours_of, lambda: module.losses(module.encode(first, second))["loss"])


@pytest.mark.parametrize("number", range(4))
def test_pieces_of_stretched_positions_are_the_golden_ones(golden, number):
    numbers = {k.partition("/")[2]: a for k, a in golden("cosettle/parts").items() if k.startswith(f"pea{number}/")}
    positions = tensor(numbers, "pos")
    side = int(positions.shape[1] ** 0.5)
    stretch, grid = float(numbers["alpha"]), positions.unflatten(1, (side, side))
    size = cosettle.stretched_size((side, side), stretch)
    assert size == (int(numbers["upsampled_size"]),) * 2
    assert size[0] - side + 1 == int(numbers["offset_bound_exclusive"])
    for corner, wanted in zip(numbers["offsets"].tolist(), tensor(numbers, "out"), strict=True):
        found = cosettle.augmented_positions(grid, stretch, corner)
        torch.testing.assert_close(found.flatten(1, 2)[0], wanted, **EXACT)


def test_positions_of_a_grid_that_is_not_square_are_changed_too(monkeypatch):
    positions = torch.rand(1, 2 + 3 * 4, 8)  # with two tokens that are no patches
    network = SimpleNamespace(pos_embed=positions, patch_embed=SimpleNamespace(grid_size=(3, 4)))
    module = CoSettle(VIT, stretch=1.0)
    monkeypatch.setattr("vidcorr.lightning_modules.cosettle.torch.randint", lambda end, *_, **__: torch.tensor(end - 1))
    changed = module.drawn_positions(network, (3, 4))
    piece = cosettle.augmented_positions(positions[:, 2:].unflatten(1, (3, 4)), 1.0, (3, 4))  # of 6 x 8, the last
    torch.testing.assert_close(changed, torch.cat([positions[:, :2], piece.flatten(1, 2)], dim=1))


@pytest.mark.parametrize("length", [1, 5, 7, 14, 300])
def test_pairs_of_frames_follow_the_golden_rule(golden, length):
    theirs = {(first, last) for first, last in golden("cosettle/data")[f"frames/n{length}"].tolist()}
    sampling = FractionPairs(0.15)
    ours = {tuple(sampling(length, 2, seeded_generator(seed)).tolist()) for seed in range(400)}
    if length <= 14:
        assert ours == theirs
    else:  # too many for all to be drawn
        assert {last - first for first, last in ours} == {last - first for first, last in theirs}


@pytest.mark.parametrize("number", range(2))
def test_crops_are_the_golden_ones_rounded_to_grey_levels(golden, number):
    numbers = golden("cosettle/data")
    frames, flip = numbers[f"aug{number}/frames"], bool(numbers[f"aug{number}/flip"])
    box = tuple(numbers[f"aug{number}/crop"].tolist())
    crops = PairCrops("shared", bicubic=True, squeezed=True)
    squeezed = [resized_crop(frame, (0, 0, *frame.shape[:2]), 224) for frame in frames]
    theirs = numbers[f"aug{number}/resized224_s"] * 255
    np.testing.assert_allclose(np.stack(squeezed)[:, ::7, ::7].transpose(0, 3, 1, 2), theirs, rtol=0, atol=1e-4)
    views = crops.views(*squeezed, 224, (box, box), (flip, flip))
    ours = torch.from_numpy(np.stack(views))[:, ::7, ::7].permute(0, 3, 1, 2)
    mean, std = (torch.tensor(n).view(3, 1, 1) for n in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    theirs = (torch.from_numpy(numbers[f"aug{number}/out_s"]) * std + mean).clamp(0, 1) * 255
    assert (ours - theirs).abs().max() < 1.01  # Pillow rounds after each direction


def test_positions_are_drawn_by_seed_epoch_and_batch_for_vits_alone():
    module, clip = CoSettle(VIT).eval(), torch.rand(2, 2, 3, 48, 48)
    frozen = module.encode(clip[:, 0], clip[:, 1])
    assert torch.equal(module.encode(clip[:, 0], clip[:, 1]), frozen)
    assert not torch.allclose(frozen[:, 0], frozen[:, 2], atol=1e-3)
    module.train()
    assert not torch.equal(module.encode(clip[:, 0], clip[:, 1]), module.encode(clip[:, 0], clip[:, 1]))
    unchanged = CoSettle(VIT, stretch=0).encode(clip[:, 0], clip[:, 1])
    assert torch.equal(unchanged[:, 0], unchanged[:, 2])
    of_resnet = CoSettle("tests.helpers.encoders:TinyResNet").encode(clip[:, 0], clip[:, 1])
    assert of_resnet.shape == (2, 3, 8, 6, 6)
    assert torch.equal(of_resnet[:, 0], of_resnet[:, 2])


def test_its_features_are_the_projected_ones():
    module = CoSettle("vidcorr-r18")
    assert module.projection.linear.weight.abs().max().item() == pytest.approx((6 / 512) ** 0.5, rel=1e-3)
    assert not module.projection.linear.bias.any()
    images, view, inner = torch.rand(1, 3, 40, 56), module.feature_extractor(), module.frozen_view()
    torch.testing.assert_close(view(images), module.projection(inner(images).movedim(1, -1)).movedim(-1, 1))
    torch.testing.assert_close(view.folded()(images), view(images), rtol=1e-3, atol=1e-4)
    for name in ("stage", "stages", "stride", "multiple"):
        assert getattr(view, name) == getattr(inner, name)
    assert (module.frozen_view(stride=16).stride, CoSettle("vidcorr-r18", "res3").frozen_view().stage) == (16, "res3")
    refused(ValueError, "not on stage res3", module.feature_extractor, "res3")
