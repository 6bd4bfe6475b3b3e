"""Foreign files are read without running anything that they hold."""

import argparse
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lightning_modules.foreign.conversion import convert
from lightning_modules.foreign.foreign_file import read_foreign
from tests.helpers.foreign import lively_resnet18, write
from tests.helpers.refusal import refused


def test_a_checkpoint_of_ours_needs_no_conversion(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "vidcorr": {"class_path": "x"}}, tmp_path / "ours.ckpt")
    with pytest.raises(ValueError, match=r"ours\.ckpt: already a checkpoint of vidcorr, no conversion is needed"):
        convert(tmp_path / "ours.ckpt", tmp_path / "again.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"weights": {"a": torch.zeros(1)}},
            r"no weights under state_dict, teacher, model or at the top; it holds weights",
        ),
        ({"stem.weight": torch.zeros(1)}, r"of no known family \(vfs, crw, .*\); it has stem\.weight"),
        ({"model": {"a": torch.zeros(1)}, "lr": Fraction(1, 3)}, r"holds fractions\.Fraction, .* add --trust"),
    ],
)
def test_files_that_cannot_be_taken(content, message, tmp_path):
    torch.save(content, tmp_path / "foreign.pth")
    refused(ValueError, message, convert, tmp_path / "foreign.pth", tmp_path / "ours.ckpt")


def test_damaged_missing_and_misnamed_files(tmp_path):
    (tmp_path / "half.pth").write_bytes(b"PK\3\4half")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>404</html>")
    torch.save({"a": torch.zeros(3000)}, tmp_path / "whole.pth")
    torch.save({"a": torch.zeros(3000)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for whole in ("whole", "old"):
        content = (tmp_path / f"{whole}.pth").read_bytes()
        (tmp_path / f"{whole}_cut.pth").write_bytes(content[: 20 if whole == "old" else len(content) // 2])
    for foreign, output, message in [
        ("half.pth", "ours.ckpt", "cannot be read"),
        ("page.pth", "ours.ckpt", r"is no checkpoint, .* it begins b'<!DOCTYPE"),
        ("whole_cut.pth", "ours.ckpt", r"whole_cut\.pth: cannot be read; is it complete"),
        ("old_cut.pth", "ours.ckpt", r"old_cut\.pth: cannot be read; is it complete"),
        ("whole.pth", "whole.pth", "would replace the foreign checkpoint"),
        ("nowhere.pth", "ours.ckpt", "no such file"),
        ("half.pth", "ours.bin", r"ends with \.ckpt"),
    ]:
        refused(ValueError, message, convert, tmp_path / foreign, tmp_path / output)


def test_what_official_files_hold_beside_weights_is_read(tmp_path):
    beside = {
        "args": argparse.Namespace(lr=0.1, name="x"),
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "flag": np.bool_(True),
    }
    write(tmp_path / "foreign.pth", {"module.a": torch.ones(1)}, **beside)
    file = read_foreign(tmp_path / "foreign.pth")
    assert list(file.state) == ["a"]
    assert file.beside == ("args", "best", "epoch", "flag")


def test_trust_reads_anything(tmp_path):
    write(tmp_path / "foreign.pth", lively_resnet18().state_dict(), lr=Fraction(1, 3))
    assert convert(tmp_path / "foreign.pth", tmp_path / "ours.ckpt", trust=True)["family"] == "torchvision"


def test_safetensors_are_read(tmp_path):
    save_file(dict(lively_resnet18().state_dict()), tmp_path / "plain.safetensors")
    report = convert(tmp_path / "plain.safetensors", tmp_path / "ours.ckpt")
    assert report["init_args"] == {"spec": "torchvision:resnet18"}
