"""YouTube-VOS from files to scores: objects that enter late, seen and unseen categories, the server's archive."""

import shutil
import zipfile

import pytest
from PIL import Image

from callbacks import BenchmarkCallback
from datamodules import VideoDataModule
from lightning_modules import VFSSimSiam
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, trainer_in
from tests.helpers.words import SMALL
from vidcorr import YoutubeVosBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.datasets.generated import write_youtube_vos

HOLDOUT = {"split": "holdout", "holdout": 0.5, "unseen": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ytvos"
    return write_youtube_vos(folder, 5, valid=1, frames=11, size=(64, 64))


def test_only_of_a_hold_out_videos_are_held_out(root):
    holdout, valid = YoutubeVosBenchmark(root, **HOLDOUT), YoutubeVosBenchmark(root)
    assert holdout.held_out() == [sequence.name for sequence in holdout.sequences]
    assert (len(holdout.unseen_names), valid.held_out(), valid.unseen_names) == (1, (), ())


def test_the_archive_holds_what_the_server_asks_for(root, tmp_path):
    """Every fifth frame, although all are followed."""
    benchmark = YoutubeVosBenchmark(root, all_frames=True, changes=SMALL, stride=16)
    stale = tmp_path / "predictions" / "of an earlier run" / "00000.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    assert benchmark.evaluate(build_feature_extractor("raw_colour", stride=16), tmp_path).scores == {}
    with zipfile.ZipFile(tmp_path / "predictions.zip") as archive:
        names = sorted(archive.namelist())
        with archive.open(names[0]) as file, Image.open(file) as mask:
            assert (mask.mode, mask.size) == ("P", (64, 64))
    wanted = [f"Annotations/{video.name}/{t:05d}.png" for video in benchmark.sequences for t in range(0, 11, 5)]
    assert names == sorted(wanted)


@pytest.mark.slow
def test_training_on_what_it_holds_out_is_refused(root, tmp_path):
    """The data leave out the default hold-out in its own place only; here another one is scored, over a copy."""
    benchmark = YoutubeVosBenchmark(root, changes=SMALL, **HOLDOUT)
    named = f"such as {min(sequence.name for sequence in benchmark.sequences)}: "
    arguments = {"frames": 2, "size": 32, "batch_size": 2, "num_workers": 0, "validation_fraction": 0}
    copies = shutil.copytree(root / "train/JPEGImages", tmp_path / "copies")
    data = VideoDataModule(copies, **arguments)
    trainer, message = trainer_in(tmp_path, BenchmarkCallback(benchmark)), named + r".*set include_holdout of the data"
    refused(ValueError, message, trainer.fit, VFSSimSiam(**TINY), datamodule=data)
    assert trainer.global_step == 0
    told = VideoDataModule(copies, include_holdout=True, **arguments)
    told.setup("fit")
    assert not told.trained_videos()
