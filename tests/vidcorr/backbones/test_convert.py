"""`vidcorr convert`: what becomes of each key of each family, what is refused; nothing that a file holds is run.

Also tests `backbones/foreign.py`, `commands/convert.py`.
"""

import argparse
import json
import re
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from cli import main
from lightning_modules import FrozenEncoder, Liir
from tests.helpers.encoders import Wrapped
from tests.helpers.foreign import enliven, lively_resnet18
from tests.helpers.method_steps import tiny
from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.backbones import build_network, module_from_checkpoint
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.convert import FAMILIES, MAKERS, account, convert, family_of, frozen, renamed_by
from vidcorr.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.backbones.foreign import read_foreign
from vidcorr.experiments.config_files import find_config
from vidcorr.functional.colour import normalised_lab

pytestmark = pytest.mark.usefixtures("no_gradients")


def random_state(kind):
    """Random values under the real keys of a public checkpoint, variances positive."""
    shapes = json.loads((GOLDEN / "checkpoint_keys.json").read_text())[kind]["keys"]
    return {name: random_tensor(name, shape) for name, shape in shapes.items()}


def random_tensor(name, shape):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    shape = [2 if isinstance(side, str) else side for side in shape]
    return torch.rand(shape) + 0.5 if name.endswith("running_var") else torch.randn(shape) * 0.05


def mm_style(state):
    """torchvision's names as VFS's ConvModules have them."""
    named = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[-3:-1] in (["downsample", "0"], ["downsample", "1"]):
            parts[-2] = ("conv", "bn")[int(parts[-2])]
        else:
            kind, number = parts[-2][:-1], parts[-2][-1]
            parts[-2:-1] = [f"conv{number}", kind]
        named[".".join(["backbone", *parts])] = tensor
    return named


class Mast(nn.Module):
    """MAST's encoder under the names of its code: normalised Lab → features of stride 4; it skips `layer4`."""

    def __init__(self):
        super().__init__()
        self.feature_extraction = resnet18()
        block = self.feature_extraction.layer3[0]
        block.conv1.stride = block.downsample[0].stride = (1, 1)
        self.post_convolution = nn.Conv2d(256, 64, 3, 1, 1)

    def forward(self, lab):
        net = self.feature_extraction
        return self.post_convolution(net.layer3(net.layer2(net.layer1(net.bn1(net.conv1(lab)).relu()))))


def write(path, state, entry="state_dict", **beside):
    torch.save({entry: OrderedDict(state), **beside}, path)
    return path


@pytest.fixture
def converted(tmp_path):
    """Write what `torch.save` takes, convert it, and return the report and our module."""

    def convert_content(content, *options):
        torch.save(content, tmp_path / "foreign.pth")
        report = convert(tmp_path / "foreign.pth", tmp_path / "ours.ckpt", *options)
        return report, module_from_checkpoint(tmp_path / "ours.ckpt")

    return convert_content


KINDS = {
    # kind: class, channels of the default stage, its stride, prefixes of what is not used, config of its evaluation
    "vfs_r18": (FrozenEncoder, 256, 8, {"img_head"}, "davis"),
    "crw_r18": (FrozenEncoder, 256, 8, {"selfsim_fc"}, "davis"),
    "liir": (Liir, 64, 4, {"conv_semantic", "conv_semantic_k", "colorizer"}, "davis"),
    "mast": (Liir, 64, 4, {"feature_extraction"}, "davis"),  # layer4 and fc, which lead nowhere
    "moco_v2_r50": (FrozenEncoder, 1024, 8, {"encoder_q"}, "davis"),  # fc, the projector
    "vfs_r50": (FrozenEncoder, 1024, 8, {"img_head"}, "davis"),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if "r50" in kind or "vfs" in kind else kind for kind in KINDS]
)
def test_real_keys_find_their_places(kind, converted, tmp_path):
    kept, channels, stride, unused, benchmark = KINDS[kind]
    state = random_state(kind)
    report, module = converted({"state_dict": OrderedDict(state)})
    assert {key.partition(".")[0] for key in report["unused"]} == unused
    measure = f"vidcorr validate --ckpt_path {tmp_path}/ours.ckpt --on {benchmark}=FOLDER"
    assert report["measure"].startswith(measure)
    assert find_config(f"benchmarks/{benchmark}.yaml").is_file()
    assert type(module) is kept
    ours = sorted(round(value.double().sum().item(), 4) for value in module.state_dict().values() if value.ndim)
    used = {key.removeprefix("module."): value for key, value in state.items()}
    theirs = [value for key, value in used.items() if key not in report["unused"] and value.ndim]
    assert ours == sorted(round(value.double().sum().item(), 4) for value in theirs)
    extractor = module.feature_extractor()
    assert extractor.stride == stride
    assert extractor(torch.rand(1, 3, 32, 64)).shape == (1, channels, 32 // stride, 64 // stride)


def test_unknown_and_missing_weights_are_named(converted, tmp_path):
    state = random_state("crw_r18")
    lacking = {name: value for name, value in state.items() if name != "encoder.model.layer2.1.bn2.bias"}
    more = state | {"teleporter.weight": torch.zeros(1)}
    refused(ValueError, "taken for crw: no rule covers 1 tensors, such as tele", converted, {"model": more})
    message = r'Missing key.*: "encoder\.network\.layer2\.1\.bn2\.bias"\.$'
    refused(ValueError, message, converted, {"model": lacking})
    assert not (tmp_path / "ours.ckpt").exists()


def test_vfss_names_become_torchvisions():
    with torch.device("meta"):
        state = build_network("torchvision:resnet18").state_dict()
    renamed, unused = renamed_by(FAMILIES["vfs"], mm_style(state))
    assert {name: id(tensor) for name, tensor in renamed.items()} == {name: id(state[name]) for name in state}
    assert not unused


@pytest.mark.slow
def test_mast_gives_the_features_of_its_network(converted):
    network, images = Mast().eval(), torch.rand(1, 3, 32, 48)
    enliven(network)
    _, module = converted({"state_dict": network.state_dict(), "epoch": 1})
    found = module.feature_extractor()(images)
    torch.testing.assert_close(found, network(normalised_lab(images)), rtol=1e-4, atol=1e-4)


def arguments_by(family, state):
    recipe, _ = MAKERS.get(family, frozen)(state, None, FAMILIES[family])
    return recipe["init_args"]


@pytest.mark.parametrize(("width", "size", "patch"), [(384, "small", 16), (768, "base", 8), (1024, "large", 16)])
def test_transformers_are_known_by_their_shapes(width, size, patch):
    state = {"patch_embed.proj.weight": torch.empty(width, 3, patch, patch), "cls_token": torch.empty(1, 1, width)}
    spec = arguments_by("dino", state)["spec"]
    assert spec == f"timm:vit_{size}_patch{patch}_224.dino"
    if size != "large":  # DINO has none
        assert timm.get_pretrained_cfg(spec.removeprefix("timm:")).mean == IMAGENET_MEAN
    arguments = arguments_by("cropmae", state)
    assert arguments == {"spec": f"timm:vit_{size}_patch{patch}_224", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    assert arguments_by("cosettle", state)["backbone"] == arguments["spec"]
    wide = {"patch_embed.proj.weight": torch.empty(width + 1, 3, patch, patch)}
    refused(ValueError, f"no transformer of the family has width {width + 1}; name it by", arguments_by, "dino", wide)


def test_a_resnet_is_known_by_its_shapes(monkeypatch):
    monkeypatch.setattr("torchvision.models.list_models", lambda: ["vgg11", "resnet34", "resnet18", "resnet50"])
    with torch.device("meta"):
        state = build_network("torchvision:resnet18").state_dict()
    del state["bn1.bias"]
    assert arguments_by("vfs", state) == {"spec": "torchvision:resnet18"}


def test_an_account_tells_what_was_taken_and_what_was_left_out():
    report = {"family": "vfs", "class_path": "a.b.Kind", "init_args": {"spec": "x", "mean": 1}, "entry": ""}
    report |= {"others": ["ema"], "unused": {"a": "head", "b": "head"}, "note": "n" * 400, "measure": "vidcorr"}
    assert account(report).splitlines() == [
        "  family      vfs",
        "  made        Kind(spec=x, mean=1)",
        "  beside      ema: left out; --entry NAME takes one",
        "  not used    head: 2 tensors",
        f"  note        {'n' * 300}",
        "  measure     vidcorr",
    ]


def test_a_network_of_ones_own_keeps_its_names_and_other_names_are_told(converted, tmp_path):
    module, state = "tests.helpers.encoders:Wrapped", Wrapped().state_dict()
    report, found = converted(state, "named", module)
    assert (report["family"], report["entry"], report["others"], report["unused"]) == ("named", "", [], {})
    assert report["measure"] == f"vidcorr validate --ckpt_path {tmp_path}/ours.ckpt --on davis=FOLDER"
    torch.testing.assert_close(found.encoder.network.state_dict(), state, rtol=0, atol=0)
    message = "Missing .*encoder.network.model.weight.* Unexpected .*encoder.network.student."
    student = {f"student.{name}": value for name, value in state.items()}
    refused(ValueError, message, converted, student, "named", module)


def test_files_that_cannot_be_taken_and_names_decide_where_keys_do_not(tmp_path):
    theirs, ours = write(tmp_path / "foreign.pth", dict.fromkeys("abcde", torch.ones(1))), tmp_path / "ours.ckpt"
    refused(ValueError, "the checkpoint to write", convert, theirs, theirs)
    write_checkpoint(FrozenEncoder("raw_colour"), ours)
    refused(ValueError, "already a checkpoint of vidcorr, no conversion", convert, ours, tmp_path / "again.ckpt")
    refused(ValueError, "of no known family, such as a, b, c, d; name one by --kind", convert, theirs, ours)
    assert family_of(read_foreign(theirs).state, "my_module:my_network", theirs) == "named"
    rules = {"names": {"a|b": "c"}}
    refused(ValueError, "b, would both become c", renamed_by, rules, dict.fromkeys("ab", torch.ones(1)))
    write(theirs, {"a": torch.zeros(1)}, lr=Fraction(1, 3))
    refused(ValueError, r"damaged or foreign: .*fractions\.Fraction", convert, theirs, ours)
    theirs.write_text("<!DOCTYPE html><html>404</html>")
    refused(ValueError, r"foreign\.pth: damaged or foreign", convert, theirs, ours)


def test_a_namespace_beside_the_weights_is_read_and_nothing_else(tmp_path):
    beside = {"args": argparse.Namespace(lr=0.1, name="x"), "epoch": 3}
    found = read_foreign(write(tmp_path / "foreign.pth", {"module.a": torch.ones(1)}, **beside))
    assert list(found.state) == ["a"]
    write(tmp_path / "foreign.pth", {"a": torch.ones(1)}, best=np.float64(0.5))
    refused(ValueError, "damaged or foreign", read_foreign, tmp_path / "foreign.pth")


ENTRIES = [
    # entries of a file; the one that is taken
    (("state_dict", "state_dict_ema"), "state_dict"),  # timm
    (("model", "model_ema"), "model"),  # torchvision
    (("model", "ema.module"), "model"),
    (("student", "teacher"), "teacher"),  # DINO
    (("encoder",), "encoder"),
]


@pytest.mark.parametrize(("places", "taken"), ENTRIES)
def test_the_average_beside_the_weights_is_told_and_taken_by_its_name(places, taken, tmp_path):
    path = tmp_path / "foreign.pth"
    content = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "rng": {"cpu": torch.get_rng_state()}}
    for number, place in enumerate(places):
        outer, _, inner = place.partition(".")
        state = {"module._orig_mod.a": torch.full((1,), float(number))}
        content[outer] = {inner: state} if inner else state
    torch.save(content, path)
    found = read_foreign(path)
    assert (found.entry, found.others) == (taken, [place for place in places if place != taken])
    for number, place in enumerate(places):
        assert read_foreign(path, place).state == {"a": number}
    refused(ValueError, f"has no weights under swa; it has {places[0]}", read_foreign, path, "swa")


def test_a_file_with_several_networks_is_not_guessed(tmp_path):
    torch.save({name: {"a": torch.ones(1)} for name in ("encoder", "decoder")}, tmp_path / "foreign.pth")
    line = "several sets of weights: encoder, decoder; vidcorr convert --entry NAME takes one"
    refused(ValueError, line, read_foreign, tmp_path / "foreign.pth")
    torch.save({"epoch": 3}, tmp_path / "foreign.pth")
    refused(ValueError, "holds no weights", read_foreign, tmp_path / "foreign.pth")


@pytest.mark.slow
def test_the_command_says_which_weights_it_took(tmp_path, capsys):
    state = lively_resnet18().state_dict()
    torch.save({"state_dict": state, "state_dict_ema": state}, tmp_path / "last.pth.tar")
    words = ["convert", str(tmp_path / "last.pth.tar"), str(tmp_path / "out.ckpt")]
    for entry, other in (("state_dict", "state_dict_ema"), ("state_dict_ema", "state_dict")):
        main([*words, "--entry", entry] if entry == "state_dict_ema" else words)
        told = capsys.readouterr().out
        assert re.search(rf"taken +{entry}\n", told)
        assert re.search(rf"beside +{other}: left out; --entry NAME takes one", told)
    module = module_from_checkpoint(words[2])
    assert module.hparams["spec"] == "torchvision:resnet18"
    torch.testing.assert_close(module.encoder.network.state_dict(), state, rtol=0, atol=0)


SHARED = ("mask_token", "decoder_pos_embed", "decoder_norm.weight", "decoder_pred.weight")
ATTENTION = "decoder_blocks.0.multihead_attn.in_proj_weight"
PRE_NORM = ("decoder_embed_mae.weight", "decoder_blocks.0.norm_kv1.weight")
DECODERS = {
    "cropmae": ((ATTENTION,), "cropmae"),
    "catmae": ((ATTENTION, "decoder_frame_info"), "catmae-16"),
    "tobo": (PRE_NORM, "cropmae"),
    "rsp": ((*PRE_NORM, "to_prior.0.weight", "to_posterior.2.weight", "decoder_embed_stoch.weight"), "rsp"),
}
"""Family → keys of its decoder, as its code names them, and the protocol of its evaluation."""


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_shows_the_family_of_siamese_masked_prediction(family):
    ours = {"cls_token": torch.rand(1, 1, 192), "blocks.0.norm1.weight": torch.rand(192)}
    state = ours | dict.fromkeys((*SHARED, *DECODERS[family][0]), torch.zeros(1))
    assert family_of(state, None, "x") == family
    renamed, unused = renamed_by(FAMILIES[family], state)
    assert renamed.keys() == ours.keys()
    assert unused.keys() == state.keys() - ours.keys()
    assert FAMILIES[family]["benchmark"] == f"davis --protocol {DECODERS[family][1]}"


def test_dinos_head_is_left_out_and_co_settles_projection_is_taken():
    one = torch.ones(1)
    heads = dict.fromkeys(("head.mlp.0.weight", "head.last_layer.weight_g"), one)
    state = {"backbone.cls_token": one} | heads
    assert family_of(state, None, "x") == "dino"
    assert renamed_by(FAMILIES["dino"], state) == ({"cls_token": one}, dict.fromkeys(heads, "head"))
    places = ("linear.weight", "layer_norm1.bias")
    state = {"cls_token": one} | {f"adapter.adapter.adapter_{place}": one for place in places}
    assert family_of(state, None, "x") == "cosettle"
    renamed, _ = renamed_by(FAMILIES["cosettle"], state)
    assert renamed.keys() == {"backbone.network.cls_token", "projection.linear.weight", "projection.norm.bias"}
    assert renamed.keys() <= tiny("CoSettle").state_dict().keys()
    recipe, _ = MAKERS["cosettle"](renamed, "timm:vit", FAMILIES["cosettle"])
    arguments = {"spec": "timm:vit", "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    assert recipe["init_args"]["encoder"]["init_args"] == arguments
    assert recipe["init_args"]["backbone"] == "timm:vit"


def test_t_core_is_dinov2s_transformer_with_registers_and_patches_of_16():
    """Its released names are those of DINOv2's own code."""
    with torch.device("meta"):
        ours = build_network("vidcorr.backbones:vit_small_patch16_reg4").state_dict()
    tokens = {name: torch.rand(ours[name].shape) for name in ("cls_token", "reg_token", "pos_embed")}
    first = torch.rand_like(tokens["cls_token"])  # the position of the class token, which timm adds to it
    state = ours | {"mask_token": first[0], "cls_token": tokens["cls_token"] - first}
    state["register_tokens"] = tokens["reg_token"]
    state["pos_embed"] = torch.cat([first, tokens["pos_embed"]], dim=1)
    del state["reg_token"]
    theirs = {f"backbone.{name}": tensor for name, tensor in state.items()}
    theirs["dino_head.last_layer.weight_g"] = torch.rand(8, 1)
    assert family_of(theirs, None, "x") == "tcore"
    renamed, unused = renamed_by(FAMILIES["tcore"], theirs)
    assert list(unused.values()) == ["stands for masked patches in training", "head"]
    for spec in (None, "vidcorr.backbones:vit_small_patch16_reg4"):
        recipe, weights = MAKERS["tcore"](renamed, spec, FAMILIES["tcore"])
        assert recipe["init_args"] == {"spec": "vidcorr.backbones:vit_small_patch16_reg4"}
        found = {name.removeprefix("encoder.network."): tensor for name, tensor in weights.items()}
        assert {name: tensor.shape for name, tensor in found.items()} == {name: ours[name].shape for name in ours}
        for name, tensor in tokens.items():
            torch.testing.assert_close(found[name], tensor)
