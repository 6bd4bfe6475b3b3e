"""The gate: a file has nothing made but classes of this project, and what the command line names.

Hostile files through each command are in tests/faults/test_audit.py.
"""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.parsed import Built
from tests.helpers.refusal import refused
from vidcorr import backbones, lightning_modules
from vidcorr.backbones import load, networks
from vidcorr.backbones.families import FAMILIES
from vidcorr.backbones.files import listed, trust
from vidcorr.backbones.files.listed import is_listed, names_in
from vidcorr.backbones.files.trust import import_path, make, require_small
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
    code = "open('ran', 'w')\nimport torch\nclass Net(torch.nn.Module): ...\ndef net(): open('ran', 'w')\n"
    Path("evil.py").write_text(code)

    def write(file, class_path, arguments, encoder):
        about = {"class_path": class_path, "version": "1", "encoder": encoder}
        torch.save({"vidcorr": about, "state_dict": {}, "hyper_parameters": arguments, "global_step": 0}, file)

    return write


def test_what_the_user_says_or_holds_in_a_script_may_be_named(hostile, monkeypatch):
    names = ["repo.weights.evil.Net", "evil:net"]
    for words in (["evaluate", "--model=repo.weights.evil:Net"], ["x", "--allow", names[0]], ["{'a': 'evil:net'}"]):
        trust.allow_named(words)
    trust.refuse(names, "x.ckpt")
    trust.begin_command(["evaluate", "x.ckpt"])  # in the same process
    trust.allow_named(["evaluate", "repo/weights.evil.Net", "runs/evil:net/x.ckpt"])  # paths name no code
    for name in names:
        refused(ValueError, f"--allow {name}$", trust.refuse, [name], "x.ckpt")
    import evil  # by the user's own script, which is not to name what is in it

    monkeypatch.setattr(sys.modules["__main__"], "evil", evil, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "net", evil.net, raising=False)
    for name in ("evil:abort", "os:abort", "numpy:zeros", "yaml:unsafe_load", "evil:net", "evil.Net"):
        refused(ValueError, f"--allow {name}$", trust.refuse, [name], "x.ckpt")
    monkeypatch.setattr(sys.modules["__main__"], "Net", evil.Net, raising=False)  # from evil import Net
    trust.refuse(["evil:Net", "evil.Net"], "x.ckpt")
    monkeypatch.delattr(sys.modules["__main__"], "Net")
    refused(ValueError, "--allow evil.Net$", trust.refuse, ["evil.Net"], "x.ckpt")
    trust.allow(evil.Net)
    trust.refuse(["evil:Net", "evil.Net"], "x.ckpt")
    del sys.modules["evil"]


def test_the_written_list_is_of_what_there_is():
    assert names_in("vidcorr.lightning_modules") == set(lightning_modules.__all__)
    makers = names_in("vidcorr.backbones").difference(listed.CLASSES)
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


def test_a_command_builds_the_model_of_a_checkpoint_from_plain_values_without_its_parser(hostile):
    code = {"class_path": "evil.Net"}
    arguments = {"videos": ["a: b", "evil.Net"], "loss": "os.abort", "anything": code, "unnamed": "runs/x.yaml"}
    arguments |= {"settings": {"frames": 4}, "place": "a/b", "backbone": "torchvision:resnet18", "projector_dim": 8}
    trust.allow(import_path(Typed))
    hostile("x.ckpt", import_path(Typed), arguments, None)
    made = Built(["fit", "--ckpt_path=x.ckpt", "--model.projector_dim=16", "--model.settings.frames=5"]).model
    plain = (arguments["videos"], "os.abort", code, BankSettings(frames=4), Path("a/b"), "runs/x.yaml")
    assert made.got == (*plain[:3], BankSettings(frames=5), *plain[4:])
    assert made.projector[0].out_features == 16
    assert trust.make({"class_path": import_path(Typed), "init_args": arguments}, "x.ckpt").got == plain
    assert "evil" not in sys.modules


@pytest.mark.parametrize(("module", "text", "message"), TABLES["modules"])
def test_a_module_that_is_not_the_users_network_is_named(module, text, message, here, monkeypatch):
    monkeypatch.setattr("sys.argv", ["vidcorr", "--unknown"])
    monkeypatch.syspath_prepend(str(here))
    (here / module.removesuffix(".py")).with_suffix(".py").write_text(text)
    refused(ValueError, message, trust.import_named, module, "Net", "network")
