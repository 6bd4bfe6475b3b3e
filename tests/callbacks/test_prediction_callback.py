"""`VideoPrediction` writes the masks, boxes and points that it finds in a video, also as COCO's JSON."""

import csv
import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

from callbacks import VideoPrediction, predict_video
from callbacks.prediction import extractor_for
from datamodules import FrameStream
from lightning_modules import FrozenEncoder
from tests.helpers.encoders import clips
from tests.helpers.masks import read_masks
from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES, RATE, bounds
from vidcorr import DavisBenchmark, signals
from vidcorr.backbones import build_feature_extractor
from vidcorr.functional import PropagationProtocol
from vidcorr.tracking.follow import FollowedPoints
from vidcorr.tracking.output_files import CocoFile, _annotate_masks, _annotate_points
from vidcorr.tracking.record import SequenceRecord
from vidcorr.videos.mask_files import decode_rle
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt


def test_masks_are_those_of_the_benchmark(davis_root, tmp_path):
    colour = build_feature_extractor("raw_colour")
    DavisBenchmark(davis_root, limit_sequences=1).evaluate(colour, tmp_path / "benchmark")
    (expected,) = (tmp_path / "benchmark" / "predictions").iterdir()
    frames = davis_root / "JPEGImages" / "480p" / expected.name
    first = davis_root / "Annotations" / "480p" / expected.name / "00000.png"
    predict_video(colour, frames, MaskPrompt.of(first), tmp_path / "ours", "vfs", overlay="none")
    assert torch.equal(read_masks(tmp_path / "ours" / "masks"), read_masks(expected))


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp"])
def test_the_overlay_plays_at_the_videos_pace(folder, colour, tmp_path, kind):
    prompt = MaskPrompt.of(folder / "masks" / "first.png")
    content = predict_video(colour, folder / "clip.mp4", prompt, tmp_path, overlay=kind)
    assert content["frame_rate"] == RATE
    path = tmp_path / f"overlay.{kind}"
    if kind == "mp4":
        stream = FrameStream(path)
        assert (stream.size, stream.num_frames, stream.frame_rate) == ((96, 130), FRAMES, RATE)
    else:
        with Image.open(path) as image:
            assert image.n_frames == FRAMES
            assert image.size == (130, 96)
            image.load()
            assert image.info["duration"] == pytest.approx(1000 / RATE, abs=10)


def test_masks_are_indexed_pngs_in_the_prompts_palette(folder, colour, tmp_path, scene):
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    mask = Image.fromarray(scene[1][0] * np.uint8(17))
    mask.putpalette(palette.ravel().tolist())
    mask.save(tmp_path / "mask.png")
    content = predict_video(colour, folder / "frames", MaskPrompt.of(tmp_path / "mask.png"), tmp_path / "out")
    files = sorted((tmp_path / "out" / "masks").iterdir())
    assert [path.stem for path in files] == [f"{t:03d}" for t in range(FRAMES)]
    for path in files:
        image = Image.open(path)
        assert (image.mode, image.size) == ("P", (130, 96))
        assert set(np.unique(np.array(image))) == {0, 17}
        assert image.getpalette()[17 * 3 : 17 * 3 + 3] == palette[17].tolist()
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record == content
    expected = PropagationProtocol.named("vidcorr").with_changes(feature_stride=4)
    assert record["protocol"] == {"digest": expected.digest(), **expected.fields()}
    assert (record["frames"], record["size"], record["seen_at"]) == (FRAMES, [96, 130], [96, 130])
    assert record["prompt"] == {"kind": "mask", "source": str(tmp_path / "mask.png"), "objects": [17]}
    assert set(record["seconds_of"]) == {"decode", "backbone", "propagate", "decode masks", "write"}


def test_an_earlier_prediction_is_not_mixed_with_a_new_one(folder, colour, tmp_path):
    prompt = MaskPrompt.of(folder / "masks" / "first.png")
    predict_video(colour, folder / "frames", prompt, tmp_path, overlay="gif")
    (tmp_path / "mine.txt").write_text("kept")
    asked = colour, folder / "clip.mp4", prompt, tmp_path
    refused(ValueError, r"holds a prediction \(prediction\.json\)", predict_video, *asked)
    predict_video(*asked, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".in-use",
        "masks",
        "mine.txt",
        "overlay.mp4",
        "prediction.json",
    ]
    assert not (tmp_path / "masks" / "000.png").exists()
    (tmp_path / "prediction.json").unlink()
    refused(ValueError, r"holds masks without a prediction\.json", predict_video, *asked, overwrite=True)
    assert (tmp_path / "masks" / "00000.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "nobody"}, "unknown protocol 'nobody'"),
        ({"changes": {"radius": "far"}}, "radius must be a valid number or None, got .far."),
        ({"short_side": -4}, "short_side must be at least 1 px, .* got -4"),
        ({"overlay": "avi"}, "overlay must be one of 'mp4', 'gif', 'webp', 'none'"),
        ({"prompt": BoxPrompt.of([0, 0, 200, 10])}, "outside frame 0"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "protocol": "vfs"}, "is for masks and points"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "changes": {"radius": 3}}, "radius"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "extractor": clips()}, "an encoder of video cannot encode them"),
    ],
)
def test_a_users_mistake_leaves_no_files(folder, colour, tmp_path, arguments, message):
    given = {"extractor": colour, "prompt": MaskPrompt.of(folder / "masks" / "first.png")} | arguments
    refused(ValueError, message, predict_video, video=folder / "clip.mp4", output_dir=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_a_box_is_followed_by_the_stage_that_the_module_names():
    prompt, spec = BoxPrompt.of([0, 0, 20, 10]), "tests.helpers.encoders:TinyResNet"
    assert extractor_for(FrozenEncoder(spec), prompt).stage == "res5"
    assert extractor_for(FrozenEncoder(spec, stage="res3"), prompt).stage == "res3"
    found = extractor_for(FrozenEncoder(spec, stride=4), prompt)
    assert (found.stage, found.stride) == ("res4", 4)


def test_more_than_one_device_is_refused():
    trainer = Trainer(accelerator="cpu", devices=2, logger=False, enable_checkpointing=False)
    message = r"on one device, not 2: set --trainer\.devices 1"
    assert refused(ValueError, message, VideoPrediction().setup, trainer, None, "predict")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_what_is_complete(number, status, folder, colour, tmp_path, monkeypatch):
    add, prompt = SequenceRecord.add, PointPrompt.of([[40, 30]])
    alone = predict_video(colour, folder / "clip.mp4", prompt, tmp_path / "alone", overlay="mp4")

    def add_and_stop(record, *args):
        add(record, *args)
        if record.written == 3:
            os.kill(os.getpid(), number)

    def stopped():
        with signals.deferred():
            predict_video(colour, folder / "clip.mp4", prompt, tmp_path / "out", overlay="mp4")

    monkeypatch.setattr(SequenceRecord, "add", add_and_stop)
    with pytest.raises(signals.Stopped) as error:
        stopped()
    assert error.value.code == status
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (record["complete"], alone["complete"]) == (False, True)
    lines = (tmp_path / "out" / "points.csv").read_text().splitlines()
    assert lines == (tmp_path / "alone" / "points.csv").read_text().splitlines()[:4]
    assert FrameStream(tmp_path / "out" / "overlay.mp4").num_frames == 3


def test_the_table_of_one_box(folder, colour, tmp_path, scene):
    box = bounds(scene[1][0])
    record = predict_video(colour, folder / "frames", BoxPrompt.of(box), tmp_path / "box", overlay="none")
    rows = list(csv.DictReader((tmp_path / "box" / "boxes.csv").open()))
    assert [row["frame"] for row in rows] == [f"{t:03d}" for t in range(FRAMES)]
    assert [float(rows[0][key]) for key in ("x", "y", "width", "height")] == box.tolist()
    assert record["protocol"]["name"] == "vfs+dilated=false+response_size=none+stride=4"


def test_frames_without_an_object_have_an_image_and_no_annotation(tmp_path, folder):
    mask = torch.zeros(96, 130, dtype=torch.uint8)
    file = CocoFile(tmp_path / "coco.json", FrameStream(folder / "clip.mp4", start=3, every=2), [], _annotate_masks)
    file.add(mask)
    mask[2:50, 3:70] = 9
    file.add(mask)
    assert not (tmp_path / "coco.json").exists()
    file.close()
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [(image["id"], image["height"], image["width"]) for image in coco["images"]] == [(3, 96, 130), (5, 96, 130)]
    (annotation,) = coco["annotations"]
    assert [annotation[key] for key in ("image_id", "category_id", "track_id", "iscrowd")] == [5, 9, 9, 0]
    assert np.array_equal(decode_rle(annotation["segmentation"]), mask.numpy() == 9)


def test_points_that_are_lost_or_hidden_are_marked():
    (annotation,) = _annotate_points(torch.tensor([[1.0, 2, 0.5], [torch.nan, torch.nan, 0]]))
    assert annotation["keypoints"] == [1, 2, 2, 0, 0, 0]
    assert (annotation["num_keypoints"], annotation["bbox"]) == (1, [1, 2, 0, 0])
    places, hidden = torch.tensor([[[1.0, 2]], [[4, 6]]]), torch.tensor([[False], [True]])
    (annotation,) = _annotate_points(FollowedPoints(0, places, hidden, torch.ones(2, 1)))
    assert annotation["keypoints"] == [1, 2, 2, 4, 6, 1]
    assert annotation["bbox"] == [1, 2, 3, 4]
