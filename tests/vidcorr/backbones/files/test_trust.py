"""The gate: a file has nothing made but classes of this project, and what the command line names.

Hostile files through each command are in tests/faults/test_audit.py.
"""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch

from tests.helpers.parsed import Built
from tests.helpers.refusal import refused
from vidcorr import backbones, lightning_modules
from vidcorr.backbones import EncoderSpec, load, networks
from vidcorr.backbones.families import FAMILIES
from vidcorr.backbones.files import trust
from vidcorr.backbones.files.listed import is_listed, names_in
from vidcorr.backbones.files.trust import import_path, make, require_small
from vidcorr.backbones.loading import _encoder_of_fields
from vidcorr.backbones.networks import build
from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.lightning_modules.parts.negative_bank import BankSettings

pytestmark = pytest.mark.usefixtures("canary")
FROZEN = "vidcorr.lightning_modules.frozen_encoder.FrozenEncoder"
TABLES = json.loads(Path(__file__).with_name("trust.json").read_text())
"""Class, arguments, refusal; module, text, refusal."""


@pytest.mark.parametrize(("class_path", "arguments", "message"), TABLES["recipes"])
def test_what_a_file_may_not_name(class_path, arguments, message):
    recipe = {"class_path": class_path, "init_args": arguments}
    assert refused(ValueError, message, make, recipe, "x.ckpt").startswith("x.ckpt: ")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Return a function that writes a checkpoint, beside a module whose code would write a file."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(trust, "KNOWN", set(trust.KNOWN))
    code = "open('ran', 'w')\nimport torch\nclass Net(torch.nn.Module): ...\ndef net(): open('ran', 'w')\n"
    Path("evil.py").write_text(code)

    def write(file, class_path, arguments, encoder):
        about = {"class_path": class_path, "version": "1", "encoder": encoder}
        torch.save({"vidcorr": about, "state_dict": {}, "hyper_parameters": arguments, "global_step": 0}, file)

    return write


def test_what_the_user_of_the_process_has_named_may_be_named(hostile):
    names = ["repo.weights.evil.Net", "evil:net", "transformers:me/it"]
    trust.know("--model=repo.weights.evil:Net", "{'a': 'evil:net'}", "model: transformers:me/it")
    trust.refuse(names, "x.ckpt")
    trust.know("evaluate", "repo/weights.evil.Other", "runs/evil:other/x.ckpt", "evil.ckpt")  # paths name no code
    for name in ("evil:abort", "weights.evil.Other", "evil:other", "evil.ckpt", "os:abort", "yaml:unsafe_load"):
        refused(ValueError, f"names {name}, which is not of vidcorr", trust.refuse, [name], "x.ckpt")
    trust.KNOWN.clear()
    refused(ValueError, "names evil:Net, which", trust.refuse, ["evil:Net"], "x.ckpt")
    build(EncoderSpec("evil:Net"))  # made by the user, so that its checkpoint may name it
    trust.refuse(["evil:Net", "evil.Net"], "x.ckpt")
    refused(ValueError, "names evil:net, which", trust.refuse, ["evil:net"], "x.ckpt")
    Path("ran").unlink()  # its module ran, by the user's word
    del sys.modules["evil"]


def test_each_network_among_the_arguments_of_our_methods_is_closed():
    """By their annotation: a method with a network under another name may open no file either."""
    for name in lightning_modules.__all__:
        kind = getattr(lightning_modules, name)
        for argument, hint in get_type_hints(kind.__init__).items():
            if argument in ("backbone", "spec", "start") and "Literal" not in str(hint):
                message = "x.ckpt: names another file as its encoder, bait/x.pth"
                refused(ValueError, message, trust.closed_arguments, kind, {argument: "bait/x.pth"}, "x.ckpt")
                fields = {"spec": "timm:resnet18", "pretrained": True}
                closed = trust.closed_arguments(kind, {argument: fields}, "x.ckpt")
                assert closed == {argument: {"spec": "timm:resnet18"}}


def test_a_function_that_a_file_names_again_gets_no_arguments_from_the_file():
    spec = {"spec": f"{__name__}:counted", "arguments": {"width": 5}}
    trust.know(spec["spec"])
    line = f"x.ckpt: gives arguments to {__name__}:counted, a function; name it yourself"
    refused(ValueError, line, _encoder_of_fields, spec, Path("x.ckpt"))
    assert calls == []
    assert _encoder_of_fields({"spec": spec["spec"]}, Path("x.ckpt")).network.out_channels == 4
    assert calls == [4]


calls: list[int] = []


def counted(width=4):
    calls.append(width)
    return torch.nn.Conv2d(3, width, 8, 8)


def test_the_written_list_is_of_what_there_is():
    assert names_in("vidcorr.lightning_modules") == set(lightning_modules.__all__)
    makers = names_in("vidcorr.backbones") - {"Encoder", "LiirEncoder"}
    assert {"vidcorr_r18", "crw_resnet18", "moco_v3_vit_small"} <= makers
    for name in makers:
        assert not inspect.signature(getattr(backbones, name)).parameters
    specs = [*networks.SHORT_NAMES.values(), *(table.get("architecture", "timm:x") for table in FAMILIES.values())]
    for spec in specs:
        name, _, _ = spec.partition("@")
        assert is_listed(name) or "{" in name


def test_content_is_counted_before_it_is_walked(hostile):
    shared: list = []
    for _ in range(34):
        shared = [shared, shared]
    endless: list = []
    endless.append(endless)
    deep: dict = {}
    for _ in range(100):
        deep = {"a": deep}
    require_small(deep, "x.ckpt")
    deep = {"a": deep}
    for content in (shared, endless, deep):
        hostile("x.ckpt", FROZEN, {"spec": content}, None)
        refused(ValueError, "x.ckpt: holds more than 100 levels or 100000 values", load, "x.ckpt")
        torch.save({"state_dict": {"a": torch.ones(1)}, "more": {"b": content}}, "y.pth")
        if content is deep:
            refused(ValueError, "y.pth: holds more than 100 levels", load, "torchvision:resnet18=y.pth")


class Typed(VFSSimSiam):
    """A method with arguments that a parser would read as code, as a path or as settings."""

    def __init__(
        self,
        videos: str | list[str] = "",
        loss: Callable[..., object] | None = None,
        anything: Any = None,
        settings: BankSettings = BankSettings(),  # noqa: B008 - as Liir has it
        place: Path = Path(),
        unnamed=None,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.got = (videos, loss, anything, settings, place, unnamed)


def test_a_command_builds_the_model_of_a_checkpoint_from_plain_values_that_name_no_code(hostile):
    arguments = {"videos": ["a: b"], "loss": None, "anything": {"a": 1}, "unnamed": "runs/x.yaml"}
    arguments |= {"settings": {"frames": 4}, "place": "a/b", "backbone": "torchvision:resnet18", "projector_dim": 8}
    trust.know(import_path(Typed))
    hostile("x.ckpt", import_path(Typed), arguments, None)
    made = Built(["fit", "--ckpt_path=x.ckpt", "--model.projector_dim=16", "--model.settings.frames=5"]).model
    plain = (arguments["videos"], None, {"a": 1}, BankSettings(frames=4), Path("a/b"), "runs/x.yaml")
    assert made.got == (*plain[:3], BankSettings(frames=5), *plain[4:])
    assert made.projector[0].out_features == 16
    assert trust.make({"class_path": import_path(Typed), "init_args": arguments}, "x.ckpt").got == plain
    for name, value in (("loss", "os.abort"), ("anything", {"class_path": "evil.Net"}), ("videos", ["evil.Net"])):
        hostile("x.ckpt", import_path(Typed), arguments | {name: value}, None)
        refused(ValueError, r"x\.ckpt: names (os\.abort|evil\.Net)", Built, ["fit", "--ckpt_path=x.ckpt"])
    assert "evil" not in sys.modules


@pytest.mark.parametrize(("module", "text", "message"), TABLES["modules"])
def test_a_module_that_is_not_the_users_network_is_named(module, text, message, here, monkeypatch):
    monkeypatch.setattr("sys.argv", ["vidcorr", "--unknown"])
    monkeypatch.syspath_prepend(str(here))
    (here / module.removesuffix(".py")).with_suffix(".py").write_text(text)
    refused(ValueError, message, trust.import_named, module, "Net", "network")
