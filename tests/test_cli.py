"""The door: from files on disk to scores, by command line alone."""

import io
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.metrics import region_similarity
from cli import main

TINY = [
    "--model=VFSSimSiam",
    "--model.backbone=tests.helpers.encoders:TinyResNet",
    "--model.projector_dim=16",
    "--model.predictor_dim=8",
]


def arguments(videos, davis, run):
    return [
        "fit",
        *TINY,
        "--data=VideoDataModule",
        f"--data.source={videos}",
        "--data.frames=2",
        "--data.size=32",
        "--data.batch_size=2",
        "--data.num_workers=0",
        "--data.validation_fraction=0.3",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        f"--trainer.default_root_dir={run}",
        "--trainer.callbacks+=DavisBenchmark",
        f"--trainer.callbacks.root={davis}",
        "--trainer.callbacks.stage=res4",
        '--trainer.callbacks.changes={"radius": 3, "context": 2}',
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
    main(
        [
            "validate",
            f"--ckpt_path={checkpoint}",
            "--trainer.accelerator=cpu",
            "--trainer.logger=false",
            "--trainer.callbacks+=DavisBenchmark",
            f"--trainer.callbacks.root={davis_root}",
            "--trainer.callbacks.stage=res4",
            '--trainer.callbacks.changes={"radius": 3, "context": 2}',
            f"--trainer.callbacks.output_dir={tmp_path / 'again'}",
        ]
    )
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
    with pytest.raises(SystemExit) as stopped:
        main([*arguments(video_folder, davis_root, tmp_path), change])
    line = str(stopped.value)
    assert line.startswith("vidcorr: ")
    assert message in line
    assert "\n" not in line


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


@pytest.mark.slow
def test_validate_of_a_frozen_encoder_scores_what_it_wrote(davis_root, tmp_path):
    """The score is that of the masks on disk, by the plain metric, and the masks follow the object."""
    main(
        [
            "validate",
            "--model=FrozenEncoder",
            "--model.spec=raw_colour",
            "--trainer.logger=false",
            "--trainer.accelerator=cpu",
            "--trainer.callbacks+=DavisBenchmark",
            f"--trainer.callbacks.root={davis_root}",
            f"--trainer.callbacks.output_dir={tmp_path}",
            '--trainer.callbacks.changes={"radius": 3, "context": 2}',
        ]
    )
    found = json.loads((tmp_path / "results.json").read_text())["scores"]["J-Mean"]
    written, never_moved = [], []
    for folder in sorted((davis_root / "Annotations/480p").iterdir()):
        truth = read_masks(folder)
        predicted = read_masks(*tmp_path.rglob(f"{folder.name}/00000.png"), beside=True)
        for number in range(1, int(truth.max()) + 1):
            inner = slice(1, -1)  # the first and the last frame are not scored
            written.append(region_similarity(predicted[inner] == number, truth[inner] == number).mean())
            still = (truth[:1] == number).expand(len(truth) - 2, -1, -1)
            never_moved.append(region_similarity(still, truth[inner] == number).mean())
    assert found == pytest.approx(float(torch.stack(written).mean()), abs=1e-9)
    assert found != pytest.approx(float(torch.stack(never_moved).mean()), abs=1e-3)


def read_masks(path, beside=False):
    files = sorted((path.parent if beside else path).glob("*.png"))
    return torch.stack([torch.from_numpy(np.asarray(Image.open(file))) for file in files])
