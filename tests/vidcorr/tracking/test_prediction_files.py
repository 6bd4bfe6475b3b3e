"""`predict_video` writes the masks, boxes and points that it finds in a video."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules import FrozenEncoder
from tests.helpers.encoders import clips
from tests.helpers.masks import read_masks
from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES, RATE
from vidcorr import DavisBenchmark, FrameStream, predict_video, signals
from vidcorr.backbones import build_feature_extractor
from vidcorr.functional import PropagationProtocol
from vidcorr.tracking.predict import extractor_for
from vidcorr.tracking.record import SequenceWriter
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt


@pytest.mark.slow
def test_masks_are_those_of_the_benchmark(davis_root, tmp_path):
    colour = build_feature_extractor("raw_colour")
    DavisBenchmark(davis_root, limit_sequences=1).evaluate(colour, tmp_path / "benchmark")
    (expected,) = (tmp_path / "benchmark" / "predictions").iterdir()
    frames = davis_root / "JPEGImages" / "480p" / expected.name
    first = davis_root / "Annotations" / "480p" / expected.name / "00000.png"
    predict_video(colour, frames, MaskPrompt.of(first), tmp_path / "ours", "vfs", overlay=False)
    assert torch.equal(read_masks(tmp_path / "ours" / "masks"), read_masks(expected))


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
    predict_video(colour, folder / "frames", prompt, tmp_path)
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
    refused(ValueError, r"holds masks but no prediction\.json", predict_video, *asked, overwrite=True)
    assert (tmp_path / "masks" / "00000.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "nobody"}, "unknown protocol 'nobody'"),
        ({"changes": {"radius": "far"}}, "radius must be a valid number or None, got .far."),
        ({"short_side": -4}, "short_side must be at least 1 px, .* got -4"),
        ({"prompt": BoxPrompt.of([0, 0, 200, 10])}, "outside frame 0"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "protocol": "vfs"}, "is for masks and points"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "changes": {"radius": 3}}, "radius"),
        (
            {"prompt": BoxPrompt.of([0, 0, 20, 10]), "extractor": clips()},
            "encodes single crops, which a video encoder cannot",
        ),
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


def test_a_signal_leaves_what_is_complete(folder, colour, tmp_path, monkeypatch):
    add, prompt = SequenceWriter.add, PointPrompt.of([[40, 30]])
    alone = predict_video(colour, folder / "clip.mp4", prompt, tmp_path / "alone")

    def add_and_stop(record, *args):
        add(record, *args)
        if record.written == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    def stopped():
        with signals.deferred():
            predict_video(colour, folder / "clip.mp4", prompt, tmp_path / "out")

    monkeypatch.setattr(SequenceWriter, "add", add_and_stop)
    with pytest.raises(signals.Stopped) as error:
        stopped()
    assert error.value.code == 143
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (record["complete"], alone["complete"]) == (False, True)
    lines = (tmp_path / "out" / "points.csv").read_text().splitlines()
    assert lines == (tmp_path / "alone" / "points.csv").read_text().splitlines()[:4]
    assert FrameStream(tmp_path / "out" / "overlay.mp4").num_frames == 3
    stream = FrameStream(tmp_path / "alone" / "overlay.mp4")
    assert (stream.size, stream.num_frames, stream.frame_rate) == ((96, 130), FRAMES, RATE)
