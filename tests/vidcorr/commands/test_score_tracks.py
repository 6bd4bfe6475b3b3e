"""`vidcorr score --tracks` and `--boxes`: what other methods write, by the official rules."""

import json

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES
from tests.helpers.tap_vid import official_scores, write_golden_tracks
from vidcorr import predict_video
from vidcorr.commands.score import command
from vidcorr.commands.score_tracks import score_boxes, score_tracks
from vidcorr.datasets import Otb, TapVid
from vidcorr.datasets.generated import write_otb
from vidcorr.metrics import PointQueries, sample_queries, track_survival
from vidcorr.videos.boxes import read_boxes
from vidcorr.videos.files import DataError
from vidcorr.videos.prompts import BoxPrompt, PointPrompt


@pytest.fixture
def truth(tmp_path):
    """Return the file of the golden tracks."""
    return write_golden_tracks(tmp_path / "truth", "exact.pkl")


def write_tracks(truth, folder, mode, predict):
    """Write an .npz per video of what `predict` makes of the queries: tracks and their occlusion."""
    for sequence in TapVid(truth):
        queries = sample_queries(sequence.occluded, sequence.points * 256.0, mode)
        tracks, occluded = predict(queries)
        np.savez(folder / f"{sequence.name}.npz", tracks=tracks, occluded=occluded)


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_npz_files_score_as_the_official_code_scores_them(truth, tmp_path, mode):
    """Points that stay where their query is, always visible: `static_visible` of the expected scores."""

    def static(queries):
        return np.broadcast_to(queries.points[:, None, :0:-1], queries.tracks.shape), np.zeros_like(queries.occluded)

    write_tracks(truth, tmp_path, mode, static)
    found = score_tracks(truth, tmp_path, mode)
    official = official_scores()["exact.pkl"][mode]["static_visible"]
    for key, value in official.items():
        assert found.scores[key] == pytest.approx(value["mean"], abs=1e-9), key
        of_videos = {row.name: row.values[key] for row in found.rows}
        assert of_videos == pytest.approx(value["per_video"], abs=1e-9, nan_ok=True), key
    assert "AJ_RD" in found.scores


def test_a_csv_of_predict_is_read_by_names(truth, tmp_path):
    """The truth itself, as `predict` would write it: every visible point is found."""
    for sequence in TapVid(truth):
        lines = ["frame,name,x,y,score,occluded"]
        pixels = np.nan_to_num(sequence.points * sequence.size[::-1] - 0.5)
        for t in range(sequence.num_frames):
            for k, name in enumerate(sequence.tracks):
                x, y = pixels[k, t]
                lines.append(f"{t:05d},{name},{x:.3f},{y:.3f},1.0,{int(sequence.occluded[k, t])}")
        (tmp_path / sequence.name).mkdir()
        (tmp_path / sequence.name / "points.csv").write_text("\n".join(lines))
    command([str(truth), str(tmp_path), "--tracks", "first", "--json", str(tmp_path / "scores.json")])
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["average_jaccard"] == scores["occlusion_accuracy"] == 1.0
    assert len(scores) > 20
    assert refused(DataError, "strided queries need", score_tracks, truth, tmp_path, "strided")
    table = tmp_path / sequence.name / "points.csv"
    for wrong, said in {
        "\n".join(lines[:-1]): ": expected a line for each of",
        "\n".join([*lines, "", f"00000,{name},here"]): f", line {len(lines) + 2}: expected frame,name,x,y,score",
    }.items():
        table.write_text(wrong)
        assert refused(DataError, rf"points.csv{said}", score_tracks, truth, tmp_path)


def test_survival_and_median_error_by_hand():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 256, (7, 12, 2))
    predicted = truth + rng.normal(0, 7, truth.shape)
    hidden = rng.random((7, 12)) < 0.3
    starts = rng.integers(0, 6, 7)
    queries = PointQueries(np.stack([starts, np.zeros(7), np.zeros(7)], 1), truth, hidden, np.arange(7))
    survival, error = track_survival(queries, predicted)
    for k, start in enumerate(starts):
        distance, seen = np.hypot(*(predicted - truth)[k, start:].T), ~hidden[k, start:]
        lost = [t for t in range(12 - start) if seen[t] and distance[t] > 16]
        assert survival[k] == min(lost, default=12 - start) / (12 - start)
        assert error[k] == pytest.approx(np.median(distance[seen]))
    assert 0 < survival.mean() < 1


def test_a_box_that_is_no_number_is_a_failure_and_a_missing_file_a_mistake(tmp_path):
    root = write_otb(tmp_path / "otb", 1, frames=8, size=(64, 64))
    (sequence,) = Otb(root, version=None)
    assert refused(DataError, rf"{sequence.name}\.txt: no such file", score_boxes, root, tmp_path)
    for spoiled in (np.nan, np.inf, -3.0):
        boxes = sequence.boxes.copy()
        boxes[4, 3] = spoiled
        np.savetxt(tmp_path / f"{sequence.name}.txt", boxes, delimiter=",")
        assert score_boxes(root, tmp_path).scores["success"] == pytest.approx(20 / 21 * 7 / 8)


def test_boxes_under_a_name_in_another_unicode_form_are_named_as_such(tmp_path):
    """The form of macOS looks the same, so that "no such file" alone is a riddle."""
    root = write_otb(tmp_path / "otb", 1, frames=4, size=(32, 32))
    (sequence,) = Otb(root, version=None)
    (root / sequence.name).rename(root / "caf\u00e9")
    np.savetxt(tmp_path / "cafe\u0301.txt", sequence.boxes, delimiter=",")
    refused(DataError, "no such file; .* another Unicode form", score_boxes, root, tmp_path)


def test_boxes_of_predict_are_truth_and_prediction(folder, colour, tmp_path):
    predict_video(colour, folder / "frames", BoxPrompt.of([20, 30, 24, 18]), tmp_path / "walk", overlay=False)
    assert score_boxes(tmp_path, tmp_path).scores["success"] == pytest.approx(20 / 21)  # no overlap is above 1
    (tmp_path / "otb" / "walk").mkdir(parents=True)
    boxes = read_boxes(tmp_path / "walk" / "boxes.csv")
    assert boxes[0].tolist() == [21, 31, 24, 18]  # one-based
    np.savetxt(tmp_path / "otb" / "walk.txt", boxes)
    assert score_boxes(tmp_path, tmp_path / "otb").scores == score_boxes(tmp_path, tmp_path).scores
    (tmp_path / "walk" / "boxes.csv").write_text("frame,name,x,y,width,height\n0,a,1,1,2,2\n0,b,1,1,2,2\n")
    refused(DataError, "boxes of several targets", score_boxes, tmp_path, tmp_path)


def test_points_of_predict_are_truth_and_prediction(folder, colour, tmp_path):
    prompt = PointPrompt.of({"a": (40, 30), "b": (60, 50)})
    predict_video(colour, folder / "frames", prompt, tmp_path / "out" / "walk", "fomo", overlay=False)
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "walk").symlink_to(folder / "frames")
    (tmp_path / "truth" / "walk.csv").write_bytes((tmp_path / "out" / "walk" / "points.csv").read_bytes())
    (sequence,) = TapVid(tmp_path / "truth")
    assert (sequence.tracks, sequence.num_frames) == (("a", "b"), FRAMES)
    np.testing.assert_allclose(sequence.points[0, 0] * sequence.size[::-1], [40.5, 30.5], atol=1e-3)
    assert score_tracks(tmp_path / "truth", tmp_path / "out").scores["average_pts_within_thresh"] == 1


def test_tracks_that_are_not_finite_are_never_within_a_threshold(truth, tmp_path):
    for lost in (np.nan, np.inf):
        write_tracks(truth, tmp_path, "first", lambda q, lost=lost: (np.full_like(q.tracks, lost), ~q.occluded))
        result = score_tracks(truth, tmp_path)
        scores = result.scores
        assert scores["average_pts_within_thresh"] == scores["average_jaccard"] == 0
        command([str(truth), str(tmp_path), "--tracks", "first", "--json", str(tmp_path / "scores.json")])
        assert json.loads((tmp_path / "scores.json").read_text())["median_error"] is None
        assert result.data["median_error"] is None  # infinite, which results.json cannot hold
