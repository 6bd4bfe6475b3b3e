"""The gate: a file has nothing made but classes of this project, and what the command line names."""

import re
import sys

import pytest

from lightning_modules import FrozenEncoder
from tests.helpers.refusal import refused
from vidcorr.backbones import build_encoder, trust
from vidcorr.backbones.trust import pass_gate
from vidcorr.errors import command_line

FROZEN = "lightning_modules.frozen_encoder.FrozenEncoder"
PROBE = "lightning_modules.linear_probe.LinearProbe"
CANARY = "tests.helpers.canary"


@pytest.fixture(autouse=True)
def _nothing_allowed(monkeypatch, tmp_path):
    monkeypatch.setattr(trust, "_allowed", set())
    monkeypatch.chdir(tmp_path)  # the modules of the tests are installed here, not the user's own
    sys.modules.pop(CANARY, None)
    yield
    assert CANARY not in sys.modules


@pytest.mark.parametrize(
    ("class_path", "arguments", "message"),
    [
        (["a"], {}, "is damaged: it names no class"),
        (
            FROZEN,
            {"spec": f"{CANARY}:sing"},
            rf"names code from outside .*trust\.allow\('{CANARY}:sing'\) first$",
        ),
        (FROZEN, {"spec": "/other/file.ckpt"}, "names another file as its encoder, /other/file.ckpt"),
        (f"{CANARY}.Song", {"backbone": "os:abort"}, rf"allow\('os:abort', '{CANARY}\.Song'\) first$"),  # all at once
        ("vidcorr.errors.UsageError", {}, "is not a torch.nn.Module"),
    ],
)
def test_what_a_file_may_not_name(class_path, arguments, message):
    assert refused(ValueError, message, pass_gate, class_path, arguments, "x.ckpt").startswith("x.ckpt: ")


def test_nested_encoders_take_the_same_way(tmp_path):
    process = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(tmp_path / "canary")]}}
    arguments = {"backbone": "b.ckpt", "num_classes": 2, "encoder": process}
    refused(ValueError, r"allow\('subprocess\.Popen'\) first$", pass_gate, PROBE, arguments, "x.ckpt")
    refused(ValueError, r"allow\('subprocess\.Popen'\) first$", build_encoder, "a.ckpt", recipe=process)
    refused(ValueError, r"allow\('subprocess\.Popen'\) first$", FrozenEncoder, "a.ckpt", encoder=process)
    assert not (tmp_path / "canary").exists()


def test_modules_below_the_working_directory_are_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "own_net_of_a_test.py").write_text("import torch\nclass Net(torch.nn.Module):\n    ...\n")
    assert pass_gate("own_net_of_a_test.Net", {}, "x.ckpt").kind.__name__ == "Net"
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "deep_net_of_a_test.py").write_text("def f():\n    ...\n")
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert trust.outside_code({"class_path": FROZEN, "init_args": {"spec": "deep_net_of_a_test:f"}}) == []
    (tmp_path / "numpy").mkdir()  # the installed package is found first
    installed = [pytest.__name__, "numpy", "json", "os", "posix", "subprocess", "no_such_module"]
    assert trust.outside_code({"class_path": FROZEN, "init_args": {"spec": "own_net_of_a_test:Net"}}) == []
    for name in installed:
        assert trust.outside_code({"class_path": FROZEN, "init_args": {"spec": f"{name}:f"}}) == [f"{name}:f"]


def test_advice_on_the_command_line_names_flags():
    with command_line(["evaluate", "a.ckpt"]):
        assert refused(ValueError, "add --allow os:abort$", pass_gate, FROZEN, {"spec": "os:abort"}, "a.ckpt")
    assert refused(ValueError, r"allow\('os:abort'\) first$", pass_gate, FROZEN, {"spec": "os:abort"}, "a.ckpt")


FAULTY = {
    "import not_there": "ModuleNotFoundError: No module named 'not_there'",
    "def f(:": "SyntaxError: invalid syntax",
    "if True:\n\tx = 1\n        y = 2": "TabError: inconsistent use of tabs and spaces in indentation",
    "\0": "SyntaxError: source code string cannot contain null bytes",
    "undefined": "NameError: name 'undefined' is not defined",
    "1 / 0": "ZeroDivisionError: division by zero",
    "import os; os.nothing": "AttributeError: module 'os' has no attribute 'nothing'",
    "raise ImportError('first\\nsecond')": "ImportError: first second",
    "raise ValueError('mine')": "ValueError: mine",
    "import sys; sys.exit(3)": "SystemExit: 3",
}
"""Text of a module of the user's own → the reason of the failure of its import."""


@pytest.mark.parametrize("place", ["faulty", "package.faulty"])
@pytest.mark.parametrize("text", FAULTY)
def test_a_module_that_fails_on_import_is_one_line_with_reason_and_place(text, place, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("package", "package.faulty", "faulty"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "package").mkdir()
    file = tmp_path / f"{place.replace('.', '/')}.py"
    file.write_text(text)
    line = refused(trust.FailedImport, "^mine: its module fails on import: ", trust.import_named, place, "Own", "mine")
    assert FAULTY[text] in line
    assert re.search(r"\(\S+:\d\)$", line)
    assert str(file) in line or text == "\0"  # Python names no file for it


def test_a_class_within_a_class_is_named_by_its_module():
    assert trust.import_named(f"{__name__}.Outer", "Inner", "mine") is Outer.Inner
    missing = f"^mine: cannot import it .No module named '{re.escape(__name__)}.Nowhere'.*; run from its folder"
    refused(ValueError, missing, trust.import_named, f"{__name__}.Nowhere", "Inner", "mine")
    absent = "^mine: cannot import it .module 'torch' has no attribute 'Absent'.; run from its folder"
    refused(ValueError, absent, trust.import_named, "torch", "Absent", "mine")  # torch has a `__getattr__` of its own


class Outer:
    """A class of the user's own that holds another."""

    class Inner:
        """The other."""
