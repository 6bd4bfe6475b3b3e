"""Any labelled videos: dense masks, sparse ones whose objects enter later, masks that only introduce objects."""

import json
import shutil

import numpy as np
import pytest

from callbacks import DavisBenchmark, VosBenchmark
from callbacks.tools.score import score
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.synthetic_layouts import write_youtube_vos

SMALL = {"radius": 3, "context": 2}


def colour():
    return build_feature_extractor("raw_colour")


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """YouTube-VOS's layout: a mask on every fifth frame, all frames beside them, objects that enter later."""
    root = write_youtube_vos(tmp_path_factory.mktemp("sparse") / "data", 3, valid=0, frames=21, size=(64, 64))
    shutil.copytree(root / "train_all_frames" / "JPEGImages", root / "mine" / "frames")
    shutil.copytree(root / "train" / "Annotations", root / "mine" / "masks")
    return root / "mine"


def test_davis_scores_as_the_davis_benchmark_scores_it(davis_root):
    folders = {"frames": "JPEGImages/480p", "masks": "Annotations/480p"}
    benchmark = VosBenchmark(davis_root, **folders, rules="davis-2017", changes=SMALL)
    assert benchmark.evaluate(colour()) == DavisBenchmark(davis_root, changes=SMALL).evaluate(colour())
    alone = VosBenchmark(davis_root, **folders, one_object=True, rules="davis-2017", changes=SMALL)
    merged = DavisBenchmark(davis_root, year=2016, split=None, changes=SMALL)
    assert alone.evaluate(colour()) == merged.evaluate(colour())


SLOWLY = [pytest.param(rules, marks=pytest.mark.slow) for rules in ("vost", "davis-2017", "youtube-vos")]


@pytest.mark.parametrize("rules", ["vos-benchmark", *SLOWLY])
def test_a_benchmark_and_the_command_score_masks_alike(sparse, davis_root, tmp_path, rules):
    """Objects that enter later where the rules take them; the numbers are those of the written predictions."""
    root, frames, masks = (sparse, "frames", "masks")
    if rules == "davis-2017":
        root, frames, masks = davis_root, "JPEGImages/480p", "Annotations/480p"
    benchmark = VosBenchmark(root, None, frames, masks, rules=rules, changes=SMALL)
    scores = benchmark.evaluate(colour(), tmp_path)
    by_command = score(root / masks, tmp_path / "predictions", rules)
    assert scores == pytest.approx(by_command.compute(), abs=1e-12)
    assert benchmark.results.rows == by_command.rows()
    assert benchmark.score_keys == tuple(f"vos/{name}" for name in scores)
    assert len(list((tmp_path / "predictions").rglob("*.png"))) == sum(each.num_frames for each in benchmark.sequences)
    assert json.loads((tmp_path / "results.json").read_text())["rules"]["name"] == rules
    assert 0 < scores[benchmark.score_names[0]] < 1


def test_rules_that_need_metadata_are_refused(davis_root):
    for rules in ("lvos", "mose-v2", "coco"):
        with pytest.raises(ValueError, match=f"rules '{rules}': expected one of davis-2017, .*vos-benchmark"):
            VosBenchmark(davis_root, rules=rules)


@pytest.mark.slow
def test_masks_that_only_introduce_objects_are_predicted_and_packed(sparse, tmp_path):
    (root := tmp_path / "data").mkdir()
    shutil.copytree(sparse / "frames", root / "frames")
    for video in sorted((sparse / "masks").iterdir()):
        (root / "masks" / video.name).mkdir(parents=True)
        shutil.copy(min(video.iterdir()), root / "masks" / video.name)
    benchmark = VosBenchmark(root, None, "frames", "masks", changes=SMALL)
    assert benchmark.evaluate(colour(), tmp_path / "out") == {}
    assert (tmp_path / "out" / "predictions.zip").is_file()


def test_real_frames_score_in_one_call(shared_data, tmp_path):
    """The README's five minutes: frames and masks of a real video in two folders, three frames long."""
    for part, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (tmp_path / part / "blackswan").mkdir(parents=True)
        for t in range(3):
            source = shared_data / "davis" / part / "480p" / "blackswan" / f"{t:05d}.{suffix}"
            shutil.copy(source, tmp_path / part / "blackswan")
    benchmark = VosBenchmark(tmp_path, changes=SMALL)
    scores = benchmark.evaluate(build_feature_extractor("raw_colour", stride=16))
    assert 0.5 < scores["J-Mean"] < 1
    assert np.isfinite(list(scores.values())).all()
