"""DINOv2's and DINOv3's transformers."""

import pytest
import timm
import torch

from lightning_modules.backbones import build_network, module_from_checkpoint
from lightning_modules.foreign import FAMILIES
from lightning_modules.foreign.conversion import convert


@pytest.mark.parametrize(("width", "size"), [(384, "small"), (768, "base")])
@pytest.mark.parametrize("patch", [16, 8])
def test_dinos_transformers_have_names_with_imagenets_normalisation(width, size, patch):
    state = {"patch_embed.proj.weight": torch.empty(width, 3, patch, patch), "cls_token": torch.empty(1, 1, width)}
    spec = FAMILIES["dino"].convert(state, None).init_args["spec"]
    assert spec == f"timm:vit_{size}_patch{patch}_224.dino"
    assert timm.get_pretrained_cfg(spec.removeprefix("timm:")).mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2",
        "vit_small_patch16_dinov3",
        "vit_small_patch16_dinov3_qkvb",
    ],
)
def test_dinov2_and_dinov3_convert_with_registers_and_layer_scale(name, tmp_path):
    network = build_network(f"timm:{name}")
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.endswith(("q_bias", "v_bias", "gamma_1", "gamma")):
                parameter.uniform_(0.5, 1.5)
    torch.save(of_dinov2(network, "dinov3" in name), tmp_path / "dino.pth")
    report = convert(tmp_path / "dino.pth", tmp_path / "ours.ckpt")
    assert report.family == "dinov2"
    assert report.converted.init_args["spec"] == f"timm:{name}"
    assert report.converted.unused["mask_token"] == "stands for masked patches in training"
    own = module_from_checkpoint(tmp_path / "ours.ckpt").encoder.network.state_dict()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(own[key], value)


def of_dinov2(network, third=False):
    """A network of timm under the names of DINOv2's or DINOv3's own code."""
    state = dict(network.state_dict())
    registers = state.pop("reg_token", None)
    if registers is not None:
        state["storage_tokens" if third else "register_tokens"] = registers
    if registers is not None and not third:
        own = torch.rand(1, 1, state["cls_token"].shape[2])
        state["pos_embed"] = torch.cat([own, state["pos_embed"]], dim=1)
        state["cls_token"] = state["cls_token"] - own
    for name in list(state):
        if ".gamma_" in name:
            state[name.replace("gamma_", "ls") + ".gamma"] = state.pop(name)
        elif name.endswith("attn.q_bias"):
            query, value = state.pop(name), state.pop(name.replace("q_bias", "v_bias"))
            state[name.replace("q_bias", "qkv.bias")] = torch.cat([query, torch.full_like(query, 3.0), value])
            state[name.replace("q_bias", "qkv.bias_mask")] = torch.zeros(3 * len(query))
    return state | {"mask_token": torch.rand(1, state["cls_token"].shape[2])}
