"""Liir's and MAST's files."""

import torch

from lightning_modules.backbones import build_feature_extractor, module_from_checkpoint
from lightning_modules.foreign.conversion import convert
from lightning_modules.functional.colour import normalised_lab
from tests.helpers.foreign import (
    Mast,
    enliven,
    random_state,
    write,
)


def test_liir_keeps_its_position_map_and_border(tmp_path):
    state = random_state("liir")
    convert(write(tmp_path / "liir.pt", state), tmp_path / "ours.ckpt")
    module = module_from_checkpoint(tmp_path / "ours.ckpt")
    assert torch.equal(module.backbone.position.places, state["feature_extraction.pos_embed1"][0])
    assert module.hparams["border"] == "zero"
    assert torch.equal(module.backbone.affinity.bias, state["post_convolution.bias"])


def test_mast_under_the_names_of_its_code(tmp_path):
    network, images = Mast().eval(), torch.rand(1, 3, 32, 48)
    enliven(network)
    torch.save({"state_dict": network.state_dict(), "epoch": 1}, tmp_path / "mast.pt")
    assert convert(tmp_path / "mast.pt", tmp_path / "ours.ckpt").converted.unused == {}
    with torch.inference_mode():
        found = build_feature_extractor(tmp_path / "ours.ckpt")(images)
        torch.testing.assert_close(found, network(normalised_lab(images)), rtol=1e-4, atol=1e-4)
