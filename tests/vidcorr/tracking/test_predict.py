"""`predict_video`: what is followed in a video, the files with it, and what is refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import tool_files
from tests.helpers.encoders import clips
from tests.helpers.refusal import refused
from tests.helpers.runs import rows_of
from tests.helpers.sprite import FRAMES, bounds, tensors
from vidcorr import BoxPrompt, FrameStream, MaskPrompt, PointPrompt, SiamFCTracker, follow, load, predict_video
from vidcorr.datasets.generated.writers import write_mp4
from vidcorr.metrics import box_iou
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.folder_lock import FolderInUse, folder_lock
from vidcorr.results.pictures import overlays
from vidcorr.tracking.annotations import Annotations
from vidcorr.tracking.follow import extractor_and_protocol
from vidcorr.tracking.predict import _drawer
from vidcorr.videos.annotation_files import read_masks
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import davis_palette
from vidcorr.videos.objects import Objects

GIVEN = {0xFF0000: 9, 0x00FF00: 9}
"""Colours of an object in two given masks: the first counts, as in the palette of the masks."""


def test_masks_are_indexed_pngs(folder, colour, tmp_path, scene):
    Image.fromarray(scene[1][0] * np.uint8(17)).save(tmp_path / "mask.png")
    content = predict_video(colour, folder / "frames", MaskPrompt.of(tmp_path / "mask.png"), tmp_path / "out")
    files = sorted((tmp_path / "out" / "masks").iterdir())
    rows = rows_of(tmp_path / "out", "frames.csv")
    assert [(row["frame"], row["object"]) for row in rows] == [(f"{t:05d}", "17") for t in range(FRAMES)]
    shares = [(np.array(Image.open(path)) > 0).mean() for path in files]
    np.testing.assert_allclose([float(row["share"]) for row in rows], shares, atol=1e-4)
    assert rows[0]["doubt"] == "0.0000"
    assert all(0 < float(row["doubt"]) < 1 for row in rows[1:])
    assert [path.stem for path in files] == [f"{t:03d}" for t in range(FRAMES)]
    image = Image.open(files[-1])
    assert (image.mode, image.size, image.getpalette()) == ("P", (130, 96), davis_palette().ravel().tolist())
    assert set(np.unique(np.array(image))) == {0, 17}
    assert (tmp_path / "out" / "prediction.json").read_text() == json.dumps(content, indent=2) + "\n"
    expected = PropagationProtocol.named("vidcorr").with_changes(feature_stride=4)
    values = json.loads(json.dumps(expected.effective_values()))
    named = {"name": expected.name, "benchmark": expected.benchmark, "digest": expected.digest()}
    assert content["protocol"] == named | values
    assert (content["frames"], content["size"], content["complete"]) == (FRAMES, [96, 130], True)
    told = {"frame": 0, "kind": "mask", "source": str(tmp_path / "mask.png"), "objects": [17]}
    assert content["prompts"] == [told]


def test_boxes_are_those_of_the_tracker_with_scores(scene, folder, colour, tmp_path):
    first = np.array([bounds(scene[1][0])] * 2)
    predict_video(colour, folder / "frames", BoxPrompt.of(first.tolist()), tmp_path, overlay=False)
    rows = rows_of(tmp_path, "boxes.csv")
    assert list(rows[0]) == ["frame", "box", "x", "y", "width", "height", "score"]
    numbers = [[float(row[key] or "nan") for key in list(row)[2:]] for row in rows]
    found = np.reshape(numbers, (FRAMES, 2, 5))
    corner = np.array([1, 1, 0, 0])  # the tracker counts from 1
    tracked = [boxes - corner for _, boxes in SiamFCTracker(colour).track(tensors(scene[0]), first + corner)]
    np.testing.assert_allclose(found[..., :4], tracked, atol=1e-4)
    assert np.isnan(found[0, :, 4]).all()
    assert (found[1:, :, 4] > 0).all()
    assert box_iou(found[:, 0, :4], np.stack([bounds(mask) for mask in scene[1]])).mean() > 0.6


def test_points_are_a_table_that_is_a_prompt_again(folder, colour, tmp_path):
    prompt = PointPrompt.of({"a": (44, 31), "b": (60, 50)})
    predict_video(colour, folder / "clip.mp4", prompt, tmp_path / "out", overlay=False)
    lines = (tmp_path / "out" / "points.csv").read_text().splitlines()
    assert lines[0] == "frame,point,x,y,score"
    expected = [points for _, points in follow(colour, folder / "clip.mp4", prompt)]
    rows = rows_of(tmp_path / "out", "points.csv")
    numbers = [[float(row[key] or "nan") for key in ("x", "y", "score")] for row in rows]
    np.testing.assert_allclose(np.reshape(numbers, (FRAMES, 2, 3)), np.stack(expected), atol=1e-4)
    (tmp_path / "p.csv").write_text("\n".join([lines[0], *lines[9:11]]))
    (again,) = PointPrompt.read_table(tmp_path / "p.csv")
    assert (again.objects, again.frame) == (("a", "b"), 4)
    predict_video(colour, FrameStream(folder / "clip.mp4", 4), again, tmp_path / "again", "fomo")
    assert FrameStream(tmp_path / "again" / "overlay.mp4").num_frames == FRAMES - 4
    assert rows_of(tmp_path / "again", "points.csv")[0]["occluded"] == "0.0000"
    predict_video(colour, folder / "clip.mp4", again, tmp_path / "both", "fomo", overlay=False)
    both = [row for row in rows_of(tmp_path / "both", "points.csv") if int(row["frame"]) >= 4]
    assert both == rows_of(tmp_path / "again", "points.csv")


def test_what_was_found_is_drawn_in_distinct_colours(colour):
    frame, ids = torch.zeros(3, 170, 200, dtype=torch.uint8), torch.zeros(170, 200, dtype=torch.uint8)
    ids[20:60, 20:60], ids[100:150, 100:150] = 1, 9
    colours = overlays.distinct_colours(2)

    def last_drawn(prompt, *found, protocol=None):
        draw = _drawer(Annotations.of(prompt), extractor_and_protocol(colour, prompt, protocol)[1], GIVEN)
        return [draw(frame, results) for results in found][-1]

    drawn = last_drawn(MaskPrompt.of(ids.numpy()), ids)
    palette = overlays.OBJECT_COLOURS.copy()
    palette[9] = 255, 0, 0  # of the given mask
    np.testing.assert_array_equal(drawn, overlays.overlay_masks(frame, ids, palette, labelled=True))
    boxes = np.array([[20, 30, 50, 60, 1], [90, 80, 60, 50, 1]])
    for count, names in ((1, []), (2, ["1", "2"])):
        drawn = last_drawn(BoxPrompt.of(boxes[:count, :4].tolist()), boxes[:count])
        expected = overlays.draw_boxes(frame, boxes[:count, :4], overlays.distinct_colours(count), names)
        np.testing.assert_array_equal(drawn, expected)
    points, found = PointPrompt.of({"a": (44, 31), "b": (60, 50)}), torch.tensor([[44.4, 31, 1, 0], [60, 50, 1, 0]])
    drawn = last_drawn(points, found[:, :3])
    places, visible = found[:, None, :2].numpy() + 0.5, np.zeros((2, 1), bool)
    np.testing.assert_array_equal(drawn, overlays.overlay_tracks(frame, places, visible, 0, colours, names=["a", "b"]))
    tracks = found + torch.arange(16)[:, None, None] * torch.tensor([4, 2, 0, 0])
    tracks[9, 1, 3] = tracks[15, 0, 3] = 1  # hidden
    places = tracks.transpose(0, 1).numpy()
    expected = overlays.overlay_tracks(frame, places[..., :2] + 0.5, places[..., 3] == 1, 15, colours, names=["a", "b"])
    np.testing.assert_array_equal(last_drawn(points, *tracks, protocol="fomo"), expected)


def test_a_folder_with_a_prediction_or_masks_of_the_users_is_refused(folder, colour, tmp_path, monkeypatch):
    prompt = MaskPrompt.of(folder / "masks" / "first.png")
    (tmp_path / "mine" / "masks").mkdir(parents=True)
    asked = colour, folder / "clip.mp4", prompt
    refused(ValueError, "mine: holds masks", predict_video, *asked, tmp_path / "mine")
    single_crops = clips(), folder / "clip.mp4", BoxPrompt.of([0, 0, 20, 10])
    refused(ValueError, "encodes single crops, which a video", predict_video, *single_crops, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with folder_lock(tmp_path / "out"), pytest.raises(FolderInUse, match=r"in use by another.*name another output"):
        predict_video(*asked, tmp_path / "out")
    content = predict_video(*asked, tmp_path / "out")

    @contextmanager
    def lock_after_another(folder: Path, advice: str) -> Iterator[None]:
        """Hold the folder, once another run has added a prompt."""
        with folder_lock(folder, advice):
            (folder / "prediction.json").write_text(json.dumps(content | {"prompts": content["prompts"] * 2}))
            yield

    monkeypatch.setattr("vidcorr.tracking.predict.folder_lock", lock_after_another)
    refused(ValueError, "another run has just written into it", predict_video, *asked, tmp_path / "out")


@pytest.fixture(scope="module")
def small_film(tmp_path_factory):
    """A film of six frames, of the size of `tool_files`."""
    noise = np.random.default_rng(0).integers(0, 255, (*tool_files.SIZE, 3), np.uint8)
    path = tmp_path_factory.mktemp("small") / "clip.mp4"
    write_mp4(path, np.stack([np.roll(noise, t, axis=1) for t in range(6)]), rate=4)
    return path


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.sampled(4)
def test_rounds_in_any_order_keep_all_prompts(seed, small_film, tmp_path):
    """A folder's prompts are the union of what was given; the later one of a frame wins, and says so."""
    rng = np.random.default_rng(seed)
    expected = {}
    content = {"objects": []}
    network, names = load("raw_colour@colour/4"), {"a": "cat", "b": "dog"}
    for number in range(6):
        frame, form, shown = rng.integers([6, 3, 3]) if number else (0, 0, 0)
        ids = [{"a": 1, "b": 2}, {"a": 1}, {"b": 2}][shown]
        path = tmp_path / f"{number}" / f"{frame:05d}.png"
        if form == 0:
            path = tool_files.labelme(path.with_suffix(".json"), [(place, names[place]) for place in ids])
        else:
            tool_files.indexed(path, ids, Objects(content["objects"]).palette)
        if form == 2:
            Image.open(path).convert("RGB").save(path)
        prompts = read_masks([str(path)], None, "clip")
        content = predict_video(network, small_film, prompts, tmp_path / "out", overlay=False)
        labels = tool_files.ids_of(**ids)
        is_replaced = int(frame) in expected and (expected[int(frame)] != labels).any()
        assert is_replaced == any("replaces the mask of" in note for note in content["notes"])
        expected[int(frame)] = labels
        told = {t: np.unique(expected[t])[1:].tolist() for t in sorted(expected)}
        assert [(prompt["frame"], prompt["objects"]) for prompt in content["prompts"]] == list(told.items())
        assert [(row["id"], row["name"]) for row in content["objects"]] == [(1, "cat"), (2, "dog")]
        for t, given in expected.items():
            np.testing.assert_array_equal(MaskPrompt.of(tmp_path / "out" / "prompts" / f"{t:05d}.png").labels, given)
            found = MaskPrompt.of(tmp_path / "out" / "masks" / f"{t:05d}.png").labels
            np.testing.assert_array_equal(found[given > 0], given[given > 0])


def test_what_states_no_frame_never_replaces_another_mask(small_film, tmp_path):
    def predict(path, **options):
        prompts = read_masks([str(path)], None, "clip")
        return predict_video("raw_colour@colour/4", small_film, prompts, tmp_path / "out", overlay=False, **options)

    fixed = tool_files.indexed(tmp_path / "fixed.png", {"a": 1})
    predict(fixed)
    assert not predict(fixed)["notes"]  # the same pixels: given again and again
    tool_files.indexed(fixed, {"b": 1})
    line = "fixed.png: names no frame, and frame 0 has a prompt, .*fixed.png: give fixed.png@FRAME"
    refused(DataError, line, predict, fixed)
    content = predict(f"{fixed}@0")
    assert "frame 0: " in content["notes"][0]
    assert [prompt["frame"] for prompt in predict(f"{fixed}@3")["prompts"]] == [0, 3]
    told = []
    predict(f"{fixed}@3", announce=lambda content: told.append((content["complete"], content["objects"][0]["id"])))
    assert told == [(False, 1)]


def test_names_of_two_files_are_the_same_objects_in_python(small_film, tmp_path):
    first = MaskPrompt.of(tool_files.labelme(tmp_path / "0.json", [("a", "cat"), ("b", "dog")]))
    later = MaskPrompt.of(tool_files.labelme(tmp_path / "5.json", [("b", "dog")]))
    found = [ids for _, ids in follow("raw_colour@colour/4", small_film, {0: first, 5: later})]
    np.testing.assert_array_equal(found[0], tool_files.ids_of(a=1, b=2))
    assert found[5][12, 26] == 2
