"""Siamese masked prediction: each stage against the golden numbers, masks, draws, rates and pairs."""

import json
from copy import deepcopy
from functools import partial
from pathlib import Path
from unittest.mock import Mock, call

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.faults import differences
from tests.helpers.golden_steps import expect_steps, rates_of
from tests.helpers.method_steps import arguments_of, tiny, tiny_batch
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr.datamodules.loading.sampling import GapPairs, PairCrops, resized_crop, seeded_generator
from vidcorr.lightning_modules import FrozenEncoder, SiameseMAE, siamese_mae
from vidcorr.lightning_modules.parts.schedules import cosine_factor

EXACT = {"rtol": 0, "atol": 1e-10}
STORED = {"rtol": 0, "atol": 2e-7}
"""For arrays that are stored in float32."""
TINY = arguments_of("SiameseMAE") | {"decoder_depth": 2}
NAMES = json.loads(Path(__file__).with_name("siamese_mae_names.json").read_text())
OURS = NAMES["CropMAE"]
"""Parts of the names of weights in golden files → ours."""


def renamed(name, table):
    """Return our name of a weight."""
    if name.startswith(("blocks.", "patch_embed.", "norm.")) or name in ("cls_token", "pos_embed"):
        return f"backbone.{name}"
    for theirs, ours in table.items():
        start, found, end = name.partition(theirs)
        if found and (not start or start.endswith(".")):
            return start + ours + end
    return name


def weights_of(numbers):
    """Return the weights of a golden file by our names, in float64."""
    return {name[2:]: torch.from_numpy(array).double() for name, array in numbers.items() if name.startswith("w/")}


def golden_module(numbers, case, monkeypatch):
    """Return a module in float64 with the golden weights, in eval mode, and the case's pair and noise."""
    if not numbers[f"{case}/norm_pix"]:  # made without the released normalisation
        monkeypatch.setattr(siamese_mae, "normalised_patches", lambda patches: patches)
    module = SiameseMAE(**TINY | {"mask_ratio": float(numbers[f"{case}/ratio"])}).double().eval()
    side = int(numbers[f"{case}/img"]) // 8
    module.backbone.patch_embed.grid_size = (side, side)
    module.backbone.pos_embed = nn.Parameter(siamese_mae.sine_cosine_positions(side, side, 48).double(), False)
    weights = {renamed(name, OURS): tensor for name, tensor in weights_of(numbers).items()}
    module.load_state_dict(weights | {"backbone.pos_embed": module.backbone.pos_embed})
    images = torch.from_numpy(numbers[f"{case}/imgs"]).double()
    return module, images[:, 0], images[:, 1], torch.from_numpy(numbers[f"{case}/noise"])


def expect_gradients(module, numbers, prefix, table):
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    names = [name for name in numbers if name.startswith(prefix)]
    assert names
    for name in names:
        ours = renamed(name.removeprefix(prefix), table)
        torch.testing.assert_close(found[ours], torch.from_numpy(numbers[name]), **EXACT)


@pytest.mark.parametrize("case", ["c0", "c1", pytest.param("c2", marks=pytest.mark.slow)])
def test_losses_and_gradients_are_the_golden_ones(golden, case, monkeypatch):
    numbers = golden("siamese_mae/method")
    module, first, second, noise = golden_module(numbers, case, monkeypatch)
    keep = siamese_mae.kept_patches(noise, module.mask_ratio)
    assert np.array_equal(keep, numbers[f"{case}/ids_keep"])
    loss = module.losses(first, second, noise)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(numbers[f"{case}/loss"].item(), abs=1e-10)
    expect_gradients(module, numbers, f"{case}/grad/", OURS)
    if case != "c0":
        memory, visible = module.encode(first), module.encode(second, keep)
        predicted = module.decode(memory, visible, keep, (14, 14))
        for ours, name in ((memory[:, ::7], "memory_s"), (visible, "latent_visible"), (predicted[:, ::3], "pred")):
            torch.testing.assert_close(ours.float(), torch.from_numpy(numbers[f"{case}/{name}"]), **STORED)
        positions = siamese_mae.sine_cosine_positions(14, 14, 32)[:, ::13]
        assert np.array_equal(positions, numbers[f"{case}/decoder_pos_embed"])


def test_four_steps_of_the_optimiser_are_the_golden_ones(golden, monkeypatch):
    numbers = golden("siamese_mae/method")
    module, first, second, noise = golden_module(numbers, "c0", monkeypatch)
    module.rate_of_batch = lambda base_lr: base_lr
    module.total_steps = lambda: 1
    steps = {name.removeprefix("c0/"): array for name, array in numbers.items()}
    expect_steps(module, steps, partial(renamed, table=OURS), lambda: module.losses(first, second, noise)["loss"])


IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
KINDS = {"GlobalToLocal": "global-to-local", "LocalToGlobal": "local-to-global"}


def normalised(views):
    return (torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 255 - IMAGENET[0]) / IMAGENET[1]


def grey_levels(ours, golden):
    return float((ours - torch.from_numpy(golden)).mul(IMAGENET[1]).abs().max()) * 255


@pytest.mark.parametrize("length", [2, 5, 48, 300])
def test_pairs_of_frames_have_the_golden_gaps(golden, length):
    theirs = golden("siamese_mae/data")[f"pairs/n{length}"].reshape(-1, 2)
    sampling = GapPairs((4, 47))
    ours = torch.stack([sampling(length, 4, seeded_generator(seed)) for seed in range(400)]).view(-1, 2).numpy()
    assert set(ours[:, 1] - ours[:, 0]) == set(theirs[:, 1] - theirs[:, 0])
    assert (ours.min(), ours.max()) == (theirs.min(), theirs.max())


@pytest.mark.parametrize("case", range(5))
def test_crops_of_one_picture_are_the_golden_ones(golden, case, monkeypatch):
    numbers = {name.partition("/")[2]: a for name, a in golden("siamese_mae/data").items() if f"crops{case}/" in name}
    picture, size = numbers["picture"].transpose(1, 2, 0), int(numbers["size"])
    boxes = [tuple(box) for box in numbers["boxes"].tolist()]
    flips = numbers["flips"].astype(bool).tolist()
    kind = KINDS.get(str(numbers["strategy"]))
    if kind is not None:
        views = PairCrops(kind).views(picture, picture, size, boxes, flips)
    else:  # RandomViews and SameViews, the same crop and flip without the order
        views = [resized_crop(picture, box, size) for box in (boxes[0], boxes[-1])]
        views = [view[:, ::-1] if flip else view for view, flip in zip(views, flips, strict=True)]
    allowed = 0.001 if numbers["decoded_as"] == "pil" else 2.5  # torchvision's uint8 kernel, twice
    assert grey_levels(normalised(views), numbers["out"]) < allowed


@pytest.mark.parametrize("case", range(2))
def test_the_crop_of_two_frames_is_the_golden_one(golden, case):
    numbers = golden("siamese_mae/data")
    first, second = numbers[f"pair{case}/frames"].transpose(0, 2, 3, 1)
    flip = bool(numbers[f"pair{case}/flip"])
    box = tuple(numbers[f"pair{case}/box"].tolist())
    views = PairCrops("shared").views(first, second, 32, (box, box), (flip, not flip))
    assert grey_levels(normalised(views), numbers[f"pair{case}/out"]) < 1.01  # from tensors, once


@pytest.mark.parametrize(("file", "key"), [("siamese_mae/data", "before_step"), ("cosettle/data", "lr")])
def test_the_rate_of_each_step_is_the_golden_one(golden, file, key):
    numbers = golden(file)
    base_lr, batch, epochs, warmup, iterations = numbers["schedule/params"].tolist()
    steps = int(epochs * iterations)
    warm = warmup / epochs * steps
    rates = [base_lr * batch / 256 * cosine_factor(step, steps, warm) for step in range(steps)]
    np.testing.assert_allclose(rates, numbers[f"schedule/{key}"], rtol=0, atol=1e-12)
    if "schedule/accum1" in numbers:  # CropMAE's order: the rate of the step before, and the full one at first
        lagging = numbers["schedule/accum1"]
        np.testing.assert_allclose(rates[:-1], lagging[1:], rtol=0, atol=1e-12)
        assert lagging[0] == base_lr * batch / 256


def test_a_fresh_network_starts_as_in_mae():
    module = SiameseMAE("timm:vit_tiny_patch16_224")
    network = module.backbone
    assert torch.equal(network.pos_embed, siamese_mae.sine_cosine_positions(14, 14, 192))
    assert not network.pos_embed.requires_grad
    block = module.decoder_blocks[0]
    assert network.patch_embed.proj.weight.abs().max().item() == pytest.approx((6 / (192 + 768)) ** 0.5, rel=1e-3)
    for layer in (network.blocks[0].attn.qkv, module.decoder_embed, block.mlp[0], module.decoder_pred):
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert not layer.bias.any()
    for token in (network.cls_token, module.mask_token):
        assert token.std().item() == pytest.approx(0.02, rel=0.08)


def test_positions_are_sines_unless_the_backbone_is_a_checkpoint(tmp_path):
    module = SiameseMAE(**TINY)
    assert torch.equal(module.backbone.pos_embed, siamese_mae.sine_cosine_positions(4, 4, 48))
    trained = FrozenEncoder(TINY["backbone"])
    write_checkpoint(trained, tmp_path / "vit.ckpt")
    started = SiameseMAE(**TINY | {"backbone": str(tmp_path / "vit.ckpt")})
    assert started.arguments_again()["backbone"]["spec"] == TINY["backbone"]  # its own checkpoints hold the weights
    torch.testing.assert_close(started.backbone.state_dict(), trained.encoder.network.state_dict(), rtol=0, atol=0)
    assert not torch.equal(started.backbone.pos_embed, module.backbone.pos_embed)
    assert not started.backbone.pos_embed.requires_grad


def test_masks_and_dropout_are_functions_of_seed_epoch_and_batch():
    module, batch = SiameseMAE(**TINY), {"clip": torch.rand(2, 2, 3, 32, 48)}
    same, other = deepcopy(module), deepcopy(module)
    state = torch.get_rng_state()
    module.generator = Mock(wraps=module.generator)
    first = module.step(batch)["loss"]
    assert module.generator.mock_calls == [call(0), call(0, 1)]  # of the rank; the dropout has its own
    assert torch.equal(state, torch.get_rng_state())  # the dropout leaves the global state alone
    torch.rand(7)
    assert torch.equal(same.step(batch)["loss"], first)
    assert not torch.equal(same.step(batch)["loss"], first)  # the next batch
    other.decoder_blocks.eval()
    assert not torch.equal(other.step(batch)["loss"], first)


def test_each_pair_of_a_clip_is_predicted():
    clip = torch.rand(3, 4, 3, 32, 32)
    module = SiameseMAE(**TINY, pairs_per_video=2).eval()
    module.encode = Mock(wraps=module.encode)
    module.step({"clip": clip})
    for step, frames in zip(module.encode.call_args_list, (clip[:, ::2], clip[:, 1::2]), strict=True):
        torch.testing.assert_close(step.args[0], module.normalise(frames.flatten(0, 1)))


def test_the_rate_counts_pairs_and_the_first_step_has_rate_0():
    module = SiameseMAE(**TINY, pairs_per_video=2, warmup=0.25)
    lengths = {"num_training_batches": 4, "estimated_stepping_batches": 8, "accumulate_grad_batches": 1}
    module.trainer = Mock(train_dataloader=Mock(batch_size=4), world_size=1, **lengths)
    expected = [1e-4 * 8 / 256 * factor for factor in (0, 0.5, *(cosine_factor(step, 6) for step in range(6)))]
    np.testing.assert_allclose(rates_of(module, 8), expected)
    assert (module.samples, module.global_batch()) == ("pairs", 8)
    assert module.adamw_with_warmup(1e-4, 0.0, 0.0)["optimizer"].param_groups[0]["lr"] > 0  # neither


def test_other_networks_and_ratios_are_refused():
    for ratio in (0, 1, 95):
        refused(ValueError, rf"mask_ratio must be in \(0, 1\), got {ratio}", SiameseMAE, mask_ratio=ratio)
    for backbone in ("torchvision:resnet18", "timm:vit_tiny_patch16_dinov3_qkvb"):
        refused(ValueError, "trains a ViT of timm with a class token and positions", SiameseMAE, backbone)


def test_blocks_are_computed_again_in_the_backward_pass_if_the_backbone_says_so(monkeypatch):
    batch = tiny_batch("SiameseMAE")
    counted = Mock(side_effect=siamese_mae.checkpoint)
    monkeypatch.setattr(siamese_mae, "checkpoint", counted)
    gradients, calls = [], []
    for saves_memory in (False, True):
        module = tiny("SiameseMAE")
        module.backbone.set_grad_checkpointing(saves_memory)
        module.step(batch)["loss"].backward()
        gradients.append({name: weight.grad for name, weight in module.backbone.named_parameters()})
        calls.append(counted.call_count)
    assert calls == [0, 2 * len(module.backbone.blocks)]  # both pictures
    assert differences(*gradients) == []
