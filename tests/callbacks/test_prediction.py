"""Prompts of any frame, several of them, parts of a video: each found as a plain run from that prompt finds it."""

import csv
import errno
import itertools
import json
import math
import os
import signal
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from callbacks import predict_video, prediction as predict_module
from cli import main
from datamodules import FrameStream
from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES, bounds, tensors
from tests.helpers.words import RAW_COLOUR, refusal
from vidcorr import follow_points, propagate_masks, propagate_points, signals, track_box
from vidcorr.metrics import region_similarity
from vidcorr.tracking.plan import nearest_prompt, palette_of, plan_passes
from vidcorr.videos.folder_lock import FolderInUse, FolderLock
from vidcorr.videos.guards import DataError
from vidcorr.videos.mask_files import davis_palette, decode_rle
from vidcorr.videos.prompts import MaskPrompt, read_prompts


@pytest.fixture
def at(scene):
    """Make a mask prompt of a frame."""
    return lambda frame, number=1: replace(MaskPrompt.of(scene[1][frame] * np.uint8(number)), frame=frame)


def found_masks(folder, names=None):
    files = sorted((folder / "masks").iterdir())
    assert names is None or [path.stem for path in files] == names
    return np.stack([np.array(Image.open(path)) for path in files])


def plain(colour, frames, mask):
    return np.stack([ids.numpy() for _, ids in propagate_masks(colour, frames, mask)])


def found_rows(path, columns):
    """Return name → (T, columns) of a table."""
    found = {}
    for row in csv.DictReader(path.open()):
        found.setdefault(row["name"], []).append([float(row[key] or "nan") for key in columns])
    return {name: np.array(rows) for name, rows in found.items()}


def test_a_mask_in_the_middle_is_propagated_both_ways(scene, folder, colour, tmp_path, at):
    video, masks = scene
    content = predict_video(colour, folder / "frames", at(6), tmp_path, overlay="mp4", exports=["coco", "csv"])
    found = found_masks(tmp_path, [f"{t:03d}" for t in range(FRAMES)])
    frames = tensors(video)
    assert np.array_equal(found[6:], plain(colour, frames[6:], masks[6]))
    assert np.array_equal(found[:7][::-1], plain(colour, frames[:7].flip(0), masks[6]))
    scores = region_similarity(torch.from_numpy(found) == 1, torch.from_numpy(masks) == 1)
    assert scores.min() > 0.6
    assert (content["frames"], content["complete"], content["prompt"]["frame"]) == (FRAMES, True, 6)
    assert FrameStream(tmp_path / "overlay.mp4").num_frames == FRAMES

    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [image["frame"] for image in coco["images"]] == list(range(FRAMES))
    for annotation in coco["annotations"]:
        inside = found[annotation["image_id"]] == 1
        assert np.array_equal(decode_rle(annotation["segmentation"]), inside)
        assert (annotation["area"], annotation["bbox"]) == (inside.sum(), bounds(inside).tolist())
    rows = list(csv.DictReader((tmp_path / "objects.csv").open()))
    assert [int(row["area"]) for row in rows] == [(ids == 1).sum() for ids in found]
    again = read_prompts(mask=str(tmp_path / "coco.json"))
    assert np.array_equal(np.stack([prompt.ids for prompt in again]), found)


def test_a_corrected_mask_counts_from_half_way_to_it(scene, folder, colour, tmp_path, at):
    video, masks = scene
    predict_video(colour, folder / "frames", [at(8), at(0)], tmp_path, overlay="none")
    found, frames = found_masks(tmp_path), tensors(video)
    assert np.array_equal(found[:5], plain(colour, frames, masks[0])[:5])
    assert np.array_equal(found[5:9][::-1], plain(colour, frames[:9].flip(0), masks[8])[:4])
    assert np.array_equal(found[8:], plain(colour, frames[8:], masks[8]))


def test_objects_of_different_prompts_keep_their_ids(scene, folder, colour, tmp_path, at):
    """The same sprite by two prompts: the nearer one has it."""
    predict_video(colour, folder / "clip.mp4", [at(2, 3), at(7, 5)], tmp_path, overlay="gif")
    found = found_masks(tmp_path)
    clip = torch.stack(list(FrameStream(folder / "clip.mp4")))
    early = np.concatenate([plain(colour, clip[:3].flip(0), scene[1][2])[:0:-1], plain(colour, clip[2:], scene[1][2])])
    late = np.concatenate([plain(colour, clip[:8].flip(0), scene[1][7])[:0:-1], plain(colour, clip[7:], scene[1][7])])
    for t in range(FRAMES):
        nearer, other, ids = (early, late, (3, 5)) if abs(t - 2) <= abs(t - 7) else (late, early, (5, 3))
        expected = np.where(nearer[t] == 1, ids[0], np.where(other[t] == 1, ids[1], 0))
        assert np.array_equal(found[t], expected)


def test_a_part_of_a_video_is_followed_as_a_video_of_its_own(scene, folder, colour, tmp_path, at):
    _, masks = scene
    part = FrameStream(folder / "clip.mp4", start=1, end=9, every=2)
    content = predict_video(colour, part, [at(1), at(5)], tmp_path, overlay="none", exports=["coco"])
    found = found_masks(tmp_path, ["00001", "00003", "00005", "00007"])
    frames = torch.stack(list(FrameStream(folder / "clip.mp4")))[1:9:2]
    assert np.array_equal(found[:2], plain(colour, frames, masks[1])[:2])
    assert np.array_equal(found[2:], plain(colour, frames[2:], masks[5]))
    assert content["part"] == {"start": 1, "end": 9, "every": 2}
    assert content["frame_rate"] == 6
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [image["id"] for image in coco["images"]] == [1, 3, 5, 7]
    message = "frame 4 is not in the part of the video from frame 1 to .*, one frame in 2"
    refused(DataError, message, predict_video, colour, part, at(4), tmp_path / "other")


def test_several_boxes_are_each_followed_as_one_alone(scene, folder, colour, tmp_path):
    video, masks = scene
    frames = tensors(video)
    first, middle = bounds(masks[0]), bounds(masks[6])
    prompts = read_prompts(box=[",".join(map(str, first)), f"sprite={','.join(map(str, middle))}@6", "4,5,20,22"])
    predict_video(colour, folder / "frames", prompts, tmp_path, overlay="webp", exports=["coco"])
    found = found_rows(tmp_path / "boxes.csv", ("x", "y", "width", "height"))
    assert list(found) == ["1", "2", "sprite"]

    def alone(sequence, box):
        return np.stack([box for _, box in track_box(colour, sequence, box)])

    back, on = alone(frames[:7].flip(0), middle), alone(frames[6:], middle)
    expected = alone(frames, first), alone(frames, [4, 5, 20, 22]), np.concatenate([back[:0:-1], on])
    for name, boxes in zip(found, expected, strict=True):
        assert found[name] == pytest.approx(boxes, abs=0.006)
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert len(coco["annotations"]) == 3 * FRAMES
    assert coco["annotations"][2]["bbox"] == pytest.approx(found["sprite"][0], abs=0.011)
    assert [category["name"] for category in coco["categories"]] == ["1", "2", "sprite"]


def test_points_of_two_frames_are_each_followed_as_alone(scene, folder, colour, tmp_path):
    video, _ = scene
    (tmp_path / "p.csv").write_text("frame,name,x,y\n0,a,40,30\n7,b,60,50\n7,a,44,31\n")
    prompts = read_prompts(points=str(tmp_path / "p.csv"))
    predict_video(colour, folder / "frames", prompts, tmp_path / "out", exports=["coco"])
    frames = tensors(video)

    def alone(sequence, points):
        return np.stack([found for _, found in propagate_points(colour, sequence, points)])

    start, points = alone(frames, {"a": (40, 30)}), {"b": (60, 50), "a": (44, 31)}
    both = np.concatenate([alone(frames[:8].flip(0), points)[:0:-1], alone(frames[7:], points)])
    found = found_rows(tmp_path / "out" / "points.csv", ("x", "y", "score"))
    assert list(found) == ["a", "b"]
    np.testing.assert_allclose(found["a"], np.concatenate([start[:4, 0], both[4:, 1]]), atol=0.006, rtol=0)
    np.testing.assert_allclose(found["b"], both[:, 0], atol=0.006, rtol=0)
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert coco["categories"][0]["keypoints"] == ["a", "b"]
    assert coco["annotations"][0]["keypoints"][:3] == [40, 30, 2]


def test_queried_points_of_two_frames_take_the_nearest_track(folder, colour, tmp_path):
    def tracks(csv_text):
        (tmp_path / "p.csv").write_text(csv_text)
        prompts = read_prompts(points=str(tmp_path / "p.csv"))
        *_, (_, last) = follow_points(colour, folder / "clip.mp4", prompts, "fomo")
        return last.points

    both = tracks("frame,name,x,y\n0,a,40,30\n7,a,44,31\n7,b,60,50\n")
    late = tracks("frame,name,x,y\n7,a,44,31\n7,b,60,50\n")
    early = tracks("name,x,y\na,40,30\n")
    assert torch.equal(both[0, :4], early[0, :4])
    assert torch.equal(both[:, 4:], late[:, 4:])
    assert torch.equal(both[1], late[1])


def files(out):
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name != "prediction.json"}


def test_passes_that_are_interrupted_begin_again_and_say_so(at, folder, colour, tmp_path, monkeypatch, capsys):
    """Without being asked to overwrite; nothing of the first attempt is left."""
    follower, done, options = predict_module.follower, [], {"overlay": "none", "exports": ["coco"]}

    def predict(out):
        with signals.deferred():
            return predict_video(colour, folder / "clip.mp4", [at(0), at(6, 4)], out, **options)

    predict(tmp_path / "all")

    def ending_follower(*args):
        def follow(frames, labels):
            for found in follower(*args)(frames, labels):
                done.append(found)
                if len(done) == 9:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield found

        return follow

    monkeypatch.setattr(predict_module, "follower", ending_follower)
    with pytest.raises(signals.Stopped):
        predict(tmp_path / "out")
    monkeypatch.undo()
    told = capsys.readouterr().out
    assert f"{tmp_path / 'out'}: interrupted; the same command begins again" in told
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["complete"] is False
    assert predict(tmp_path / "out")["complete"]
    assert "holds a prediction that was interrupted; it begins again" in capsys.readouterr().out
    assert files(tmp_path / "out") == files(tmp_path / "all")


def test_by_the_command_line(folder, scene, tmp_path):
    Image.fromarray(scene[1][5]).save(tmp_path / "five.png")
    words = ["predict", *RAW_COLOUR, f"--data.video={folder / 'clip.mp4'}"]
    words += [f"--trainer.callbacks.output_dir={tmp_path / 'out'}"]
    masks = f"{folder / 'masks' / 'first.png'}@2;{tmp_path / 'five.png'}@5"
    main([*words, f"--data.mask={masks}", "--data.start=2", "--data.end=0.6s", "--trainer.callbacks.exports=[coco]",
          "--trainer.callbacks.stride=4", "--trainer.callbacks.overlay=none"])  # fmt: skip
    assert [path.stem for path in sorted((tmp_path / "out" / "masks").iterdir())] == [f"{t:05d}" for t in range(2, 8)]
    assert (tmp_path / "out" / "coco.json").is_file()
    for more, message in (
        (["--data.box=1,2,3,4@9", "--data.end=5"], "frame 9 is not in the part of the video from frame 0 to frame 4"),
        (["--data.box=1,2,3,4@77"], "frame 77 lies beyond the end of the video"),
        (["--data.box=a=1,2,3,4;a=5,6,7,8"], "two prompts of frame 0 for a"),
        (["--data.box=1,2,3,4", "--trainer.callbacks.exports=[yolo]"], "exports must be one of 'coco', "),
    ):
        assert message in refusal(*words, *more)


def test_random_weights_are_told(folder, tmp_path, capsys):
    words = ["predict", "--model=torchvision:resnet18", f"--data.video={folder / 'clip.mp4'}", "--data.box=4,4,9,9"]
    main([*words, "--data.end=2", f"--trainer.callbacks.output_dir={tmp_path / 'out'}"])
    assert "ResNet-18, random weights\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["weights"] == "random weights"


def test_mistakes_with_files_are_one_line_that_names_them(scene, colour, tmp_path):
    for side, message in (
        (1, "has frames of 1 × 1 px; 2 × 2 px are the least"),
        (2, "too few to distinguish positions"),
    ):
        (tmp_path / str(side)).mkdir()
        for t in range(2):
            Image.new("RGB", (side, side)).save(tmp_path / str(side) / f"{t}.png")
        mask = MaskPrompt.of(np.ones((side, side), np.uint8))
        line = rf"^{tmp_path}/{side}: .*{message}"
        refused(ValueError, line, predict_video, colour, tmp_path / str(side), mask, tmp_path / "out", overlay="none")
    (tmp_path / "file").write_text("mine")
    line = rf"^{tmp_path}/file: is a file; output_dir names a folder$"
    refused(ValueError, line, predict_video, colour, tmp_path / "2", mask, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


LENGTH = 14


@pytest.mark.parametrize("seed", range(5))
def test_every_object_is_reached_in_every_frame_by_the_pass_of_its_nearest_prompt(seed):
    """Brute force over frames and objects; no pass goes further than an object needs it."""
    draw = np.random.default_rng(seed)
    prompted = {}
    for number in range(1, 1 + draw.integers(1, 4)):
        prompted[number] = sorted(draw.choice(LENGTH, draw.integers(1, 5), replace=False).tolist())
    passes, needed = plan_passes(prompted), {}
    for own in prompted.values():
        for t in range(LENGTH):
            distances = [abs(t - place) for place in own]
            nearest = own[distances.index(min(distances))]
            assert nearest_prompt(own, t) == nearest
            needed.setdefault((nearest, 1 if t >= nearest else -1), []).append(t)
    farthest = {(start, step): max(frames) if step > 0 else min(frames) for (start, step), frames in needed.items()}
    assert {(start, step): LENGTH - 1 if last is None else last for start, step, last in passes} == farthest
    assert len(passes) == len(farthest)


def test_objects_keep_the_colour_of_the_mask_that_brings_them():
    one, two, ids = davis_palette(), davis_palette(), np.zeros((96, 130), np.uint8)
    one[[3, 5]], two[[3, 5]] = (10, 20, 30), (40, 50, 60)
    ids[:8] = 3
    first = replace(MaskPrompt.of(ids), palette=one)
    ids[20:28] = 5
    later = replace(MaskPrompt.of(ids), frame=4, palette=two)
    assert palette_of([first, later])[[3, 5]].tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize("text", ["grid:0", "grid:", "grid:999", "grid:2x2"])
def test_a_grid_of_no_points_or_too_many_is_refused(text):
    assert refused(DataError, f"points {text}: expected grid:N", read_prompts, points=text)


@pytest.mark.parametrize("broken", ["features", "disk"])
def test_an_earlier_prediction_outlives_a_new_one_that_fails(folder, colour, tmp_path, at, monkeypatch, broken):
    predict_video(colour, folder / "frames", at(0), tmp_path, overlay="gif")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    if broken == "features":
        spoilt = nn.Sequential(colour, nn.Threshold(2.0, math.nan))
        spoilt.stride = colour.stride
    else:
        spoilt = colour
        full = OSError(errno.ENOSPC, "No space left on device", "00003.png")
        monkeypatch.setattr("vidcorr.tracking.record.write_ids", Mock(side_effect=[None, None, None, full]))
    with pytest.raises((ValueError, OSError), match=r"finite|No space"):
        predict_video(spoilt, folder / "clip.mp4", at(0), tmp_path, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


def test_two_predictions_never_share_a_folder(folder, colour, tmp_path):
    first = MaskPrompt.of(folder / "masks" / "first.png")
    with FolderLock(tmp_path), pytest.raises(FolderInUse, match=r"in use by another run.*name another output_dir"):
        predict_video(colour, folder / "frames", first, tmp_path)
    assert not (tmp_path / "masks").exists()


def test_results_of_a_generator_can_be_changed_in_place(scene, colour):
    video, masks = scene
    frames = tensors(video)
    for frame, ids in itertools.islice(propagate_masks(colour, frames, masks[0]), 3):
        ids[ids == 1] = 2
        frame.add_(1)
        assert not (ids == 1).any()
    for _, points in itertools.islice(propagate_points(colour, frames, [(60, 40)]), 3):
        points[:, :2] = 7
        assert (points[:, :2] == 7).all()
