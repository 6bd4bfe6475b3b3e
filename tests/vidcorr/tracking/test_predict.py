"""`predict_video`: what is followed in a video, the files with it, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.encoders import clips
from tests.helpers.refusal import refused
from tests.helpers.runs import rows_of
from tests.helpers.sprite import FRAMES, bounds, tensors
from vidcorr import BoxPrompt, FrameStream, MaskPrompt, PointPrompt, SiamFCTracker, follow, predict_video
from vidcorr.metrics import box_iou
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.pictures import overlays
from vidcorr.tracking.follow import encoder_of
from vidcorr.tracking.predict import _drawer
from vidcorr.videos.folder_lock import FolderInUse, folder_lock
from vidcorr.videos.masks import davis_palette


def test_masks_are_indexed_pngs(folder, colour, tmp_path, scene, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(scene[1][0] * np.uint8(17)).save(tmp_path / "mask.png")
    content = predict_video(colour, folder / "frames", MaskPrompt.of("~/mask.png"), "~/out")
    files = sorted((tmp_path / "out" / "masks").iterdir())
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
    told = {"frame": 0, "image": "000.png", "kind": "mask", "source": "~/mask.png", "objects": [17]}
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
        draw = _drawer(prompt, prompt.objects, encoder_of(colour, prompt, protocol).protocol)
        return [draw(frame, results) for results in found][-1]

    drawn = last_drawn(MaskPrompt.of(ids.numpy()), ids)
    np.testing.assert_array_equal(drawn, overlays.overlay_masks(frame, ids, labelled=True))
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


def test_a_folder_with_a_prediction_or_masks_of_the_users_is_refused(folder, colour, tmp_path):
    prompt = MaskPrompt.of(folder / "masks" / "first.png")
    (tmp_path / "mine" / "masks").mkdir(parents=True)
    asked = colour, folder / "clip.mp4", prompt
    refused(ValueError, "mine: holds masks", predict_video, *asked, tmp_path / "mine")
    single_crops = clips(), folder / "clip.mp4", BoxPrompt.of([0, 0, 20, 10])
    refused(ValueError, "encodes single crops, which a video", predict_video, *single_crops, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with folder_lock(tmp_path / "out"), pytest.raises(FolderInUse, match=r"in use by another.*name another output"):
        predict_video(*asked, tmp_path / "out")
    predict_video(*asked, tmp_path / "out")
    written = (tmp_path / "out" / "prediction.json").read_bytes()
    refused(ValueError, "out: holds prediction.json; name another", predict_video, *asked, tmp_path / "out")
    assert (tmp_path / "out" / "prediction.json").read_bytes() == written
