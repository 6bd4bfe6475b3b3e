"""`predict_video`: what is followed in a video, the files with it, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.helpers.encoders import clips
from tests.helpers.refusal import refused
from tests.helpers.runs import rows_of
from tests.helpers.sprite import FRAMES, bounds, tensors
from vidcorr import BoxPrompt, FrameStream, MaskPrompt, PointPrompt, SiamFCTracker, follow, predict_video
from vidcorr.metrics import box_iou
from vidcorr.protocols import PropagationProtocol
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
