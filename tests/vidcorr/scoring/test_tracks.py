"""`vidcorr score --tracks` and `--boxes`: what other methods write, by the official rules."""

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.tap_vid import official_scores, write_golden_tracks
from vidcorr import OtbBenchmark
from vidcorr.datasets import Otb, TapVid
from vidcorr.datasets.generated import write_otb
from vidcorr.metrics import sample_queries
from vidcorr.metrics.box_tracking import OTB
from vidcorr.metrics.point_tracking import rules_of
from vidcorr.scoring.tracks import score_boxes, score_tracks
from vidcorr.videos.files import DataError


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
    found = score_tracks(TapVid(truth), tmp_path, mode)
    official = official_scores()["exact.pkl"][mode]["static_visible"]
    for key, value in official.items():
        assert found.scores[key] == pytest.approx(value["mean"], abs=1e-9), key
        of_videos = {row.name: row.values[key] for row in found.rows}
        assert of_videos == pytest.approx(value["per_video"], abs=1e-9, nan_ok=True), key
    assert (found.data, found.doubts) == ({"rules": rules_of(mode)}, ())
    assert (found.network.name, found.conditions) == (str(tmp_path), (f"{mode} queries", "4 sequences"))


def test_a_foreign_file_is_refused(truth, tmp_path):
    for sequence in TapVid(truth):
        np.savez(tmp_path / f"{sequence.name}.npz", points=np.zeros(3))
    refused(DataError, r"\.npz: has no arrays tracks and occluded", score_tracks, TapVid(truth), tmp_path)


def test_a_box_that_is_no_number_is_a_failure_and_frames_without_an_annotated_box_are_left_out(tmp_path):
    """UAV123 and LaSOT write NaN where the target is absent; GOT-10k's toolkit for OTB would count a failure."""
    root = write_otb(tmp_path / "otb", 1, frames=8, size=(64, 64))
    (sequence,) = Otb(root, version=None)
    file = tmp_path / f"{sequence.name}.txt"
    refused(DataError, f"{file}: cannot be read", score_boxes, Otb(root, version=None), tmp_path)
    for spoiled in (np.nan, np.inf, -3.0):
        boxes = sequence.boxes.copy()
        boxes[4, 3] = spoiled
        np.savetxt(file, boxes, delimiter=",")
        found = score_boxes(Otb(root, version=None), tmp_path)
        assert found.scores["success"] == pytest.approx(20 / 21 * 7 / 8)
        assert found.scores == found.rows[0].values
    assert found.data == {"rules": OTB}
    np.savetxt(file, sequence.boxes, delimiter=",")
    absent = sequence.boxes.copy()
    absent[5:7] = np.nan
    np.savetxt(root / sequence.name / "groundtruth_rect.txt", absent, delimiter=",")
    found = score_boxes(Otb(root, version=None), tmp_path)
    assert found.scores["success"] == pytest.approx(20 / 21)
    assert found.doubts == (f"2 frames without an annotated box (NaN, first in {sequence.name}) are left out",)
    assert OtbBenchmark(root, version=None).doubts(found.rows, found.scores) == list(found.doubts)
