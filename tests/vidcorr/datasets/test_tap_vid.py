"""TAP-Vid's layouts from files to sequences: released pickles, npz, CSV beside videos; and what is refused."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.numbered_videos import write_video
from tests.helpers.refusal import refused
from tests.helpers.tap_vid import Call, element, encoded, official_scores, write_golden_tracks, written
from vidcorr.datasets import TapVid
from vidcorr.metrics import TapVidMetrics, sample_queries
from vidcorr.videos.files import DataError

SHARDS = ("tapvid_kinetics/0000_of_0010.pkl", "tapvid_kinetics/0001_of_0010.pkl")
SPLITS = ("robotap/robotap_split0.pkl", "robotap/robotap_split1.pkl")
SETS = ("exact.pkl", "pan.pkl", "tapvid_davis.pkl", "tapvid_rgb_stacking.pkl", *SHARDS, SPLITS[0])


def predictions(queries, kind):
    """The simple predictions of expected_scores.json."""
    if kind == "static_visible":
        still = np.repeat(queries.points[:, None, :0:-1], queries.tracks.shape[1], 1)
        return np.zeros_like(queries.occluded), still
    if kind.startswith("nearest_cell_centre"):
        stride = int(kind.rpartition("stride")[2])
        return queries.occluded, (np.clip(np.floor(queries.tracks / stride), 0, 256 // stride - 1) + 0.5) * stride
    moved = {"truth_minus_half_pixel": queries.tracks - 0.5, "truth_times_255_over_256": queries.tracks * (255 / 256)}
    return queries.occluded, moved.get(kind, queries.tracks)


@pytest.mark.parametrize("name", SETS)
def test_reader_sampler_and_metric_give_the_official_scores_to_the_last_digit(tmp_path, name):
    expected, videos = official_scores()[name], TapVid(write_golden_tracks(tmp_path, name))
    for mode, kinds in expected.items():
        for kind in kinds.keys() - {"queries"}:
            names = kinds[kind]["occlusion_accuracy"]["per_video"]
            metric = TapVidMetrics(mode)
            for position, (video, own) in enumerate(zip(videos, names, strict=True)):
                queries = sample_queries(video.occluded, video.points * np.array([256, 256]), mode)
                metric.update(queries, *predictions(queries, kind), name=own, position=position)
            rows = {row["Sequence"]: row for row in metric.rows()}
            for key, values in kinds[kind].items():
                assert {own: rows[own][key] for own in names} == values["per_video"]
                assert metric.compute()[key] == values["mean"]


def test_shards_of_a_folder_are_one_set(tmp_path):
    for name in SHARDS + SPLITS:
        write_golden_tracks(tmp_path, name)
    kinetics = TapVid(tmp_path / "tapvid_kinetics")
    assert [video.name for video in kinetics] == ["0000_of_0010-000", "0000_of_0010-001", "0001_of_0010-000"]
    assert [video.name for video in TapVid(tmp_path / "robotap")] == ["made_0_0", "made_1_0"]
    assert kinetics[0].frame(2).shape == (3, *kinetics[0].size)


@pytest.mark.parametrize("name", ["../goat", "", "x" * 201, 1.5])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, name):
    assert refused(DataError, "is not the plain name", TapVid, written(tmp_path, {name: element()}))


def test_a_jpeg_that_claims_a_huge_picture_is_refused_before_it_is_decoded(tmp_path):
    picture = encoded(np.zeros((8, 8, 3), np.uint8))
    at = picture.index(b"\xff\xc0") + 5
    huge = picture[:at] + b"\xff\xff\xff\xff" + picture[at + 4 :]
    path = written(tmp_path, {"goat": element() | {"video": [huge] * 5}})
    assert refused(DataError, "frame 0: too large to decode", TapVid, path)


def test_a_frame_of_another_size_is_named_when_it_is_read(tmp_path):
    pictures = [encoded(np.zeros((8, 8 + 2 * (t == 3), 3), np.uint8)) for t in range(5)]
    (video,) = TapVid(written(tmp_path, {"goat": element() | {"video": pictures}}))
    assert video.frame(2).shape == (3, 8, 8)
    assert refused(DataError, "goat, frame 3: is 10 × 8 px, other frames 8 × 8", video.frame, 3)


@pytest.fixture
def annotated(tmp_path):
    """A folder of frames and its CSV: two tracks in frames 0 and 2 of 4."""
    frames = tmp_path / "cat"
    frames.mkdir()
    for t in range(4):
        Image.fromarray(np.full((10, 20, 3), 40 * t, np.uint8)).save(frames / f"{t}.png")
    lines = ["track,frame,x,y,occluded", "nose,0,10,5,0", "nose,2,0.5,0.5,0", "tail,0,20,10,0", "tail,2,,,1"]
    path = tmp_path / "cat.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_csv_beside_a_video(annotated):
    (video,) = TapVid(annotated.parent)
    assert (video.name, video.size, video.num_frames, video.tracks) == ("cat", (10, 20), 2, ("nose", "tail"))
    np.testing.assert_allclose(video.points[0], [[0.5, 0.5], [0.025, 0.05]])
    assert video.occluded.tolist() == [[False, False], [False, True]]
    assert [int(video.frame(t)[0, 0, 0]) for t in (0, 1, 0)] == [0, 80, 0]


def test_no_video_stays_open(annotated):
    write_video(annotated.parent / "dog.mp4", 4)
    (annotated.parent / "dog.csv").write_text("track,frame,x,y,occluded\nnose,0,1,1,0\nnose,2,1,1,0\n")
    before = len(os.listdir("/proc/self/fd"))
    _, dog = TapVid(annotated.parent)
    assert len(os.listdir("/proc/self/fd")) <= before
    dog.frame(0)
    dog.frame(1)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nose,9,1,1,0\ntail,9,1,1,0", "has no frame 9"),
        ("nose,1,1,1,0", "track tail has no line for frame 1"),
        ("nose,0,1,1,0", "track nose has two lines for frame 0"),
        ("nose,1,x,1,0", "line 6: expected"),
        ("nose,1,90,1,0\ntail,1,1,1,0", "visible points lie outside"),
        ("n" * 200_000 + ",1,1,1,0", "is not a CSV file"),
        ("nose", "line 6: expected track,frame,x,y,occluded"),
    ],
)
def test_a_csv_that_is_not_as_it_should_be(annotated, line, message):
    annotated.write_text(annotated.read_text() + line + "\n")
    assert refused(DataError, message, lambda: [list(video.read()) for video in TapVid(annotated.parent)])


@pytest.mark.parametrize(
    "header", ["track,frame,x,y,occluded,x", "track,frame,x,y,occluded,note", "track,frame,x,y", ""]
)
def test_a_csv_has_each_column_once_and_no_other(annotated, header):
    annotated.write_text(f"{header}\nnose,0,10,5,0,1\n" if header else "")
    told = r"cat\.csv, line 1: expected the columns track,frame,x,y,occluded"
    assert refused(DataError, told, TapVid, annotated.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": np.zeros((5, 12, 16), np.uint8)}, r"video is \(5, 12, 16\) uint8"),
        ({"video": np.zeros((4, 12, 16, 3), np.uint8)}, "2 tracks of 5 frames for a video of 4"),
        ({"video": "no frames"}, "video is str"),
        ({"video": [b"\xff\xd8 no picture \xff\xd9"] * 5}, "frame 0: cannot be decoded as an image"),
        ({"video": [encoded(np.zeros((8, 8, 3), np.uint8))[:200]] * 5}, "frame 0: truncated JPEG"),
        ({"points": np.zeros((2, 5, 3), np.float32)}, r"occluded is \(2, 5\) bool, points \(2, 5, 3\)"),
        ({"points": np.zeros((2, 4, 2), np.float32)}, r"occluded is \(2, 5\) bool, points \(2, 4, 2\)"),
        ({"points": [0.5]}, r"occluded is \(2, 5\) bool, points list"),
        ({"points": np.full((2, 5, 2), np.nan)}, "10 of 10 visible points lie outside"),
        ({"points": np.full((2, 5, 2), 7.0)}, "10 of 10 visible points lie outside"),
        ({"occluded": np.zeros((2, 5), np.uint8)}, r"occluded is \(2, 5\) uint8"),
    ],
)
def test_an_element_that_is_not_tap_vid_is_named(tmp_path, change, message):
    path = written(tmp_path, {"goat": element() | {"occluded": np.zeros((2, 5), bool)} | change})
    assert refused(DataError, f"goat: {message}|goat, {message}", TapVid, path).startswith(f"{path}, goat")


def test_a_set_without_videos_or_a_video_without_an_array_is_refused(tmp_path):
    assert refused(DataError, "holds no videos", TapVid, written(tmp_path, {}))
    incomplete = {"goat": {"video": element()["video"], "points": element()["points"]}}
    assert refused(DataError, "goat: has no occluded", TapVid, written(tmp_path, incomplete))


def test_a_pickle_that_calls_a_function_is_refused(tmp_path):
    path = written(tmp_path, {"goat": Call(os.mkdir, str(tmp_path / "was-here"))})
    assert refused(DataError, "refused: it asks for", TapVid, path)
    assert not (tmp_path / "was-here").exists()
