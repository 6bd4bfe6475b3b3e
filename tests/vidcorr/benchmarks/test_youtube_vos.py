"""YouTube-VOS from files to scores: objects that enter late, seen and unseen categories, the server's archive."""

import zipfile

import pytest
from PIL import Image

from tests.helpers.words import SMALL
from vidcorr import YoutubeVosBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.datasets.generated import write_youtube_vos

HOLDOUT = {"split": "holdout", "holdout": 0.5, "unseen": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ytvos"
    return write_youtube_vos(folder, 5, valid=1, frames=11, size=(64, 64))


def test_a_hold_out_is_named_since_training_has_its_videos_twice(root):
    holdout, valid = YoutubeVosBenchmark(root, **HOLDOUT), YoutubeVosBenchmark(root)
    assert holdout.held_out() == [sequence.name for sequence in holdout.sequences]
    assert (len(holdout.unseen_names), valid.unseen_names) == (1, ())
    assert valid.held_out() == {str(root / "valid/JPEGImages" / sequence.name) for sequence in valid.sequences}


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
