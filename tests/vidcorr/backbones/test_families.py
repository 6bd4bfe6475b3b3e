"""A file of another project is a network: what becomes of each key of each family, what is taken, what is refused.

`families.json` beside has keys of each family, one for each rule of its table: their places, and those left out; and
for public files the arguments that their shapes give.
"""

import json
from pathlib import Path

import pytest
import timm
import torch

from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr.backbones import EncoderSpec, load
from vidcorr.backbones.families import FAMILIES, NAMED, as_network, family_of, renamed_by, without_wrappers
from vidcorr.backbones.files.saved_models import load_weights
from vidcorr.backbones.networks import build
from vidcorr.cli import main
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.lightning_modules import VFSSimSiam

pytestmark = pytest.mark.usefixtures("no_gradients")
RECORD = json.loads(Path(__file__).with_name("families.json").read_text("utf-8"))
REAL = json.loads((GOLDEN / "checkpoint_keys.json").read_text("utf-8"))
"""Name of a public file → its keys with their shapes."""
IMAGENET = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def made(family, state):
    """Return the fields of the network's spec, and its weights, of weights under the table's names."""
    return as_network(FAMILIES[family], state)


def of_spec(fields):
    """Return the encoder of fields, and what takes the weights of a family: the network, or a module around it."""
    encoder = load(EncoderSpec.of(fields, "x"))
    return encoder, encoder.user_module[0]


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {NAMED}))
def test_each_key_of_a_family_finds_its_place_or_is_left_out(family):
    names, left_out = RECORD["families"][family].values()
    state = {key: key for key in (*names, *left_out)}
    assert family_of(state, None, "x") == ("dinov2_training" if family == "tcore" else family)
    renamed, unused = renamed_by(FAMILIES[family], state)
    assert renamed == {ours: key for key, ours in names.items()}
    assert list(unused) == left_out


@pytest.mark.parametrize("file", REAL)
def test_the_keys_of_a_public_file_fit_a_network_of_their_shapes(file):
    shapes = {name: [side for side in shape if isinstance(side, int)] for name, shape in REAL[file]["keys"].items()}
    with torch.device("meta"):
        state = without_wrappers({name: torch.empty(shape) for name, shape in shapes.items()})
        family = family_of(state, None, file)
        fields, weights = made(family, renamed_by(FAMILIES[family], state)[0])
        load_weights(of_spec(fields)[1], weights, file)
    assert file.startswith(family)
    found = fields.get("arguments", fields)
    of_input = IMAGENET if "imagenet" in FAMILIES[family] else {}
    assert found == FAMILIES[family].get("arguments", {}) | of_input | RECORD["files"][file]


@pytest.mark.parametrize("family", ["dinov2_training", "tcore"])
def test_a_training_with_registers_is_dinov2s_and_t_cores_by_its_name_alone(family):
    """T-CoRe's released names and shapes are those of DINOv2's own code, which gives the class token a position."""
    shared = {"cls_token": (1, 1, 384), "patch_embed.proj.weight": (384, 3, 16, 16), "blocks.0.ls1.gamma": (384,)}
    theirs = shared | {"register_tokens": (1, 4, 384), "pos_embed": (1, 1 + 14 * 14, 384)}
    state = {name: torch.rand(shape) for name, shape in theirs.items()}
    fields, found = made(family, state)
    assert fields == {"spec": "vidcorr.backbones:vit_small_patch16_reg4"} | IMAGENET
    ours = shared | {"reg_token": (1, 4, 384), "pos_embed": (1, 14 * 14, 384)}
    assert {name: tensor.shape for name, tensor in found.items()} == ours
    state["register_tokens"] = torch.rand(1, 8, 384)
    refused(ValueError, "No vidcorr.backbones attribute vit_small_patch16_reg8", made, family, state)


TOKENS = {"mask_token": (1, 384)}
DECODER = {"decoder_embed.weight": (8, 384), "decoder_blocks.0.attn.qkv.weight": (8, 8)}
RELEASED = {
    "timm:vit_small_patch16_224": TOKENS | DECODER,
    "timm:vit_small_patch14_dinov2.lvd142m": TOKENS,
    "timm:vit_small_patch14_reg4_dinov2.lvd142m": TOKENS,
    "timm:vit_small_patch16_dinov3.lvd1689m": TOKENS | {"rope_embed.periods": (16,)},
    "timm:vit_small_patch16_dinov3_qkvb.lvd1689m": TOKENS | {"rope_embed.periods": (16,)},
}
"""Network → further weights of its released file (MAE's pre-training, DINOv2, DINOv3), with their shapes."""


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@pytest.mark.parametrize("spec", RELEASED)
@pytest.mark.sampled(4, 3)
def test_released_transformers_are_known_by_their_keys_and_get_imagenets_rgb(spec):
    with torch.device("meta"):
        state = timm.create_model(spec.removeprefix("timm:"), num_classes=0).state_dict()
        theirs = {name: torch.empty(shape) for name, shape in RELEASED[spec].items()}
    registers = "storage_tokens" if "dinov3" in spec else "register_tokens"
    for name, tensor in state.items():
        if "reg4" in spec and name == "pos_embed":
            tensor = tensor.new_empty(1, 1 + tensor.shape[1], 384)  # the class token has a position
        for ours, released in (("reg_token", registers), ("gamma_1", "ls1.gamma"), ("gamma_2", "ls2.gamma")):
            name = name.replace(ours, released)
        if not name.endswith(("q_bias", "v_bias")):
            theirs[name] = tensor
    if "dinov3" in spec:
        for number in range(12):
            theirs[f"blocks.{number}.attn.qkv.bias"] = torch.full((3 * 384,), float("qkvb" in spec))
            theirs[f"blocks.{number}.attn.qkv.bias_mask"] = torch.ones(3 * 384)
    family = family_of(theirs, None, "x")
    fields, weights = made(family, renamed_by(FAMILIES[family], theirs)[0])
    with torch.device("meta"):
        encoder, _ = of_spec(fields)
        load_weights(encoder.network, weights, "x")
        if "qkvb" in spec:  # timm's own function would leave biases out that a network lacks
            name = "timm:vit_small_patch16_dinov3.lvd1689m"
            network, _ = build(EncoderSpec(name))
            _, weights = as_network(FAMILIES[family], renamed_by(FAMILIES[family], theirs)[0], name)
            refused(ValueError, "Unexpected .*blocks.0.attn.q_bias", load_weights, network, weights, "x")
    assert fields["spec"] == spec
    assert (encoder.input.mean, encoder.input.std) == (IMAGENET_MEAN, IMAGENET_STD)


BESIDE = {
    "torchvision:resnet18": ({"projector.0.weight": (2,)}, "not of the backbone: 1 tensors"),
    "timm:vit_small_patch14_dinov2.lvd142m": (TOKENS, "stands for masked patches in training: 1 tensors"),
    "timm:vit_small_patch16_224": (DECODER, "decoder: 2 tensors"),
}
"""Network → weights that lie beside its own in a released file, and what is said of them."""


@pytest.mark.parametrize("spec", BESIDE)
@pytest.mark.sampled(3, 3)
def test_a_name_with_a_released_file_leaves_out_what_is_not_the_networks(spec, tmp_path, capsys):
    others, said = BESIDE[spec]
    state = load(spec).network.state_dict()
    torch.save(state | {name: torch.ones(shape) for name, shape in others.items()}, tmp_path / "released.pth")
    torch.testing.assert_close(load(f"{spec}={tmp_path}/released.pth").network.state_dict(), state, rtol=0, atol=0)
    assert capsys.readouterr().out == f"{tmp_path}/released.pth: not used: {said}\n"


@pytest.mark.slow
def test_a_file_of_another_project_is_a_network_by_each_door(here, capsys):
    network = load("torchvision:resnet18").network
    theirs = {f"module.encoder_q.{name}": tensor for name, tensor in network.state_dict().items()}
    average = {name.replace("_q.", "_k."): tensor + 1 for name, tensor in theirs.items()}
    torch.save({"state_dict": theirs | average | {"module.queue": torch.ones(1)}, "arch": "resnet18"}, "moco.pth.tar")
    main(["export", "moco.pth.tar", "out/moco.safetensors"])
    assert "Method: not recorded" in Path("out/README.md").read_text()
    names = ("moco.pth.tar", "torchvision:resnet18=moco.pth.tar", "family:moco=moco.pth.tar", "out/moco.safetensors")
    for name in names:
        found = load(name)
        torch.testing.assert_close(found.network.state_dict(), network.state_dict(), rtol=0, atol=0)
        assert found.described.weights.startswith("weights of moco")
        assert EncoderSpec(name).is_reusable
    assert "moco.pth.tar: not used: moving average: " in capsys.readouterr().out
    torch.testing.assert_close(load("moco.pth.tar#encoder_k").network.conv1.weight, network.conv1.weight + 1)


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_names_of_wrappers_are_taken_off_wherever_they_stand(wrapper, tmp_path):
    inner = {f"layer1.{wrapper}.0.weight": torch.ones(1)}
    assert list(without_wrappers(inner)) == ["layer1.0.weight"]
    method = VFSSimSiam("tests.helpers.encoders:TinyResNet", 8, 8)
    plain = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    method.backbone.compile(backend="eager")  # changes no name
    write_checkpoint(method, tmp_path / "x.ckpt")
    content = torch.load(tmp_path / "x.ckpt")
    wrapped = {name.replace("backbone.", f"backbone.{wrapper}."): tensor for name, tensor in plain.items()}
    torch.save(content | {"state_dict": wrapped}, tmp_path / "x.ckpt")
    found = VFSSimSiam.load_from_checkpoint(tmp_path / "x.ckpt")
    torch.testing.assert_close(found.state_dict(), plain, rtol=0, atol=0)
    of_backbone = load(tmp_path / "x.ckpt").network.state_dict()
    torch.testing.assert_close(of_backbone, found.backbone.state_dict(), rtol=0, atol=0)


def test_files_that_cannot_be_taken_are_refused(tmp_path):
    theirs = tmp_path / "foreign.pth"
    torch.save(dict.fromkeys("abcde", torch.ones(1)), theirs)
    refused(ValueError, "of no known family, such as a, b, c, d; name their network, ", load, theirs)
    refused(ValueError, "family must be one of 'vfs', .*, got 'resnet'", load, f"family:resnet={theirs}")
    one = torch.ones(1)
    contents = {
        "for crw: no rule covers 1 tensors, such as x": {"encoder.model.conv1.weight": one, "x": one},
        "e.norm, would both become norm": {"head.mlp.a": one, "norm": one, "backbone.norm": one},
        "several networks, below trunk, decoder; name one, .*#trunk": {"trunk": {"a": one}, "decoder": {"a": one}},
    }
    for message, content in contents.items():
        torch.save(content, theirs)
        refused(ValueError, rf"foreign\.pth: .*{message}", load, theirs)
    torch.save({"module.encoder_q.bias": one, "module.encoder_k.bias": one}, theirs)
    line = "has no weights under decoder; it has encoder_q, encoder_k"
    refused(ValueError, line, load, f"tests.helpers.encoders:TinyResNet={theirs}#decoder")
    theirs.write_text("<!DOCTYPE html><html>404</html>")
    refused(ValueError, r"foreign\.pth: damaged or foreign", load, theirs)
