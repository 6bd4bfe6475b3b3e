"""`vidcorr predict`: prompts of every form, several prompts, stops, and what is refused in one line."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from cli import main
from lightning_modules import FrozenEncoder
from tests.helpers.sprite import FRAMES
from tests.helpers.words import refusal
from vidcorr import FrameStream, MaskPrompt, predict_video
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.commands.predict import read_prompts
from vidcorr.tracking.record import SequenceWriter


@pytest.fixture
def run(folder, tmp_path):
    """Run the command on the clip, and return its folder."""

    def predict(*words, out="out"):
        main(["predict", str(folder / "clip.mp4"), "--model=raw_colour@colour/4", f"--output={tmp_path / out}", *words])
        return tmp_path / out

    return predict


def masks_of(folder):
    return [np.array(Image.open(path)) for path in sorted((folder / "masks").iterdir())]


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_help_is_a_page(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert len(capsys.readouterr().out.splitlines()) <= 40


@pytest.mark.slow
def test_the_network_of_the_package_needs_neither_lightning_nor_torchvision(folder, tmp_path):
    words = ["predict", str(folder / "clip.mp4"), "--box=20,20,24,24", "--end=1", f"--output={tmp_path / 'out'}"]
    blocked = "import sys; sys.modules.update(dict.fromkeys(['pytorch_lightning', 'torchvision', 'timm']))"
    code = f"{blocked}; from cli import main; main({words!r})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.getcwd())
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["model"] == "vidcorr-r18"


def test_a_mask_is_followed_as_by_the_function(run, folder, colour, tmp_path, capsys):
    mask = str(folder / "masks" / "first.png")
    out = run("--mask", mask)
    predict_video(colour, folder / "clip.mp4", MaskPrompt.of(mask), tmp_path / "function")
    assert all(map(np.array_equal, masks_of(out), masks_of(tmp_path / "function")))
    assert FrameStream(out / "overlay.mp4").num_frames == FRAMES
    assert f"{FRAMES} frames, " in capsys.readouterr().out


@pytest.mark.slow
def test_points_and_boxes_are_text_or_files(run, tmp_path):
    (tmp_path / "points.csv").write_text("1,40,30\nnose,50,20\n")
    text = rows_of(run("--points", "40,30;nose=50,20", out="text") / "points.csv")
    assert text == rows_of(run("--points", str(tmp_path / "points.csv"), out="file") / "points.csv")
    assert [row["name"] for row in text[:2]] == ["1", "nose"]
    assert len(rows_of(run("--points", "grid:2", "--end=1", out="grid") / "points.csv")) == 4
    (tmp_path / "boxes.csv").write_text("name,x,y,width,height\na,20,20,24,24\nb,5,6,12,12\n")
    text = rows_of(run("--box", "a=20,20,24,24;b=5,6,12,12", out="one") / "boxes.csv")
    assert text == rows_of(run("--box", "a=20,20,24,24", "--box", "b=5,6,12,12", out="two") / "boxes.csv")
    assert text == rows_of(run("--box", str(tmp_path / "boxes.csv"), out="table") / "boxes.csv")


def test_flags_reach_the_prediction(run):
    words = ["--start=2", "--end=8", "--every=2", "--no-overlay", "--protocol=crw", "--change", "radius=3", "topk=4"]
    out = run("--points", "40,30@4", *words)
    content = json.loads((out / "prediction.json").read_text())
    assert [row["frame"] for row in rows_of(out / "points.csv")] == ["00002", "00004", "00006"]
    assert content["protocol"]["name"].startswith("crw")
    assert (content["protocol"]["radius"], content["protocol"]["topk"]) == (3, 4)
    assert (content["stride"], content["complete"], (out / "overlay.mp4").exists()) == (4, True, False)
    assert "holds a prediction" in refusal("predict", content["video"], "--points=4,3", f"--output={out}")
    assert json.loads((run("--points=4,3", "--overwrite") / "prediction.json").read_text())["prompt"]["points"]


@pytest.mark.slow
def test_each_frame_is_followed_from_the_nearest_of_several_prompts(run, scene, tmp_path):
    for frame in (1, 6):
        Image.fromarray(scene[1][frame] * np.uint8(frame)).save(tmp_path / f"{frame}.png")
    words = [f"--mask={tmp_path / f'{frame}.png'}@{frame}" for frame in (6, 1)]
    together = masks_of(run(*words))
    early = masks_of(run(words[1], "--end=4", out="early"))
    late = masks_of(run(words[0], "--start=4", out="late"))
    assert len(together) == FRAMES
    assert all(map(np.array_equal, together, early + late))
    prompts = json.loads((tmp_path / "out" / "prediction.json").read_text())["prompt"]
    assert [prompt["frame"] for prompt in prompts] == [1, 6]
    boxes = rows_of(run("--box=20,20,24,24", "--box=30,20,24,24@6", out="boxes") / "boxes.csv")
    assert [boxes[t]["x"] for t in (0, 6)] == ["20.00", "30.00"]
    points = rows_of(run("--points=20,20", "--points=30,20@6", "--protocol=fomo", out="points") / "points.csv")
    assert [points[t]["x"] for t in (0, 6)] == ["20.000", "30.000"]


def test_a_checkpoint_is_a_network(folder, tmp_path):
    torch.manual_seed(1)
    write_checkpoint(FrozenEncoder("tests.helpers.encoders:TinyResNet"), tmp_path / "own.ckpt")
    words = ["--model", str(tmp_path / "own.ckpt"), "--allow=tests.helpers.encoders:TinyResNet"]
    main(["predict", str(folder / "frames"), "--box=20,20,24,24", f"--output={tmp_path / 'out'}", "--end=2", *words])
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (content["stage"], content["weights"]) == ("res5", "weights of own.ckpt")  # SiamFC's features for a box
    assert content["checkpoint"] == str(tmp_path / "own.ckpt")


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_stop_keeps_whole_frames_and_the_next_run_starts_over(run, monkeypatch, capsys, name, status):
    add = SequenceWriter.add

    def add_and_stop(record, *args):
        add(record, *args)
        if record.written == 3:
            os.kill(os.getpid(), getattr(signal, name))

    with monkeypatch.context() as patched:
        patched.setattr(SequenceWriter, "add", add_and_stop)
        with pytest.raises(SystemExit) as stopped:
            run("--points=40,30")
    assert stopped.value.code == status
    assert "the same command starts over" in capsys.readouterr().out
    out = run("--points=40,30")
    assert "an interrupted prediction, which now begins again" in capsys.readouterr().out
    assert len(rows_of(out / "points.csv")) == FRAMES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask=nowhere.png"], "nowhere.png: "),
        (["--box=1,2,3"], "expected 4 numbers, x,y,width,height"),
        (["--points=1,2,3"], "expected 2 numbers, x,y"),
        (["--points=nowhere.csv"], "nowhere.csv: "),
        (["--points=999,20"], "lies outside frame 0 of 130 × 96"),
        (["--points=1,2", "--every=0"], "expected an integer of at least 1, got '0'"),
        (["--points=1,2", "--short-side=0"], "expected an integer of at least 1, got '0'"),
        (["--points=1,2", "--protocol=nobody"], "unknown protocol 'nobody'"),
        (["--points=1,2", "--change", "radius"], "--change radius: write FIELD=VALUE"),
        (["--points=1,2", "--points=a=1,2;b=3,4@6"], "name the same points in each frame, not 1 and a, b"),
        (["--box=a=1,2,9,9", "--box=a=1,2,9,9@0"], "two prompts for frame 0; name all objects of a frame in one"),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(folder / "clip.mp4"), "--model=raw_colour", f"--output={tmp_path / 'out'}", *words])
    assert message in f"{ended.value.code} {capsys.readouterr().err}"
    assert not (tmp_path / "out").exists()


def test_texts_of_one_frame_are_one_prompt():
    prompts = read_prompts("box", ["1,2,3,4@7", "a=5,6,7,8", "9,9,9,9@7", "b=1,1,1,1"])
    assert [(prompt.frame, prompt.objects) for prompt in prompts] == [("7", ("1", "2")), (None, ("a", "b"))]
