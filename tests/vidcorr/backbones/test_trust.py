"""The gate: a file has nothing made but classes of this project, and what the command line names."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import timm
import torch

from tests.helpers.refusal import refused
from vidcorr.backbones import EncoderSpec, trust
from vidcorr.backbones.checkpoints import saved_model, write_checkpoint
from vidcorr.backbones.trust import make
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam

pytestmark = pytest.mark.usefixtures("canary")
FROZEN = "vidcorr.lightning_modules.frozen_encoder.FrozenEncoder"
CANARY = "tests.helpers.canary"
TABLES = json.loads(Path(__file__).with_name("trust.json").read_text())
"""Class, arguments, refusal; a value that the parser imports from, or would call; module, text, refusal."""


@pytest.mark.parametrize(("class_path", "arguments", "message"), TABLES["recipes"])
def test_what_a_file_may_not_name(class_path, arguments, message):
    recipe = {"class_path": class_path, "init_args": arguments}
    assert refused(ValueError, message, make, recipe, "x.ckpt").startswith("x.ckpt: ")


def test_modules_below_the_working_directory_are_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "own_net_of_a_test.py").write_text("import torch\nclass Net(torch.nn.Module):\n    ...\n")
    assert type(make({"class_path": "own_net_of_a_test.Net"}, "x.ckpt")).__name__ == "Net"
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "deep_net_of_a_test.py").write_text("def f():\n    ...\n")
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert trust.check_names({"class_path": FROZEN, "init_args": {"spec": "deep_net_of_a_test:f"}}, "x.ckpt")
    (tmp_path / "numpy").mkdir()  # the installed package is found first
    for folder in ("torchhub/owner", "no_init"):  # clones of torch.hub; a package without __init__.py
        (tmp_path / folder).mkdir(parents=True)
    assert trust.check_names({"class_path": FROZEN, "init_args": {"spec": "no_init.net:f"}}, "x.ckpt")
    refused(ValueError, "--allow owner/r ", trust.refuse, ["torchhub:owner/r:f"], "x.ckpt")
    installed = [pytest.__name__, "numpy", "json", "os", "posix", "subprocess", "no_such_module"]
    assert trust.check_names({"class_path": FROZEN, "init_args": {"spec": "own_net_of_a_test:Net"}}, "x.ckpt")
    for name in installed:
        recipe = {"class_path": FROZEN, "init_args": {"spec": f"{name}:f"}}
        refused(ValueError, f"names (code from outside .* --allow )?{name}:f", trust.check_names, recipe, "x.ckpt")


LIIR = "vidcorr.lightning_modules.liir.Liir"


@pytest.mark.parametrize("door", TABLES["doors"])
def test_all_that_a_parser_would_read_in_a_file_is_checked_before_an_import(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trust, "_allowed", {TYPED})
    (tmp_path / "model1").mkdir()
    (tmp_path / "model1/given.yaml").write_text(f"class_path: {CANARY}.Song\n")
    for class_path, argument in ((LIIR, "bank"), (LIIR, "other"), (TYPED, "loss"), (TYPED, "anything")):
        if argument == "anything" and door in ("text", "built in", "config"):
            continue  # stays a text where nothing else is asked for
        arguments = {"backbone": "timm:resnet18.tv_in1k", argument: TABLES["doors"][door]}
        metadata = {"class_path": class_path, "version": "1", "encoder": None}
        content = {"vidcorr": metadata, "state_dict": {}, "hyper_parameters": arguments}
        torch.save(content, "model1/x.ckpt")
        refused(ValueError, "names code .* --allow ", saved_model, "model1/x.ckpt")
    assert "this" not in sys.modules


class Typed(VFSSimSiam):
    """A method with arguments that a parser reads as texts, as code, or as anything."""

    def __init__(
        self,
        videos: str | list[str] = "",
        loss: Callable[..., object] | None = None,
        anything: Any = None,
        unnamed=None,
        **others: Any,
    ) -> None:
        super().__init__(**others)


TYPED = f"{__name__}.Typed"


def test_texts_that_name_no_code_are_arguments(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "_allowed", {TYPED})
    texts = ["res4.b1", "12:30", "a: b", "[1, 2]", "{", "runs/x.yaml", "1e-3", "average", "x" * 5000, "test.csv"]
    arguments = {"videos": [*texts, f"{CANARY}.Song"], "anything": texts, "unnamed": "train.txt", "loss": None}
    write_checkpoint(FrozenEncoder("raw_colour"), tmp_path / "x.ckpt")
    content = torch.load(tmp_path / "x.ckpt", weights_only=True)
    content["vidcorr"]["class_path"] = TYPED
    torch.save(content | {"hyper_parameters": arguments}, tmp_path / "x.ckpt")
    assert saved_model(tmp_path / "x.ckpt") == {"class_path": TYPED, "init_args": arguments}


def test_functions_of_trusted_packages_that_name_no_network_are_the_users_word(monkeypatch):
    """A file names those that say that they return a module; of timm's, some do not say it."""
    monkeypatch.setattr(trust, "_allowed", set())
    functions = [timm.models.model_entrypoint(name) for name in timm.list_models()]
    says_it = {True: 0, False: 0}
    for function in functions:
        made = get_type_hints(inspect.unwrap(function)).get("return")
        is_module = isinstance(made, type) and issubclass(made, torch.nn.Module)
        says_it[is_module] += 1
        spec = f"timm.models:{function.__name__}"
        recipe = {"class_path": FROZEN, "init_args": {"spec": spec}}
        if not is_module:
            refused(ValueError, f"--allow {spec} ", trust.check_names, recipe, "x.ckpt")
            trust.allow_named(["evaluate", spec])
        assert trust.check_names(recipe, "x.ckpt")
    assert min(says_it.values()) > 50
    with torch.device("meta"):
        assert EncoderSpec("timm.models:efficientvit_b0").build()


def test_a_module_that_came_with_a_checkpoint_is_not_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for folder in ("model1", "model1/net_beside_it"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise SystemExit(9)\n")
    monkeypatch.syspath_prepend(tmp_path / "model1")
    for name in ("model1.evil:net", "net_beside_it:net"):
        recipe = {"class_path": FROZEN, "init_args": {"spec": name}}
        refused(ValueError, f"--allow {name} ", trust.check_names, recipe, "model1/x.ckpt")
        assert trust.check_names(recipe, "x.ckpt")  # beside it in the working directory
        assert trust.check_names(recipe, "runs/x.ckpt")


def test_a_checkpoint_below_a_package_of_the_users_may_name_the_package_but_not_what_came_with_it(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for file in ("mine/__init__.py", "mine/net.py", "mine/given/evil.py", "mine/given/deep/evil.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("raise SystemExit(9)\n")
    for name in ("mine.given.evil:net", "mine.given.deep.evil:net"):
        recipe = {"class_path": FROZEN, "init_args": {"spec": name}}
        refused(ValueError, f"--allow {name} ", trust.check_names, recipe, "mine/given/x.ckpt")
    for name in ("mine.net:net", "mine:given"):
        assert trust.check_names({"class_path": FROZEN, "init_args": {"spec": name}}, "mine/net/x.ckpt")
    assert trust.check_names({"class_path": FROZEN, "init_args": {"spec": "mine.given.evil:net"}}, "x.ckpt")


def test_a_name_that_is_not_there_is_one_line():
    absent = "^mine: cannot import it .module 'torch' has no attribute 'Absent'.; run from its folder"
    refused(ValueError, absent, trust.import_named, "torch", "Absent", "mine")  # torch has a `__getattr__` of its own
    missing = "^mine: cannot import it .No module named 'nowhere'"
    refused(ValueError, missing, trust.import_named, "nowhere", "Absent", "mine")


def test_a_nested_encoder_replaces_the_name_beside_it_and_arguments_of_lightning_are_left_out():
    arguments = {"spec": f"{CANARY}:sing", "encoder": {"class_path": FROZEN, "init_args": {"spec": "raw_colour"}}}
    accepted = trust.check_names({"class_path": FROZEN, "init_args": arguments | {"_instantiator": "x"}}, "x.ckpt")
    assert accepted == {"class_path": FROZEN, "init_args": arguments}


@pytest.mark.parametrize(("module", "text", "message"), TABLES["modules"])
def test_a_module_that_is_not_the_users_network_is_named(module, text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vidcorr", "--unknown"])
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / module.removesuffix(".py")).with_suffix(".py").write_text(text)
    refused(ValueError, message, trust.import_named, module, "Net", "network")
