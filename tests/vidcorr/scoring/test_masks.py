"""`vidcorr score`: masks on disk against masks on disk, by the rules of DAVIS and YouTube-VOS."""

import json
import shutil
from base64 import b64encode

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark, Result
from vidcorr.commands import run_command
from vidcorr.datasets import generated
from vidcorr.datasets.generated import writers
from vidcorr.metrics.rules import RULES
from vidcorr.results.statistics import interval
from vidcorr.scoring.mask_scores import score
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import read_mask
from vidcorr.videos.prompts import MaskPrompt


def write_masks(folder, *masks, times=1):
    """Write masks as rows of digits, times a number: one row of pixels a frame, four pixels high."""
    tiled = [np.tile(times * np.array(list(row), np.uint8), (4, 1)) for row in masks]
    writers.write_masks(folder, dict(enumerate(tiled)))


@pytest.mark.parametrize(("missing", "key"), [(0, "seq"), (3, "seq_missing3")])
def test_the_official_numbers_to_the_last_bit(golden, tmp_path, missing, key):
    """Masks on disk against davis2017-evaluation's own table, one object lost in the second case."""
    davis = golden("davis_metrics")
    shape = davis["seq_shape"]
    ids = np.arange(1, shape[0] + 1, dtype=np.uint8)[:, None, None, None]
    for folder, name in (("truth", "seq_gt"), ("mine", "seq_pred")):
        masks = (np.unpackbits(davis[name], count=shape.prod()).reshape(shape) * ids).max(0)
        if folder == "mine":
            masks[masks == missing] = 0
        writers.write_masks(tmp_path / folder / "bike", dict(enumerate(masks)))
    metric = score(tmp_path / "truth", tmp_path / "mine")
    np.testing.assert_array_equal(list(metric.scores.values()), davis[f"{key}_table"])
    for measure in "JF":
        found = [[row.values[f"{measure}-{name}"] for name in ("Mean", "Recall", "Decay")] for row in metric.rows]
        np.testing.assert_array_equal(found, davis[f"{key}_{measure}_MRD"])


def write_video(folder, truth, mine, name="a", times=(1, 1)):
    """Write truth and prediction of one video; return the arguments of `score`."""
    write_masks(folder / "truth" / name, *truth.split(), times=times[0])
    write_masks(folder / "mine" / name, *mine.split(), times=times[1])
    return str(folder / "truth"), str(folder / "mine")


def test_pictures_of_masks_on_disk_are_those_of_a_benchmark(tmp_path):
    """Over the frames beside the annotations, or over grey; the page of the result shows them."""
    davis = generated.write_davis(tmp_path / "davis", 1, frames=4, size=(48, 64))
    DavisBenchmark(davis, protocol="vfs+radius=2").evaluate("raw_colour", tmp_path / "ours")
    mine = str(tmp_path / "ours/predictions")
    run_command(["score", str(davis / "Annotations/480p"), mine, "--output", str(tmp_path / "alone")])
    run_command(["score", mine, "--on", f"davis={davis}", "--output", str(tmp_path / "beside")])
    drawn = [*(tmp_path / "ours/animations").glob("*.webp"), *(tmp_path / "ours/overlays").glob("*.png")]
    assert len(drawn) == 3
    for path in drawn:
        for folder in ("alone", "beside"):
            assert path.read_bytes() == (tmp_path / folder / path.relative_to(tmp_path / "ours")).read_bytes()
    assert b64encode(drawn[0].read_bytes()).decode() in (tmp_path / "alone/report.html").read_text()
    shutil.copytree(davis / "Annotations/480p", tmp_path / "masks")
    run_command(["score", str(tmp_path / "masks"), mine, "--output", str(tmp_path / "grey")])
    assert (tmp_path / "grey/animations" / drawn[0].name).is_file()


def test_first_and_last_frame_in_and_out_by_hand(tmp_path):
    """J of the frames is 1, 1/2, 1 and 0."""
    folders = write_video(tmp_path, "1100 1100 1100 1100", "1100 1000 1100 0011")
    for flag, expected in {"--rules=davis-2017": 0.75, "--keep-ends": 0.625, "--rules=youtube-vos": 0.5}.items():
        run_command(["score", *folders, flag, "--output", str(tmp_path)])
        results = json.loads((tmp_path / "results.json").read_text())
        assert results["scores"]["J-Mean"] == pytest.approx(expected)
        ends = ["first and last frame too"] if flag == "--keep-ends" else []
        assert (results["sequences"], results["conditions"]) == (["a"], [*ends, "1 sequences"])
        assert results["provenance"]["date"]
    data = {"rules": RULES["youtube-vos"].facts(), "keep_ends": False, "missing_videos": [], "truth": folders[0]}
    assert (results["data"], results["network"]["name"]) == (data, folders[1])
    refused(ValueError, "keep_ends: rules youtube-vos", score, *folders, "youtube-vos", keep_ends=True)


MOVED, LAGGING = "11000 11100 01110 00110 00111", "11000 11000 11100 01110 00111"


def test_videos_without_predictions_are_left_out_where_that_is_allowed(tmp_path):
    write_masks(tmp_path / "truth" / "b", "1100", "1100", "1100")
    folders = write_video(tmp_path, "1100 1100 1100", "1100 1000 1100")
    assert refused(DataError, r"mine/b: no such folder of predictions \(1 of 2\)$", score, *folders)
    shutil.copytree(tmp_path / "mine/a", tmp_path / "mac/a")
    shutil.copytree(tmp_path / "truth/b", tmp_path / "truth/\u00e9")
    shutil.copytree(tmp_path / "truth/b", tmp_path / "mac/e\u0301")
    refused(DataError, "another Unicode form", score, folders[0], tmp_path / "mac", videos=["a", "\u00e9"])
    shutil.rmtree(tmp_path / "truth/\u00e9")
    meta = write_meta(tmp_path / "meta.json", {"a": {"1": "dog", "cat": "cat"}})
    found = score(*folders, allow_missing=True, meta=meta)
    assert (found.sequences, found.data["missing_videos"]) == (("a",), ["b"])
    assert found.doubts == ("Objects cat of the metadata are no ids of masks: they are not scored",)
    refused(ValueError, "rules must be one of .*davis-2017", score, *folders, "davis")
    refused(DataError, "nowhere: expected a folder of masks per video", score, tmp_path / "nowhere", folders[1])
    refused(DataError, "truth: has no video c, ", score, *folders, videos=["a", "c"], allow_missing=True)


def test_predictions_without_an_id_of_the_video_are_refused(tmp_path):
    folders = write_video(tmp_path, "1100 1100 1100 1100", "3300 3300 3300 3300")
    refused(DataError, "mine/a: the predictions hold id 3, the annotation 1: none", score, *folders, "youtube-vos")
    assert score(*folders, "davis-2016").scores["J-Mean"] == 1


META = {"a": {"1": "dog", "2": "emu"}, "b": {"7": "dog"}}


def write_meta(path, videos):
    """Write a meta.json: video → object → category, each from its first frame."""
    objects = {
        name: {"objects": {number: {"category": kind, "frames": ["00000"]} for number, kind in own.items()}}
        for name, own in videos.items()
    }
    path.write_text(json.dumps({"videos": objects}))
    return str(path)


def test_seen_and_unseen_categories_by_hand(tmp_path):
    """J of the dogs is 1/2 and 1, that of the emu 3/4; the file names the unseen."""
    write_video(tmp_path, "7700 7700", "7700 7700", "b")
    words = [*write_video(tmp_path, "1122 1122 1122", "1122 1022 1020"), "--rules", "youtube-vos"]
    words += ["--meta", write_meta(tmp_path / "valid.json", META), "--output", str(tmp_path)]
    write_masks(tmp_path / "truth" / "not_listed", "1100", "1100")
    (tmp_path / "names.txt").write_text("a\nb\n")
    (tmp_path / "unseen.txt").write_text("emu\n")
    words += ["--list", str(tmp_path / "names.txt"), "--unseen", str(tmp_path / "unseen.txt")]
    run_command(["score", *words])
    expected = {"Overall": 0.875, "J-Seen": 0.75, "F-Seen": 1.0, "J-Unseen": 0.75, "F-Unseen": 1.0}
    assert Result.load(tmp_path).scores == expected
    assert "a_2" in (tmp_path / "per_sequence.csv").read_text()
    words += ["--meta", write_meta(tmp_path / "partial.json", {"a": META["a"]})]
    refused(ValueError, "partial.json: gives no category for object 7 of b", run_command, ["score", *words])


MISFITS = [
    ("1100 1100 1100 1100", "1100 1100", r"mine/a/00002.png: a predicted mask is missing \(1 of 2"),
    ("1100 1100 1100", "1100 11000 1100", r"mine/a/00001.png: .* differ in size: \(4, 5\) and \(4, 4\)"),
    ("1100 1100 1100", "1100 1190 1100", "mine/a/00001.png: the prediction holds id 9; .* the objects 1"),
    ("1100 1120 1100", "1100 1100 1100", "00001.png: the annotation holds id 2; .* objects 1. Rules youtube-vos"),
]


@pytest.mark.parametrize(("truth", "mine", "message"), MISFITS)
def test_a_mask_that_does_not_fit_is_named(tmp_path, truth, mine, message):
    refused(DataError, message, score, *write_video(tmp_path, truth, mine))


def test_a_score_over_groups_of_objects_has_an_interval_over_the_videos(tmp_path):
    """The rules of vos-benchmark: a mean under a name that no column has; by hand, the jackknife of the videos."""
    values = {}
    for name, masks in (("a", LAGGING), ("b", MOVED), ("c", "11000 10000 10000 10000 00111"), ("d", LAGGING)):
        folders = write_video(tmp_path, MOVED, masks, name)
        values[name] = score(*folders, "vos-benchmark", videos=[name]).scores["J"]
    found = score(*folders, "vos-benchmark")
    rest = {name: np.mean([values[other] for other in values if other != name]) for name in values}
    assert found.without["J"] == pytest.approx(rest)
    half = stats.t.ppf(0.975, 3) * np.std(list(values.values()), ddof=1) / 2
    assert interval([found.sample("J")]) == pytest.approx((found.scores["J"] - half, min(found.scores["J"] + half, 1)))


def test_a_folder_above_the_videos_is_named_and_a_video_named_twice_counts_once(tmp_path):
    for video in ("a", "b"):
        write_masks(tmp_path / "480p" / video, "01100", "01100", "00110", "01100")
    refused(DataError, r"/480p: holds the folder a, no masks", score, tmp_path, tmp_path)
    assert len(score(tmp_path / "480p", tmp_path / "480p", videos=["b", "a", "b"]).rows) == 2
    (tmp_path / "480p" / "empty").mkdir()
    refused(DataError, "480p/empty: holds no masks", score, tmp_path / "480p", tmp_path / "480p")


def test_a_folder_an_object_and_a_first_mask_alone_are_named(tmp_path):
    mask = np.tile(np.array([0, 1, 1, 0], np.uint8), (4, 1))
    writers.write_masks(tmp_path / "truth/v", dict.fromkeys(range(4), mask))
    writers.write_masks(tmp_path / "mine/v/1", dict.fromkeys(range(4), mask))
    writers.write_masks(tmp_path / "first/v", {0: mask})
    refused(DataError, "mine/v/00001.png: a predicted mask is missing", score, tmp_path / "truth", tmp_path / "mine")
    refused(DataError, "holds the first mask alone, as a test set does", score, tmp_path / "first", tmp_path / "truth")
    writers.write_masks(tmp_path / "two/v", dict.fromkeys((0, 3), mask))
    line = (
        "v: rules davis-2017 score no object here; they leave out the first and the last mask: --keep-ends counts them"
    )
    refused(DataError, line, score, tmp_path / "two", tmp_path / "two")
    assert score(tmp_path / "two", tmp_path / "two", keep_ends=True).scores["J&F-Mean"] == 1


def in_colours(folder, palette):
    """Write the masks of a folder of ids anew, as RGB in these colours."""
    for path in folder.glob("*.png"):
        Image.fromarray(np.array(palette, np.uint8)[read_mask(path)]).save(path)


def test_masks_in_colours_whose_background_is_one_of_them_are_refused(tmp_path):
    """CVAT gives the background a colour of its own; its other colours are no ids of DAVIS."""
    folders = write_video(tmp_path, "0122 0122 0122", "0122 0122 0122")
    in_colours(tmp_path / "truth/a", [[30, 30, 200], [255, 0, 0], [0, 255, 0]])
    for read in (lambda: score(*folders), lambda: MaskPrompt.of(tmp_path / "truth/a/00000.png")):
        refused(DataError, r"truth/a.*: no pixel is black, .*#1e1ec8.*: paint it black", read)


@pytest.mark.parametrize("palette", [[[0, 0, 0], [0, 128, 0], [128, 0, 0]], [[0, 0, 0], [9, 99, 9], [77, 7, 7]], None])
def test_predictions_in_the_colours_of_an_indexed_or_grey_truth_have_its_ids(tmp_path, palette):
    truth = "1122 1122 1122 1122"
    folders = write_video(tmp_path, truth, truth)
    for path in (tmp_path / "truth/a").glob("*.png"):
        image = Image.fromarray(read_mask(path))
        if palette:
            image.putpalette(np.ravel(palette).tolist())
        image.save(path)
    in_colours(tmp_path / "mine/a", palette or [[value] * 3 for value in range(3)])
    assert score(*folders).scores["J-Mean"] == 1
