"""The gate: a file has nothing made but classes of this project, and what the command line names."""

import json
import sys
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from vidcorr.backbones import trust
from vidcorr.backbones.trust import make

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
    installed = [pytest.__name__, "numpy", "json", "os", "posix", "subprocess", "no_such_module"]
    assert trust.check_names({"class_path": FROZEN, "init_args": {"spec": "own_net_of_a_test:Net"}}, "x.ckpt")
    for name in installed:
        recipe = {"class_path": FROZEN, "init_args": {"spec": f"{name}:f"}}
        refused(ValueError, f"names (code from outside .* --allow )?{name}:f", trust.check_names, recipe, "x.ckpt")


LIIR = "vidcorr.lightning_modules.liir.Liir"


@pytest.mark.parametrize("door", TABLES["doors"])
def test_all_that_the_arguments_of_a_file_hold_is_checked_before_an_import(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model1").mkdir()
    (tmp_path / "model1/given.yaml").write_text(f"class_path: {CANARY}.Song\n")
    recipe = {"class_path": LIIR, "init_args": {"bank": TABLES["doors"][door]}}
    refused(ValueError, "names code", trust.check_names, recipe, "model1/x.ckpt")
    assert "this" not in sys.modules


def test_texts_that_name_no_code_are_arguments():
    texts = ["res4.b1", "12:30", "a: b", "[1, 2]", "{", "runs/x.yaml", "1e-3", "average", "x" * 5000, "a\0b"]
    assert trust.check_names({"class_path": LIIR, "init_args": {"note": texts}}, "runs/x.ckpt")


def test_names_of_files_are_arguments_but_not_of_a_package_or_a_config_that_came_with_the_checkpoint(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for file in ("train/a.mp4", "runs/labels.txt", "runs/names.yaml", "model1/__init__.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    texts = ["test.csv", "train.txt", "code.json", "runs/labels.txt"]
    assert trust.check_names({"class_path": LIIR, "init_args": {"note": texts}}, "runs/x.ckpt")
    (tmp_path / "model1/weights").mkdir()
    (tmp_path / "model1/link.ckpt").symlink_to("weights/x.ckpt")
    for text, checkpoint in (
        ("model1.csv", "model1/x.ckpt"),
        ("model1.csv", "model1/link.ckpt"),
        ("runs/names.yaml", "runs/x.ckpt"),
    ):
        refused(ValueError, "--allow", trust.check_names, {"class_path": LIIR, "init_args": {"note": text}}, checkpoint)


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
