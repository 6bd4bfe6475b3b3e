"""A prompt of any frame, parts of a video: found as a plain run from that prompt finds it."""

import csv
import itertools
import json
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cli import main
from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES, bounds, tensors
from tests.helpers.words import refusal
from vidcorr import BoxPrompt, FrameStream, MaskPrompt, PointPrompt, follow, predict_video, signals
from vidcorr.metrics import region_similarity
from vidcorr.tracking import follow as follow_module
from vidcorr.videos.files import DataError, FolderInUse, FolderLock
from vidcorr.videos.prompts import read_prompt


@pytest.fixture
def at(scene):
    """Make a mask prompt of a frame."""
    return lambda frame, number=1: replace(MaskPrompt.of(scene[1][frame] * np.uint8(number)), frame=frame)


def found_masks(folder, names=None):
    files = sorted((folder / "masks").iterdir())
    assert names is None or [path.stem for path in files] == names
    return np.stack([np.array(Image.open(path)) for path in files])


def found_rows(path, columns):
    """Return the numbers of a table, (T, K, columns), and the names of its K objects."""
    rows = list(csv.DictReader(path.open()))
    names = list(dict.fromkeys(row["name"] for row in rows))
    numbers = [[float(row[key] or "nan") for key in columns] for row in rows]
    return np.array(numbers).reshape(-1, len(names), len(columns)), names


def plain(colour, frames, t, prompt):
    """Return what is found from frame t on to either end, in the order of the frames."""
    back, on = (
        [np.asarray(found) for _, found in follow(colour, part, prompt)]
        for part in (frames[: t + 1].flip(0), frames[t:])
    )
    return np.stack(back[:0:-1] + on)


def test_a_mask_in_the_middle_is_propagated_both_ways(scene, folder, colour, tmp_path, at):
    video, masks = scene
    content = predict_video(colour, folder / "frames", at(6), tmp_path)
    found = found_masks(tmp_path, [f"{t:03d}" for t in range(FRAMES)])
    assert np.array_equal(found, plain(colour, tensors(video), 6, MaskPrompt.of(masks[6])))
    scores = region_similarity(torch.from_numpy(found) == 1, torch.from_numpy(masks) == 1)
    assert scores.min() > 0.6
    assert (content["frames"], content["complete"], content["prompt"]["frame"]) == (FRAMES, True, 6)
    assert FrameStream(tmp_path / "overlay.mp4").num_frames == FRAMES


def test_a_part_of_a_video_is_followed_as_a_video_of_its_own(scene, folder, colour, tmp_path, at):
    part = FrameStream(folder / "clip.mp4", start=1, end=9, every=2)
    content = predict_video(colour, part, at(5), tmp_path, overlay=False)
    found = found_masks(tmp_path, ["00001", "00003", "00005", "00007"])
    frames = torch.stack(list(FrameStream(folder / "clip.mp4")))[1:9:2]
    assert np.array_equal(found, plain(colour, frames, 2, MaskPrompt.of(scene[1][5])))
    assert content["part"] == {"start": 1, "end": 9, "every": 2}
    assert content["frame_rate"] == 6
    message = "frame 4 is not in the part of the video from frame 1 to .*, one frame in 2"
    refused(DataError, message, predict_video, colour, part, at(4), tmp_path / "other")


@pytest.mark.slow
def test_boxes_and_points_of_a_later_frame_are_followed_both_ways(scene, folder, colour, tmp_path):
    """Several boxes are each followed as one alone."""
    frames, middle = tensors(scene[0]), bounds(scene[1][6]).tolist()
    prompt = read_prompt(box=[f"sprite={','.join(map(str, middle))}", "4,5,20,22@6"])
    predict_video(colour, folder / "frames", prompt, tmp_path / "boxes", overlay=False)
    boxes, names = found_rows(tmp_path / "boxes" / "boxes.csv", ("x", "y", "width", "height"))
    assert names == ["sprite", "1"]
    alone = [plain(colour, frames, 6, BoxPrompt.of(box)) for box in (middle, [4, 5, 20, 22])]
    np.testing.assert_allclose(boxes, np.concatenate(alone, 1), atol=0.006, rtol=0)
    (tmp_path / "p.csv").write_text("frame,name,x,y\n7,b,60,50\n7,a,44,31\n")
    prompt = read_prompt(points=str(tmp_path / "p.csv"))
    predict_video(colour, folder / "frames", prompt, tmp_path / "points", overlay=False)
    points, names = found_rows(tmp_path / "points" / "points.csv", ("x", "y", "score"))
    assert names == ["b", "a"]
    expected = plain(colour, frames, 7, PointPrompt.of({"b": (60, 50), "a": (44, 31)}))
    np.testing.assert_allclose(points, expected, atol=0.006, rtol=0)


def test_queried_points_of_a_later_frame_start_at_their_prompt(folder, colour):
    prompt = replace(PointPrompt.of({"a": (44, 31), "b": (60, 50)}), frame=7)
    *_, (_, last) = follow(colour, folder / "clip.mp4", prompt, "fomo")
    assert last.points[:, 7].tolist() == [[44, 31], [60, 50]]
    assert last.points.shape == (2, FRAMES, 2)


def files(out):
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name != "prediction.json"}


def test_passes_that_are_interrupted_begin_again_and_say_so(at, folder, colour, tmp_path, monkeypatch, capsys):
    """Without being asked to overwrite; nothing of the first attempt is left."""
    follower_of, done, options = follow_module.follower_of, [], {"overlay": False}

    def predict(out):
        with signals.deferred():
            return predict_video(colour, folder / "clip.mp4", at(6, 4), out, **options)

    predict(tmp_path / "all")

    def ending_follower(*args):
        def follow(frames, labels):
            for found in follower_of(*args).follow(frames, labels):
                done.append(found)
                if len(done) == 9:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield found

        return SimpleNamespace(follow=follow)

    monkeypatch.setattr(follow_module, "follower_of", ending_follower)
    with pytest.raises(signals.Stopped):
        predict(tmp_path / "out")
    monkeypatch.undo()
    told = capsys.readouterr().out
    assert f"{tmp_path / 'out'}: interrupted; the same command starts over" in told
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["complete"] is False
    assert predict(tmp_path / "out")["complete"]
    assert "holds an interrupted prediction, which now begins again" in capsys.readouterr().out
    assert files(tmp_path / "out") == files(tmp_path / "all")


def test_by_the_command_line(folder, scene, tmp_path):
    Image.fromarray(scene[1][5]).save(tmp_path / "five.png")
    words = ["predict", str(folder / "clip.mp4"), "--model=raw_colour", f"--output={tmp_path / 'out'}"]
    mask = f"--mask={tmp_path / 'five.png'}@5"
    main([*words, mask, "--start=2", "--end=8", "--stride=4", "--no-overlay"])
    assert [path.stem for path in sorted((tmp_path / "out" / "masks").iterdir())] == [f"{t:05d}" for t in range(2, 8)]
    assert not (tmp_path / "out" / "overlay.mp4").exists()
    for more, message in (
        (["--box=1,2,3,4@9", "--end=5"], "frame 9 is not in the part of the video from frame 0 to frame 4"),
        (["--box=1,2,3,4@77"], "frame 77 lies beyond the end of the video"),
        (["--box=a=1,2,3,4;a=5,6,7,8"], "two boxes have the same name"),
    ):
        assert message in refusal(*words[:-1], f"--output={tmp_path / 'other'}", *more)


@pytest.mark.slow
def test_random_weights_are_told(folder, tmp_path, capsys):
    words = ["predict", str(folder / "clip.mp4"), "--model=torchvision:resnet18", "--box=4,4,9,9"]
    main([*words, "--end=2", f"--output={tmp_path / 'out'}"])
    assert "ResNet-18, random weights\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["weights"] == "random weights"


def test_mistakes_with_files_are_one_line_that_names_them(scene, colour, tmp_path):
    for side, message in (
        (1, "has frames of 1 × 1 px; expected at least 2 × 2 px"),
        (2, "too few to distinguish positions"),
    ):
        (tmp_path / str(side)).mkdir()
        for t in range(2):
            Image.new("RGB", (side, side)).save(tmp_path / str(side) / f"{t}.png")
        mask = MaskPrompt.of(np.ones((side, side), np.uint8))
        line = rf"^{tmp_path}/{side}: .*{message}"
        refused(ValueError, line, predict_video, colour, tmp_path / str(side), mask, tmp_path / "out", overlay=False)
    (tmp_path / "file").write_text("mine")
    line = rf"^{tmp_path}/file: is a file; the output must be a folder$"
    refused(ValueError, line, predict_video, colour, tmp_path / "2", mask, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("text", ["grid:0", "grid:", "grid:999", "grid:2x2"])
def test_a_grid_of_no_points_or_too_many_is_refused(text):
    assert refused(DataError, f"points {text}: expected grid:N", read_prompt, points=text)


def test_two_predictions_never_share_a_folder(folder, colour, tmp_path):
    first = MaskPrompt.of(folder / "masks" / "first.png")
    with FolderLock(tmp_path), pytest.raises(FolderInUse, match=r"in use by another run.*name another output folder"):
        predict_video(colour, folder / "frames", first, tmp_path)
    assert not (tmp_path / "masks").exists()


def test_results_of_a_generator_can_be_changed_in_place(scene, colour):
    video, masks = scene
    frames = tensors(video)
    for frame, ids in itertools.islice(follow(colour, frames, MaskPrompt.of(masks[0])), 3):
        ids[ids == 1] = 2
        frame.add_(1)
        assert not (ids == 1).any()
    for _, points in itertools.islice(follow(colour, frames, PointPrompt.of([(60, 40)])), 3):
        points[:, :2] = 7
        assert (points[:, :2] == 7).all()
