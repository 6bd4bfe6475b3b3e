"""The root is flat, so its names must be ours alone."""

import importlib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["callbacks", "datamodules", "lightning_modules", "cli"])
def test_the_name_is_ours(name):
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(ROOT)
    assert set(packages_distributions().get(name, ["vidcorr"])) == {"vidcorr"}


def test_the_command_is_our_door():
    (command,) = entry_points(group="console_scripts", name="vidcorr")
    assert command.load() is importlib.import_module("cli").main


@pytest.mark.parametrize("package", ["callbacks", "datamodules", "lightning_modules", "callbacks.metrics"])
def test_every_public_name_is_there(package):
    module = importlib.import_module(package)
    assert all(getattr(module, name).__doc__ for name in module.__all__ if name.isidentifier() and name[0].isupper())
