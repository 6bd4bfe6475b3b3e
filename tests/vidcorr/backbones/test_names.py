"""Networks by name: short names and their weights, stages, maps, refusals; files on the hub.

The hub is a server on loopback that speaks the few requests.
Also tests `backbones/networks.py`, `backbones/loading.py`, `backbones/description.py`.
"""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from torch import nn
from torchvision.models import ResNet18_Weights

from lightning_modules import FrozenEncoder, SiamFC, VFSSimSiam
from tests.helpers.refusal import refused
from vidcorr.backbones import NamedNetwork, Network, build_feature_extractor, build_network, load
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.description import source_of
from vidcorr.backbones.networks import SHORT_NAMES, local_file
from vidcorr.videos.digests import file_digest


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, spec in SHORT_NAMES.items() if spec.startswith("timm:")])
def test_a_short_name_has_weights_a_stage_and_a_place_in_the_guide(name):
    spec, _, stage = SHORT_NAMES[name].partition("@")
    assert spec.removeprefix("timm:") in timm.list_models(pretrained=True)
    with torch.device("meta"):
        extractor = build_feature_extractor(spec, stage)
    size = name.rpartition("-")[2]
    assert extractor.stride == (8 if size.startswith("r") else int(size[1:]))
    assert f"`{name}`" in (Path(__file__).resolve().parents[3] / "docs/models.md").read_text()


pytestmark = pytest.mark.usefixtures("no_gradients")
OWN = __name__


@pytest.mark.parametrize(
    ("spec", "stage", "stride", "message"),
    [
        ("resnet18", None, None, "nor a short name; write timm:NAME, torchvision:NAME or"),
        ("nowhere:encoder", None, None, "cannot import"),
        ("builtins:dict", None, None, "expected a torch.nn.Module, got a dict"),
        ("timm:resnet19", None, None, "timm has no such model"),
        ("timm:vit_tiny_patch16_224", None, 12, "not a divisor of patches of 16 px"),
        ("torchvision:vit_b_16", None, None, "torchvision:vit_b_16: no ResNet; timm:NAME has other networks"),
        ("timm:convnext_atto", "stage5", None, r"stage 'stage5': ConvNeXt has features, stage1, .*, stage4; null"),
        ("timm:convnext_atto", "stage1+stage2", None, r"its parts have strides \[4, 8\]"),
        ("torchvision:resnet18", "res4", 6, r"a ResNet's strides can be \[4, 8, 16, 32\] or None"),
        ("timm:convnext_atto", "stage1", 8, "the stride of stage1 is 4, not 8"),
    ],
)
def test_mistakes_are_named(spec, stage, stride, message):
    assert refused(ValueError, message, build_feature_extractor, spec, stage, stride)


DINO = "timm:vit_small_patch16_224.dino"


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("dino-s16", {}, (DINO, "block12", None, True)),
        ("dino-s16@block9/8", {"seed": 3}, (DINO, "block9", 8, True)),
        ("dino-s16@block9/8", {"stage": "block1", "stride": 4}, (DINO, "block1", 4, True)),
        ("untrained", {}, ("torchvision:resnet18", None, None, False)),
        ("timm:resnet18@res4", {"pretrained": True}, ("timm:resnet18", "res4", None, True)),
        ("raw_colour", {"pretrained": True}, ("raw_colour", None, None, False)),
    ],
)
def test_a_text_chooses_weights_stage_and_stride(text, given, expected):
    network = NamedNetwork(text, **given)
    assert (network.spec, network.stage, network.stride, network.pretrained) == expected
    assert network.name == (f"{text}, random weights" if text == "untrained" else text)
    arguments = dict(zip(("spec", "stage", "stride", "pretrained"), expected, strict=True))
    assert network.arguments() == {name: value for name, value in arguments.items() if value}
    assert network.identity() == arguments | {"seed": given.get("seed", 0)}
    assert network.is_reusable
    assert network in {NamedNetwork(text, **given)}


def test_results_of_a_users_code_are_not_reused(tmp_path, weights):
    torch.save({"state_dict": weights}, "last.ckpt")
    assert not NamedNetwork(f"{OWN}:Wide").is_reusable
    assert not NamedNetwork("vidcorr.backbones:LiirEncoder=last.ckpt").is_reusable
    for spec, is_reusable in (("raw_colour", True), (f"{OWN}:Wide", False)):
        write_checkpoint(FrozenEncoder(spec), tmp_path / "a.ckpt")
        named = NamedNetwork(str(tmp_path / "a.ckpt"))
        assert named.is_reusable is is_reusable
        assert named.identity() == {"stage": None, "stride": None, "sha256": file_digest(tmp_path / "a.ckpt")}


TIMM = {"num_classes": 0, "pretrained": False}
ANY_SIZE = TIMM | {"dynamic_img_size": True}
MADE = {
    "timm:resnet18": TIMM,
    "timm:eva02_tiny_patch14_224": ANY_SIZE | {"dynamic_img_pad": True},
    "timm:swin_tiny_patch4_window7_224": ANY_SIZE,
    "torchvision:resnet18": {"weights": None, "zero_init_residual": True},
}
"""Name → options with which its library makes the network."""


@pytest.mark.parametrize("name", MADE)
def test_a_library_makes_a_network_of_any_size_with_its_weights_if_they_are_asked_for(name, monkeypatch):
    asked = []
    for library in ("timm.create_model", "torchvision.models.get_model"):
        monkeypatch.setattr(library, lambda name, **given: asked.append((name, given)) or nn.Conv2d(3, 4, 4, 4))
    for pretrained in (False, True):
        build_network(name, pretrained)
        assert load(name, pretrained).described.loaded is pretrained
    library, _, plain = name.partition(":")
    trained = {"pretrained": True} if library == "timm" else {"weights": ResNet18_Weights.IMAGENET1K_V1}
    assert asked == [(plain, MADE[name])] * 2 + [(plain, MADE[name] | trained)] * 2


def test_a_resnet_starts_at_zero_has_channels_last_and_takes_rgb_alone():
    network = build_network("torchvision:resnet18")
    for each in (network, build_network("vidcorr.backbones:crw_resnet18")):
        assert each.layer1[0].bn2.weight.eq(0).all()
    assert network.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    refused(ValueError, "must be float RGB", build_feature_extractor(network), torch.rand(1, 1, 64, 64))


def test_random_weights_of_an_extractor_are_drawn_anew_unless_torch_is_seeded():
    images = torch.zeros(1, 3, 32, 32)
    maps = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        maps.append(build_feature_extractor("torchvision:resnet18")(images))
    assert [each.equal(maps[0]) for each in maps] == [True, True, False]


def test_what_does_not_train_is_refused():
    """The checkpoint of a module without a name could not be read."""
    message = "backbone: expected a name such as my_module:my_network, got a Conv2d"
    refused(ValueError, message, SiamFC, torch.nn.Conv2d(3, 4, 8, 8))
    refused(ValueError, "ends with a classifier, fc", VFSSimSiam, "torchvision.models:resnet18")
    refused(ValueError, "trains a whole network: leave @res4/8 out", VFSSimSiam, "torchvision:resnet18@res4/8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels", "stride"),
    [
        ("timm:resnetblur18", 256, 8),  # strides in its blurred poolings
        ("timm:naflexvit_base_patch16_radio_v3", 768, 16),
        ("timm:samvit_base_patch16", 256, 16),
        ("timm:swin_tiny_patch4_window7_224", 768, 32),  # its map has channels last
        ("vidcorr.backbones:vit_base_patch16_reg4", 768, 16),
        ("vidcorr.backbones:crw_training_resnet50", 1024, 8),
    ],
)
def test_networks_of_other_forms_give_a_map(name, channels, stride):
    with torch.device("meta"):
        extractor = load(name).view()
        assert extractor(torch.rand(1, 3, 192, 256)).shape == (1, channels, 192 // stride, 256 // stride)


class MyModule(nn.Conv2d):
    """A user's module; its arguments may have the names of ours."""

    def __init__(self, width, backbone="resnet18", spec=None):
        super().__init__(3, width, 4, 4)


class Wide(MyModule):
    def __init__(self):
        super().__init__(8)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Weights of width 8, in a folder for files."""
    monkeypatch.chdir(tmp_path)
    return {"weight": torch.rand(8, 3, 4, 4), "bias": torch.rand(8)}


def test_a_checkpoint_of_an_own_module_is_a_network(weights):
    arguments = {"width": 8, "backbone": "resnet18", "spec": "resnet18"}
    torch.save({"state_dict": weights, "hyper_parameters": arguments}, "last.ckpt")
    encoder = load(f"{OWN}:MyModule=last.ckpt")
    images = torch.rand(1, 3, 32, 32)
    expected = torch.nn.functional.conv2d(images, *weights.values(), 4)
    torch.testing.assert_close(encoder.view()(images), expected)
    assert Network.of(encoder).weights == "weights of last.ckpt"
    torch.save({"state_dict": weights, "hyper_parameters": {"width": 9}}, "other.ckpt")
    refused(ValueError, r"other\.ckpt", load, f"{OWN}:MyModule=other.ckpt")


def test_weights_alone_are_a_network_by_their_class(weights):
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    files = {"bare": weights, "nested": {"model": weights, "ema": weights, "epoch": 3}, "ddp": wrapped}
    for name, content in files.items():
        torch.save(content, f"{name}.pth")
        network = load(f"{OWN}:Wide={name}.pth").network
        assert torch.equal(network.weight, weights["weight"])
    remedy = rf"; or name a function that returns the network for these weights, {OWN}:my_network=bare\.pth$"
    refused(ValueError, f"^bare.pth: MyModule cannot be made: .*width.*{remedy}", load, f"{OWN}:MyModule=bare.pth")
    refused(ValueError, "bare.pth: int gives a int, not a module", load, "builtins:int=bare.pth")
    torch.save({"conv.weight": torch.zeros(1)}, "other.pth")
    refused(ValueError, "^other.pth: does not fit Wide: Missing key", load, f"{OWN}:Wide=other.pth")
    torch.save(network, "whole.pth")
    line = rf"whole\.pth: .* holds {OWN}\.Wide, .*: save the weights alone, torch\.save\(network\.state_dict"
    refused(ValueError, line, load, f"{OWN}:Wide=whole.pth")


def test_a_method_named_with_its_file_passes_the_gate(weights):
    torch.save({"state_dict": weights, "hyper_parameters": {"backbone": "os:abort"}}, "last.ckpt")
    refused(ValueError, "--allow os:abort ", load, "lightning_modules:VFSSimSiam=last.ckpt")


REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server with the repository `me/vfs`: a function that adds a file to it, and the paths that were asked for."""
    asked, listed, root = [], [], tmp_path / "hub"

    class Server(SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{hashlib.sha256(self.path.encode()).hexdigest()}"')
            super().end_headers()

        def log_message(self, *_):
            asked.append(self.path)

    def add(name, content):
        listed.append({"type": "file", "path": name, "size": len(content), "oid": "0"})
        files = {f"me/vfs/resolve/main/{name}": content, "api/models/me/vfs/tree/main": json.dumps(listed).encode()}
        for place, written in files.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_bytes(written)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield add, asked
    server.shutdown()
    server.server_close()


def test_a_checkpoint_is_downloaded_once_and_named_with_its_revision(hub, tmp_path, monkeypatch):
    add, asked = hub
    write_checkpoint(FrozenEncoder("raw_colour"), tmp_path / "own.ckpt")
    add("runs/last.ckpt", (tmp_path / "own.ckpt").read_bytes())
    add("README.md", b"card")
    weights = f"weights of hf://me/vfs/runs/last.ckpt at {REVISION[:12]}"
    for address in ("hf://me/vfs/runs/last.ckpt", "hf://me/vfs"):
        assert Network.of(load(address)).weights == weights
    assert asked
    images = torch.rand(1, 3, 64, 64)
    expected = build_feature_extractor(tmp_path / "own.ckpt", "colour", 4)(images)
    named = NamedNetwork("hf://me/vfs/runs/last.ckpt@colour/4")
    assert (named.name, named.stage, named.stride) == ("hf://me/vfs/runs/last.ckpt@colour/4", "colour", 4)
    assert torch.equal(load(named).view()(images), expected)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked.clear()
    assert Network.of(load("hf://me/vfs/runs/last.ckpt")).weights == weights
    assert not asked


def test_what_is_not_there_is_one_line(hub, monkeypatch):
    add, _ = hub
    add("a.ckpt", b"a")
    add("b.safetensors", b"b")
    refused(ValueError, "hf://me/vfs: holds 2 files of weights", local_file, "hf://me/vfs")
    for address in ("hf://me/vfs/c.ckpt", "hf://me"):
        assert "\n" not in refused(ValueError, f"{address}: ", local_file, address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(ValueError, "hf://me/vfs/c.ckpt: ", local_file, "hf://me/vfs/c.ckpt")


def test_a_file_elsewhere_has_its_own_name(tmp_path):
    assert source_of(tmp_path / "snapshots" / "a" / "last.ckpt") == "last.ckpt"
