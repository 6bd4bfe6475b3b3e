"""`vidcorr convert`: what it prints, that every place takes what it writes, and its families."""

import json

import pytest

from cli import main
from lightning_modules import LinearProbe
from lightning_modules.foreign import FAMILIES
from lightning_modules.tools import convert as tool
from tests.helpers.foreign import (
    random_state,
    write,
)


def test_every_place_takes_what_the_command_writes(davis_root, tmp_path, capsys):
    foreign, ours = write(tmp_path / "vfs.pth", random_state("vfs_r18")), tmp_path / "ours.ckpt"
    main(["convert", str(foreign), str(ours)])
    printed = capsys.readouterr().out
    for told in ("family", "vfs", "VFSSimSiam", "backbone", "projector", "predictor", str(ours)):
        assert told in printed
    common = [
        "--trainer.logger=false",
        "--trainer.accelerator=cpu",
        "--trainer.callbacks+=DavisBenchmark",
        f"--trainer.callbacks.root={davis_root}",
        '--trainer.callbacks.changes={"radius": 3, "context": 2}',
        "--trainer.callbacks.stage=res4",
    ]
    main(["validate", f"--ckpt_path={ours}", *common, f"--trainer.callbacks.output_dir={tmp_path / 'a'}"])
    frozen = ["--model=FrozenEncoder", f"--model.spec={ours}"]
    main(["validate", *frozen, *common, f"--trainer.callbacks.output_dir={tmp_path / 'b'}"])
    a, b = (json.loads((tmp_path / name / "results.json").read_text())["scores"] for name in "ab")
    assert a == b
    assert LinearProbe(str(ours), num_classes=2).backbone.stem[0].weight.shape == (64, 3, 7, 7)


def test_a_mistake_is_one_line(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(tmp_path / "nowhere.pth"), str(tmp_path / "ours.ckpt")])
    assert str(stopped.value).startswith("vidcorr: ")
    assert "no such file" in str(stopped.value)


def test_the_command_line_knows_every_family():
    assert ("auto", *FAMILIES) == tool.KINDS
