"""Kinds of networks, and files of weights in their released forms, at each door: one map, one input, or one sentence.

The map is that of a plain call of the network's own code, at two sizes of images.
"""

import argparse
from functools import partial

import pytest
import timm
import torch
from torch.optim.swa_utils import AveragedModel

from tests.helpers import networks
from tests.helpers.hub import name_of
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr import DavisBenchmark, MaskPrompt
from vidcorr.backbones import EncoderSpec, build_feature_extractor, load
from vidcorr.backbones.model_export import export
from vidcorr.benchmarks.network import view_for
from vidcorr.description import INPUTS, UNKNOWN
from vidcorr.functional.propagation.coding import fit_input
from vidcorr.lightning_modules import ContrastiveRandomWalk, FrozenEncoder, VFSMoCo, VFSSimSiam
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.follow import encoder_of
from vidcorr.tracking.frame_encoder import FrameEncoder

pytestmark = pytest.mark.usefixtures("no_gradients")
RULES = PropagationProtocol.named("vfs").with_changes(input_size=None)
BENCHMARK = DavisBenchmark("", protocol=RULES)
SIZES = (64, 96), (61, 90)
OWN = "tests.helpers.networks"
POSITIONS = {"interpolate_pos_encoding": True}


def on_cells(tokens, images, cell):
    """Return the last tokens, one for each cell of images, as a map."""
    rows, columns = images.shape[2] // cell, images.shape[3] // cell
    return tokens[:, -rows * columns :].mT.unflatten(2, (rows, columns))


def res4(network, images):
    activation = network.relu if hasattr(network, "relu") else network.act1
    x = network.maxpool(activation(network.bn1(network.conv1(images))))
    return network.layer3(network.layer2(network.layer1(x)))


def last_map(network, images):
    return network.forward_features(images)


def tokens_of(cell):
    """Return a plain call of timm's tokens."""
    return lambda network, images: on_cells(network.forward_features(images), images, cell)


def of_hub(state=None, **options):
    """Return a plain call of a model of transformers: its last output, or a hidden state, at stride 8."""

    def plain(network, images):
        output = network(images, **options)
        found = output.last_hidden_state if state is None else output.hidden_states[state]
        return found if found.ndim == 4 else on_cells(found, images, 8)

    return plain


def small_swin(pretrained=False, **options):
    size = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 3, 4)}
    return timm.create_model("swin_tiny_patch4_window7_224", **size, **options)


small_swin.__module__ = "timm.models.swin_transformer"
timm.models.register_model(small_swin)  # as one of timm's own


def by_own_call(network, images):
    return network(images)


def by_blocks(network, images):
    return on_cells(network.get_intermediate_layers(images)[0], images, 8)


OF_OWN_CALL = ("plain", "Fpn", "Half", "Taken", "NeckOfZeros", "WithoutRes5", "Adapted", "Tied", "OfClips", "Stated")
KINDS = {
    "timm:test_resnet@res4": res4,
    "torchvision:resnet18@res4": res4,
    "vidcorr-r18@res4": res4,
    "timm:test_vit": tokens_of(16),
    "timm:vit_wee_patch16_reg1_gap_256": tokens_of(16),
    "timm:eva02_tiny_patch14_224": tokens_of(14),
    "timm:test_convnext": last_map,
    "timm:mobilevit_xxs": last_map,
    f"{OWN}:InList@0": lambda network, images: network(images)[0],
    "timm:regnetx_002": last_map,
    f"{OWN}:features_only@layer3": lambda network, images: network(images)[3],
    f"{OWN}:Maps@coarse": lambda network, images: network(images)["coarse"],
    "timm:small_swin": lambda *given: last_map(*given).permute(0, 3, 1, 2),
    **{f"{OWN}:{name}": by_own_call for name in OF_OWN_CALL},
    f"{OWN}:OfHub": lambda network, images: on_cells(network(images).last_hidden_state, images, 8),
    f"{OWN}:Dino": by_blocks,
    f"{OWN}:Dino3": by_blocks,
    f"{OWN}:Classifier": lambda network, images: network.cells(images),
    f"{OWN}:vit": tokens_of(8),
    f"{OWN}:WithEncoder@res4": res4,
    **{f"{OWN}:{name}": None for name in ("extractor", "clips", "clips_of_tokens")},
    f"{OWN}:Gem@res4": res4,
    f"{OWN}:Grey@res4": lambda network, images: res4(network, images.mean(1, keepdim=True).expand_as(images)),
    f"{OWN}:Stages@res4": res4,
    f"{OWN}:ClassToken": tokens_of(16),
    f"{OWN}:Overlapping": lambda network, images: on_cells(network(images), images, 8),
    f"{OWN}:Tokens": lambda network, images: on_cells(network(images), images, 8),
}
"""Network → its map by a plain call, of normalised images of whole cells; None: the map of the first door."""
ARE_VIEWS = ("extractor", "clips", "clips_of_tokens")
"""Own networks that cannot be trained, since they are views."""
OF_IMAGENET = (
    *ARE_VIEWS,
    "Gem@res4",
    "Grey@res4",
    "Stages@res4",
    "WithEncoder@res4",
    "ClassToken",
    "Dino",
    "Dino3",
    "vit",
)
"""Own networks that get RGB normalised as ImageNet's; the others get RGB in [0, 1]."""
HUB = {
    "Dinov2": of_hub(),
    "Dinov2WithRegisters": of_hub(),
    "DINOv3ViT": of_hub(),
    "ViT": of_hub(**POSITIONS),
    "IJepa": of_hub(**POSITIONS),
    "ConvNext": of_hub(-1, output_hidden_states=True),
    "ResNet": of_hub(),
    "Beit": of_hub(**POSITIONS),
    "CLIPVision": of_hub(**POSITIONS),
    "SiglipVision": of_hub(**POSITIONS),
}
"""Family of transformers → the map of a model by a plain call."""


def doors(text, folder):
    """Yield door and view of a network by a name, `NAME` or `NAME@STAGE`: all views have one map and one input."""
    name, at, stage = text.partition("@")
    stride = 16 if stage == "res4" else None
    chosen = f"{at}{stage}/16" if stride else f"{at}{stage}"
    spec = EncoderSpec(f"{name}{chosen}")
    encoder = load(spec.text)
    yield "load", encoder.view()
    yield "evaluate", view_for(BENCHMARK, spec, load(spec))
    yield "follow", encoder_of(spec, MaskPrompt.of(torch.ones(8, 8, dtype=torch.uint8)), RULES).extractor
    module = encoder.user_module[0]
    yield "view", build_feature_extractor(module, stage or None, stride)
    yield "wrapped", build_feature_extractor(AveragedModel(module), stage or None, stride)
    torch.manual_seed(0)
    frozen = FrozenEncoder(spec.text)
    yield "callback", load(frozen).view()
    write_checkpoint(frozen, folder / "frozen.ckpt")
    yield "validate", load(folder / "frozen.ckpt").view()
    export(spec.text, folder / "exported.safetensors")
    yield "export", load(f"{folder}/exported.safetensors{chosen}").view()
    torch.save(module.state_dict(), folder / "own.pth")
    backbones = [text]
    if ":" in name:
        yield "NAME=FILE", load(f"{name}={folder}/own.pth{chosen}").view()
        backbones.append(f"{name}={folder}/own.pth{at}{stage}")
    for backbone in () if text.endswith(ARE_VIEWS) else backbones:
        torch.manual_seed(0)
        method = VFSSimSiam(backbone, 8, 8).eval()
        images = torch.rand(2, 3, 112, 112)  # of whole patches of 14 and 16 px
        view = method.feature_extractor(stride=stride)
        scored = view(images).float()
        torch.testing.assert_close(method.maps(images), scored, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method.embed(images), scored.mean(dim=(2, 3)), atol=1e-5, rtol=1e-4)
        yield f"--model.backbone {backbone}", view
        write_checkpoint(method, folder / "trained.ckpt")
        yield "checkpoint", load(f"{folder}/trained.ckpt").view(stride=stride)


@pytest.mark.parametrize("kind", [*KINDS, *HUB])
@pytest.mark.sampled(12, 3)
def test_each_door_gives_the_map_of_a_plain_call_at_two_sizes(kind, tmp_path):
    plain = (KINDS | HUB)[kind]
    text = name_of(kind, tmp_path)
    network = load(text).network.eval()
    of_imagenet = not text.startswith(OWN) or text.endswith(OF_IMAGENET)
    stated = INPUTS["imagenet" if of_imagenet else "unit"]
    if text.endswith("Stated"):
        stated = networks.Stated.input_mean, networks.Stated.input_std
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in stated)
    pictures = [torch.rand(1, 3, *size) for size in SIZES]
    expected = []
    for door, view in doors(text, tmp_path):
        assert (view.input.mean, view.input.std) == stated, door
        assert FrameEncoder(view, RULES).input == view.input
        maps = [torch.stack(list(FrameEncoder(view, RULES).maps(images))) for images in pictures]
        if not expected:
            expected = maps
            if plain is not None:
                inputs = [(fit_input(images, RULES, view.multiple) - mean) / std for images in pictures]
                expected = [plain(network, images) for images in inputs]
        for found, wanted in zip(maps, expected, strict=True):
            assert torch.allclose(found, wanted.float(), atol=1e-4, rtol=1e-4), door


OF_ONE_SIZE = "no map of an image of .* x .* .*if only images of its own size: .*: "
REFUSED = {
    f"{OWN}:Lazy": "Lazy: has lazy layers, .* call it once",
    f"{OWN}:Small@res2+res3/4": "res2.res3 of Small has stride 1 and 2, not 4: name @res5/8"
    "|a network is trained at its own strides",  # where it is trained
    "torchvision:vit_b_16": "torchvision:vit_b_16: no ResNet; timm:NAME has other networks",
    "torchvision.models:efficientnet_b0": "EfficientNet: expected a map .*1, 1000",
    "timm:hiera_tiny_224": f"Hiera: {OF_ONE_SIZE}",
    "timm:beit_base_patch16_224": f"Beit: {OF_ONE_SIZE}",
    "Hiera": OF_ONE_SIZE,
    "Aimv2Vision": OF_ONE_SIZE,
    "SamVision": OF_ONE_SIZE,
    "DINOv3ConvNext": "DINOv3ConvNextModel: expected a map .*name a part that gives one, NETWORK@PATH",
    "Swin": "SwinModel: expected a map .*name a part that gives one, NETWORK@PATH",
    "ViTMAE": "ViTMAEModel: expected a map .*name a part that gives one, NETWORK@PATH",
}
"""Network of torchvision, timm or transformers without a map of images of any size → the sentence that says so."""


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.sampled(9, 3)
def test_each_door_refuses_a_network_without_a_map_in_one_sentence(kind, tmp_path):
    text = name_of(kind, tmp_path)
    refused(ValueError, REFUSED[kind], build_feature_extractor, text)
    refused(ValueError, REFUSED[kind], lambda: FrozenEncoder(text).feature_extractor())
    refused(ValueError, REFUSED[kind], VFSSimSiam, text)


RESNET, VIT = "torchvision:resnet18", "timm:vit_small_patch16_224"
HEADS = {"fc.0.weight": (8, 512), "fc.2.bias": (8,)}
DINOS_HEAD = {"head.mlp.0.bias": (2,), "head.last_layer.weight_g": (2, 1)}
DECODER = {"mask_token": (1, 1, 8), "decoder_embed.weight": (8, 384), "decoder_blocks.0.attn.qkv.weight": (24, 8)}


def drawn(shapes):
    return {name: torch.rand(shape) for name, shape in shapes.items()}


def below(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def beside(prefix, state):
    """Return weights of a network that is not the evaluated one, such as a moving average."""
    return {f"{prefix}{name}": tensor + 1 for name, tensor in state.items()}


def dinos(own, student):
    teacher = below("backbone.", own) | drawn(DINOS_HEAD)
    others = beside("module.backbone.", own) | below("module.", drawn(DINOS_HEAD)) | student
    return {"student": others, "teacher": teacher, "epoch": 3, "args": argparse.Namespace(lr=1)}


def mocos(own, learnt, average):
    return {"state_dict": below(learnt, own | drawn(HEADS)) | beside(average, own), "arch": "resnet18"}


FILES = {
    "moco v3": (RESNET, "", lambda own: mocos(own, "module.base_encoder.", "module.momentum_encoder.")),
    "pixpro": (RESNET, "", lambda own: mocos(own, "module.encoder.", "module.encoder_k.")),
    "densecl": (RESNET, "", lambda own: {"state_dict": own, "author": "its authors"}),
    "dino": (VIT, "dino", lambda own: dinos(own, {})),
    "dino of a resnet": (RESNET, "dino", lambda own: dinos(own, {})),
    "ibot": (VIT, "dino", lambda own: dinos(own, drawn({"module.backbone.masked_embed": (1, 384)}))),
    "mae": (VIT, "mae", lambda own: {"model": own | drawn(DECODER), "optimizer": {"state": {0: {"step": 3}}}}),
    "simsiam": (RESNET, "", lambda own: {"state_dict": below("module.encoder.", own | drawn(HEADS))}),
    "swav": (RESNET, "", lambda own: below("module.", own | drawn({"prototypes.weight": (8, 8)}))),
    "vicreg": (RESNET, "", lambda own: {"model": below("module.backbone.", own) | drawn({"module.projector.bias": 8})}),
    "timm": (RESNET, "", lambda own: {"state_dict": own | drawn({"fc.bias": (5,)}), "state_dict_ema": beside("", own)}),
    "lightning": (RESNET, "", lambda own: {"state_dict": below("model.encoder.", own), "hyper_parameters": {"lr": 1}}),
    "average": (RESNET, "", lambda own: below("module.", own) | {"n_averaged": torch.tensor(3)}),
    "compiled": (RESNET, "", lambda own: below("module._orig_mod.", own)),
    "sharded": (RESNET, "", lambda own: below("_fsdp_wrapped_module.", own)),
}
"""Form of a released file → the network in it, its family where that has an input, and what makes it of weights."""


@pytest.mark.slow
@pytest.mark.parametrize("form", FILES)
def test_each_door_takes_a_released_file_with_its_input(form, tmp_path):
    name, family, written = FILES[form]
    own = load(name).network.state_dict()
    file = tmp_path / "released.pth.tar"
    torch.save(written(own), file)
    source = f"of the family {family}" if family else UNKNOWN.source
    export(str(file), tmp_path / "exported.safetensors")
    found = [load(tmp_path / "exported.safetensors").network]
    for text in (str(file), f"{name}={file}"):
        encoder = load(text)
        found += [encoder.network, VFSSimSiam(text).backbone]
        assert (encoder.input.source, encoder.described.loaded) == (source, True)
    for network in found:
        torch.testing.assert_close(network.state_dict(), own, rtol=0, atol=0)


METHODS = {"simsiam": VFSSimSiam, "moco": partial(VFSMoCo, queue_size=8), "crw": ContrastiveRandomWalk}
LEARN = [kind for kind in KINDS if not kind.endswith((*ARE_VIEWS, "swin", "eva02_tiny_patch14_224"))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", LEARN)
@pytest.mark.sampled(11, 3)
def test_what_a_training_moves_is_part_of_the_scored_map_or_is_named(kind, method):
    """By gradients, of each method and kind; a ResNet is trained by its last map, which the plan names."""
    with torch.enable_grad():
        module = METHODS[method](kind)
        side = 128 if method == "crw" else 64  # of several patches of 64 px
        batch = {"clip": torch.rand(2, 4, 3, side, side), "video_index": torch.arange(2)}
        module.step(batch)["loss"].backward()
        trained = {name for name, weights in module.backbone.named_parameters() if weights.grad is not None}
        module.zero_grad()
        module.feature_extractor()(torch.rand(2, 3, 64, 64)).sum().backward()
        scored = {name for name, weights in module.backbone.named_parameters() if weights.grad is not None}
    learn = {name for name, weights in module.backbone.named_parameters() if weights.requires_grad}
    assert trained == learn  # DDP waits for all
    assert not module.unused or all(name.startswith(tuple(module.unused)) for name, _ in unlearnt(module))
    named = module._map_row()
    assert trained <= scored or named == {"map": "res5 is trained, res4 is scored where nobody names one"}


def unlearnt(module):
    """Return the weights of a backbone that take no gradient."""
    return [(name, weights) for name, weights in module.backbone.named_parameters() if not weights.requires_grad]
