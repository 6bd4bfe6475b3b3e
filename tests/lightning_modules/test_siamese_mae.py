"""Siamese masked prediction: each stage against the golden numbers, masks, draws, rates, pairs, and resuming."""

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules import SiameseMAE
from lightning_modules.siamese_mae import (
    DecoderBlock,
    kept_patches,
    masked_error,
    normalised_patches,
    patches_of,
    sine_cosine_positions,
)
from tests.helpers.encoders import tiny_vit
from tests.helpers.refusal import refused

EXACT = {"rtol": 0, "atol": 1e-10}
STORED = {"rtol": 0, "atol": 2e-7}
"""For arrays that are stored in float32."""
TINY = {
    "backbone": "tests.helpers.encoders:tiny_vit",
    "decoder_width": 32,
    "decoder_depth": 2,
    "decoder_heads": 4,
    "decoder_hidden": 64,
}
OURS = {
    "multihead_attn": "cross_attention",
    "self_attn": "self_attention",
    "linear1": "mlp.0",
    "linear2": "mlp.3",
    "norm1": "norm_self",
    "norm2": "norm_cross",
    "norm3": "norm_mlp",
}
OURS_OF_TOBO = {
    "decoder_embed_mae": "decoder_embed",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "cattn.proj": "cross_attention.out_proj",
    "norm1": "norm_cross",
    "norm_kv1": "norm_memory",
    "norm3": "norm_self",
    "norm4": "norm_mlp",
    "mlp2.fc1": "mlp.0",
    "mlp2.fc2": "mlp.3",
}


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


def golden_module(numbers, case):
    """Return a module in float64 with the golden weights, in eval mode, and the case's pair and noise."""
    ratio, norm_pix = float(numbers[f"{case}/ratio"]), bool(numbers[f"{case}/norm_pix"])
    options = TINY | {"decoder_hidden": 2048, "mask_ratio": ratio, "normalised_target": norm_pix}
    module = SiameseMAE(**options).double().eval()
    side = int(numbers[f"{case}/img"]) // 8
    module.backbone.patch_embed.grid_size = (side, side)
    module.backbone.pos_embed = nn.Parameter(sine_cosine_positions(side, side, 48).double(), False)
    weights = {renamed(name, OURS): tensor for name, tensor in weights_of(numbers).items()}
    module.load_state_dict(weights | {"backbone.pos_embed": module.backbone.pos_embed})
    images = torch.from_numpy(numbers[f"{case}/imgs"]).double()
    return module, images[:, 0], images[:, 1], torch.from_numpy(numbers[f"{case}/noise"])


def listened(module):
    """Return lists that fill with the outputs of the decoder's parts, by name."""
    heard = {name: [] for name in ("norm_cross", "norm_mlp", "norm_self", "decoder_norm", "decoder_embed", "block")}
    for name, part in module.named_modules():
        last = name.rpartition(".")[2]
        key = "block" if isinstance(part, DecoderBlock) else last
        if key in heard and not name.startswith("backbone"):
            part.register_forward_hook(lambda _, given, out, key=key: heard[key].append((given[0], out)))
    return heard


def expect_gradients(module, numbers, prefix, table):
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    names = [name for name in numbers if name.startswith(prefix)]
    assert names
    for name in names:
        ours = renamed(name.removeprefix(prefix), table)
        torch.testing.assert_close(found[ours], torch.from_numpy(numbers[name]), **EXACT)


def test_every_stage_is_the_golden_one(golden):
    numbers = golden("siamese_mae/method")
    module, first, second, noise = golden_module(numbers, "c0")
    keep, heard = kept_patches(noise, 0.75), listened(module)
    assert np.array_equal(keep, numbers["c0/ids_keep"])
    memory, visible = module.encode(first), module.encode(second, keep)
    predicted = module.decode(memory, visible, keep, (4, 4))
    target = normalised_patches(patches_of(second, 8))
    stages = {
        "memory": memory,
        "latent_visible": visible,
        "decoder_memory": heard["decoder_embed"][0][1],
        "decoder_visible": heard["decoder_embed"][1][1],
        "decoder_input": heard["block"][0][0],
        "decoder_after_cross": torch.stack([out for _, out in heard["norm_cross"]]),
        "decoder_after_mlp": torch.stack([out for _, out in heard["norm_mlp"]]),
        "decoder_after_self": torch.stack([out for _, out in heard["norm_self"]]),
        "decoder_normed": heard["decoder_norm"][0][1],
        "pred": predicted,
        "target": target,
        "patch_loss": (predicted - target).square().mean(-1),
    }
    for name, ours in stages.items():
        torch.testing.assert_close(ours, torch.from_numpy(numbers[f"c0/{name}"]), **EXACT, msg=lambda m, n=name: n + m)
    for name, width in (("pos_embed", 48), ("decoder_pos_embed", 32)):
        assert np.array_equal(sine_cosine_positions(4, 4, width), numbers[f"c0/{name}"])


@pytest.mark.parametrize("case", ["c0", "c1", "c2"])
def test_losses_and_gradients_are_the_golden_ones(golden, case):
    numbers = golden("siamese_mae/method")
    module, first, second, noise = golden_module(numbers, case)
    keep = kept_patches(noise, module.hparams["mask_ratio"])
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
        positions = sine_cosine_positions(14, 14, 32)[:, ::13]
        assert np.array_equal(positions, numbers[f"{case}/decoder_pos_embed"])


def test_four_steps_of_the_optimiser_are_the_golden_ones(golden, monkeypatch):
    numbers = golden("siamese_mae/method")
    module, first, second, noise = golden_module(numbers, "c0")
    lr = float(numbers["c0/steps/lr"])
    monkeypatch.setattr(module, "rate_of_batch", lambda base_lr: lr)
    monkeypatch.setattr(module, "total_steps", lambda: 1)
    optimizer = module.configure_optimizers()["optimizer"]
    decayed = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    named = dict(module.named_parameters())
    ours = {name for name, parameter in named.items() if id(parameter) in decayed}
    assert ours == {renamed(str(name), OURS) for name in numbers["c0/steps/decayed"]}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0]
    for group in optimizer.param_groups:
        group["lr"] = lr  # constant in the golden steps
    for loss in numbers["c0/steps/loss"]:
        optimizer.zero_grad()
        found = module.losses(first, second, noise)["loss"]
        assert found.item() == pytest.approx(loss, abs=1e-10)
        found.backward()
        optimizer.step()
    for name, array in numbers.items():
        if name.startswith("c0/steps/after/"):
            ours = named[renamed(name.removeprefix("c0/steps/after/"), OURS)]
            torch.testing.assert_close(ours, nn.Parameter(torch.from_numpy(array)), **EXACT)


def test_the_bottleneck_branch_is_the_golden_one(golden, monkeypatch):
    numbers = golden("siamese_mae/bottleneck")
    positions = torch.from_numpy(numbers["w/decoder_pos_embed"])  # ToBo computes its frequencies in float32
    torch.testing.assert_close(sine_cosine_positions(4, 4, 32), positions, rtol=0, atol=1e-7)
    monkeypatch.setattr("lightning_modules.siamese_mae.sine_cosine_positions", lambda *_: positions)
    options = {"decoder": "pre-norm", "decoder_hidden": 128, "mask_ratio": 0.75, "bottleneck": 1.0}
    module = SiameseMAE(**TINY | options).double().eval()
    weights = {renamed(name, OURS_OF_TOBO): tensor for name, tensor in weights_of(numbers).items()}
    for index in range(2):
        for part in ("weight", "bias"):
            name = f"decoder_blocks.{index}.cattn"
            joined = [weights.pop(f"{name}.q.{part}"), weights.pop(f"{name}.kv.{part}")]
            weights[f"decoder_blocks.{index}.cross_attention.in_proj_{part}"] = torch.cat(joined)
    weights.pop("decoder_pos_embed")
    module.load_state_dict(weights)
    images = torch.from_numpy(numbers["imgs"]).double()
    noise = torch.from_numpy(numbers["noise"])
    heard = listened(module)
    keep = kept_patches(noise, 0.75)
    memory, visible = module.encode(images[:, 0]), module.encode(images[:, 1], keep)
    torch.testing.assert_close(memory, torch.from_numpy(numbers["memory"]), **EXACT)
    torch.testing.assert_close(visible, torch.from_numpy(numbers["latent_visible"]), **EXACT)
    target = normalised_patches(patches_of(images[:, 1], 8))
    for branch in ("patch", "bottleneck"):
        module.zero_grad()
        heard["block"].clear()
        memory, visible = module.encode(images[:, 0]), module.encode(images[:, 1], keep)
        predicted = module.decode(memory, visible, keep, (4, 4), from_class=branch == "bottleneck")
        torch.testing.assert_close(predicted, torch.from_numpy(numbers[f"pred_{branch}"]), **EXACT)
        stages = torch.stack([out for _, out in heard["block"]])
        torch.testing.assert_close(stages, torch.from_numpy(numbers[f"decoder_{branch}"]), **EXACT)
        loss = masked_error(predicted, target, keep)
        assert loss.item() == pytest.approx(numbers[f"loss_{branch}"].item(), abs=1e-10)
        loss.backward()
        gradients = {name: array for name, array in numbers.items() if name.startswith(f"grad_{branch}/")}
        of_query = gradients.pop(f"grad_{branch}/decoder_blocks.0.cattn.q.weight", None)
        of_memory = gradients.pop(f"grad_{branch}/decoder_blocks.0.cattn.kv.bias", None)
        expect_gradients(module, gradients, f"grad_{branch}/", OURS_OF_TOBO)
        attention = module.decoder_blocks[0].cross_attention
        if branch == "patch":
            torch.testing.assert_close(attention.in_proj_weight.grad[:32], torch.from_numpy(of_query), **EXACT)
            torch.testing.assert_close(attention.in_proj_bias.grad[32:], torch.from_numpy(of_memory), **EXACT)
    both = module.losses(images[:, 0], images[:, 1], noise)
    assert both["loss"].item() == pytest.approx(numbers["loss"].item(), abs=1e-10)


def test_the_number_of_kept_patches_is_cut_not_rounded():
    assert kept_patches(torch.rand(1, 100), 0.9).shape == (1, 9)
