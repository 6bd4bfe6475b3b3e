"""A prediction that is interrupted anywhere resumes, and ends with the files of the uninterrupted one."""

import json
import os
import shutil
import signal

import pytest
import torch
from torch import nn

from callbacks import predict_video, signals
from callbacks.prediction import unfinished
from callbacks.tracking.record import SequenceRecord
from datamodules import BoxPrompt, FrameStream, MaskPrompt, PointPrompt
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol
from tests.helpers.sprite import FRAMES, bounds

KINDS = ["mask", "hvc mask", "box", "points", "queried points"]
NAMES = ("prediction.json", "unfinished.pt")


@pytest.fixture
def asked(folder, scene):
    """The prompt and the protocol of each kind."""
    mask, points = MaskPrompt.of(folder / "masks" / "first.png"), PointPrompt.of({"a": (40, 30), "b": (60, 50)})
    box = BoxPrompt.of(bounds(scene[1][0]))
    prompts = zip(KINDS, [mask, mask, box, points, points], [None, "hvc", None, None, "fomo"], strict=True)
    return {kind: (prompt, protocol) for kind, prompt, protocol in prompts}


def begin(colour, folder, out, asked, kind, **options):
    prompt, protocol = asked[kind]
    with signals.deferred():
        return predict_video(colour, folder / "clip.mp4", prompt, out, protocol, **{"overlay": "none"} | options)


def files(out):
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name not in NAMES}


def record_of(out):
    record = json.loads((out / "prediction.json").read_text())
    return {name: value for name, value in record.items() if "seconds" not in name and name != "date"}


@pytest.fixture
def stop_at(monkeypatch):
    """Send this process a signal after a frame is written."""
    add = SequenceRecord.add

    def stop(frame, number=signal.SIGTERM):
        def add_and_stop(record, *args):
            add(record, *args)
            if record.written == frame:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(SequenceRecord, "add", add_and_stop)

    return stop


@pytest.fixture
def looks(colour):
    """The number of passes of the network so far."""
    seen = []
    colour.register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize("frames", [(1, 7), pytest.param(range(1, FRAMES + 1), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_at_any_frame_it_resumes_to_the_same_files(
    kind, frames, asked, folder, colour, tmp_path, stop_at, looks, capsys
):
    stop_at(0)
    begin(colour, folder, tmp_path / "all", asked, kind)
    passes = len(looks)
    for frame in frames:
        out = tmp_path / str(frame)
        looks.clear()
        stop_at(frame)
        with pytest.raises(signals.Stopped):
            begin(colour, folder, out, asked, kind)
        stop_at(0)
        assert begin(colour, folder, out, asked, kind)["complete"]
        assert files(out) == files(tmp_path / "all")
        assert record_of(out) == record_of(tmp_path / "all")
        assert not (out / "unfinished.pt").exists()
        assert len(looks) == passes  # no frame is looked at twice
        assert f"resuming at frame {0 if kind == 'queried points' else frame}" in capsys.readouterr().out


def test_it_may_be_interrupted_again_and_again(asked, folder, colour, tmp_path, stop_at):
    stop_at(0)
    begin(colour, folder, tmp_path / "all", asked, "mask", overlay="gif")
    for frame in (2, 1, 2, 7):  # the second and third stop come before the place that the first had reached
        stop_at(frame, signal.SIGINT)
        with pytest.raises(signals.Stopped):
            begin(colour, folder, tmp_path / "parts", asked, "mask", overlay="gif")
    stop_at(0)
    begin(colour, folder, tmp_path / "parts", asked, "mask", overlay="gif")
    assert files(tmp_path / "parts") == files(tmp_path / "all")


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_kill_it_resumes_from_the_last_save(kind, asked, folder, colour, tmp_path, monkeypatch, stop_at):
    stop_at(0)
    begin(colour, folder, tmp_path / "all", asked, kind)
    monkeypatch.setattr(unfinished.Unfinished, "is_due", lambda self: True)
    for frame in (1, 4):
        out, add = tmp_path / str(frame), SequenceRecord.add

        def add_and_die(record, *args, frame=frame, add=add):
            if record.written == frame:
                raise RuntimeError("killed")
            add(record, *args)

        with monkeypatch.context() as patch:
            patch.setattr(SequenceRecord, "add", add_and_die)
            with pytest.raises(RuntimeError, match="killed"):
                begin(colour, folder, out, asked, kind)
        assert not (out / "prediction.json").exists()
        begin(colour, folder, out, asked, kind)
        assert files(out) == files(tmp_path / "all")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"changes": {"radius": 3}}, "protocol"),
        ({"short_side": 50}, "short_side"),
        ({"prompt": MaskPrompt.of(torch.ones(96, 130, dtype=torch.uint8))}, "prompt"),
        ({"video": "frames"}, "video"),
        ({"extractor": build_feature_extractor(nn.Conv2d(3, 4, 4, 4))}, "network"),
    ],
)
def test_another_command_is_refused(other, named, asked, folder, colour, tmp_path, stop_at):
    given = {"extractor": colour, "prompt": asked["mask"][0], "video": "clip.mp4", "overlay": "none"}

    def predict(**options):
        video = folder / options.pop("video")
        with signals.deferred():
            return predict_video(video=video, output_dir=tmp_path / "out", **options)

    stop_at(3)
    with pytest.raises(signals.Stopped):
        predict(**given)
    stop_at(0)
    before = files(tmp_path / "out")
    with pytest.raises(ValueError, match=rf"unfinished prediction of another command \(another .*{named}.*overwrite"):
        predict(**given | other)
    assert files(tmp_path / "out") == before
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    assert predict(**given | other, overwrite=True)["frames"] == FRAMES
    shutil.rmtree(tmp_path / "out")
    shutil.copytree(tmp_path / "copy", tmp_path / "out")
    assert predict(**given)["frames"] == FRAMES


@pytest.mark.parametrize("runs", [False, True])
def test_the_search_belongs_to_a_prediction(runs, asked, folder, colour, monkeypatch):
    """Compiled code may choose otherwise among equal products, so a half of each would be no one's prediction."""
    monkeypatch.setattr(unfinished, "compiled_search_runs", lambda: runs)
    stream, rules = FrameStream(folder / "clip.mp4"), PropagationProtocol.named("vfs")
    assert unfinished.identify(colour, stream, [asked["mask"][0]], rules, None)["VIDCORR_NATIVE"] is runs


def test_a_damaged_file_is_refused(asked, folder, colour, tmp_path, stop_at):
    stop_at(3)
    with pytest.raises(signals.Stopped):
        begin(colour, folder, tmp_path, asked, "mask")
    stop_at(0)
    path = tmp_path / "unfinished.pt"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"unfinished\.pt: is damaged; set overwrite=true"):
        begin(colour, folder, tmp_path, asked, "mask")
    assert begin(colour, folder, tmp_path, asked, "mask", overwrite=True)["complete"]
