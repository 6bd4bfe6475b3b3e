"""TAP-Vid from files to scores: the grid's limit, files, rules of occlusion, the released set."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.tap_vid import official_scores, write_golden_tracks
from vidcorr import TapVidBenchmark
from vidcorr.datasets.generated import write_tap_vid
from vidcorr.datasets.tap_vid_files import DAVIS_VIDEOS

DELTA = "average_pts_within_thresh"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_tap_vid(tmp_path_factory.mktemp("data") / "set", 2, frames=7, tracks=3, seed=1, size=(48, 64))


def test_the_grids_limit_is_that_of_the_nearest_cell_centre(tmp_path):
    expected, root = official_scores()["exact.pkl"], write_golden_tracks(tmp_path, "exact.pkl")
    for mode in ("first", "strided"):
        benchmark = TapVidBenchmark(root, "fomo", changes={"query_mode": mode}, limit_sequences=2)
        limit = benchmark.evaluate("raw_colour@colour/16").scores["grid_limit"]
        of_video = expected[mode]["nearest_cell_centre_stride16"][DELTA]["per_video"]
        assert limit == sum(list(of_video.values())[:2]) / 2


@pytest.mark.parametrize("protocol", ["fomo", "omniprobe"])
def test_without_an_occlusion_rule_all_points_are_predicted_visible(root, protocol, tmp_path):
    """OA is then the fraction of visible points after the queries, whatever the network.

    A video with nothing to score is named, and counts nowhere.
    """
    path = tmp_path / "tapvid_davis.pkl"
    content = pickle.loads((root / path.name).read_bytes())
    content["synthetic-000"]["occluded"][:] = np.array([[0, 1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 1], [1] * 7], bool)
    content["synthetic-001"]["occluded"][:] = True
    path.write_bytes(pickle.dumps(content))
    result = TapVidBenchmark(path, protocol).evaluate("raw_colour@colour/16", tmp_path / "out")
    assert result.scores["occlusion_accuracy"] == (3 + 2) / (6 + 5)
    assert result.stage.protocol.shared_name == protocol
    assert result.data["undefined"][DELTA] == ["synthetic-001"]


def test_the_set_of_davis_is_known_by_its_videos():
    benchmark, names = TapVidBenchmark("anywhere"), DAVIS_VIDEOS.split()
    assert len(names) == 30
    for videos, known in ((names[::-1], "davis"), (names[1:], None), ([*names[1:], "other"], None)):
        vars(benchmark)["sequences"] = [SimpleNamespace(name=name) for name in videos]
        assert benchmark.facts([], SimpleNamespace(grid=(0, 0))).get("set") == known
