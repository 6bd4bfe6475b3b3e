"""The door: from files on disk to scores, by command line alone."""

import io
import json
import os
import shutil
import sys

import pytest
import torch

from cli import main
from tests.helpers.words import TINY, clips, davis, flags, refusal


def arguments(videos, root, run):
    return [
        *("fit", *TINY, *clips(videos, validation_fraction=0.3), *davis(root, stage="res4")),
        *flags("trainer", max_epochs=1, default_root_dir=run),
        "--trainer.callbacks+=BestCheckpoint",
    ]


def test_fit_then_validate_gives_the_score_of_the_callback(video_folder, davis_root, tmp_path):
    main(arguments(video_folder, davis_root, tmp_path))
    run = tmp_path / "lightning_logs" / "version_0"
    (results,) = (run / "benchmarks" / "davis").glob("*/results.json")
    assert (run / "config.yaml").is_file()
    assert list(run.glob("events.out.tfevents.*"))
    (checkpoint,) = (run / "checkpoints").glob("best-*.ckpt")
    plain = torch.load(checkpoint, weights_only=True)
    assert plain["vidcorr"]["class_path"] == "lightning_modules.vfs_simsiam.VFSSimSiam"
    words = ["validate", f"--ckpt_path={checkpoint}", *flags("trainer", accelerator="cpu", logger="false")]
    main([*words, *davis(davis_root, stage="res4", output_dir=tmp_path / "again")])
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    assert again["scores"] == json.loads(results.read_text())["scores"]
    assert again["protocol"] == json.loads(results.read_text())["protocol"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--data.source=nowhere", "nowhere"),
        ("--data.frames=3", "clip of 3 frames"),
        ("--model.backbone=resnet18", "torchvision:resnet18"),
    ],
)
def test_a_users_mistake_is_one_line(video_folder, davis_root, tmp_path, change, message):
    assert message in refusal(*arguments(video_folder, davis_root, tmp_path), change)


def test_a_file_name_that_is_not_utf8_is_printed_as_it_is(video_folder, tmp_path, monkeypatch):
    source, printed = tmp_path / "videos", io.BytesIO()
    shutil.copytree(video_folder, source)
    (source / os.fsdecode(b"bad\xff.mp4")).write_bytes(b"no video")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8", errors="strict"))
    main(["check-data", str(source), "--output", str(tmp_path / "checked"), "--workers", "1"])
    assert b"bad\xff.mp4: Invalid data" in printed.getvalue()


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="torchvision:resnet18"):
        main(["validate", "--model=FrozenEncoder", "--model.spec=resnet18", "--debug"])
