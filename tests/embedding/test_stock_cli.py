"""A run's config.yaml is an ordinary configuration of LightningCLI."""

import json

import pytest
from pytorch_lightning.cli import LightningCLI

from tests.helpers.words import TINY, clips, flags
from vidcorr.cli import main


def scores_below(folder):
    return [json.loads(path.read_text())["scores"]["J&F-Mean"] for path in sorted(folder.rglob("results.json"))]


@pytest.mark.slow
def test_a_stock_lightning_cli_fits_and_validates_the_configuration_of_a_run(video_folder, davis_root, here):
    quiet = {"max_steps": 2, "enable_progress_bar": "false", "default_root_dir": "runs"}
    on = ["--on", f"davis={davis_root}", "--limit=1", "--stage=res4", "--change", "radius=3"]
    main(["fit", *TINY, *clips(video_folder), *flags("trainer", **quiet), *on])
    (ours,) = scores_below(here / "runs")
    config = "--config=runs/version_0/config.yaml"
    LightningCLI(args=["fit", config, "--trainer.default_root_dir=stock"])
    checkpoint = "--ckpt_path=runs/version_0/checkpoints/last.ckpt"
    LightningCLI(args=["validate", config, checkpoint, "--trainer.default_root_dir=again"])
    assert scores_below(here) == [ours] * 3
