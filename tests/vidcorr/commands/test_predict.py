"""`vidcorr predict`: flags, stops, and what is refused in one line."""

import json
import os
import signal

import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.runs import rows_of
from tests.helpers.saved import write_checkpoint
from tests.helpers.sprite import read_masks
from vidcorr import FrameStream, MaskPrompt, follow
from vidcorr.cli import main
from vidcorr.lightning_modules import FrozenEncoder
from vidcorr.tracking.follow import results_of
from vidcorr.videos.masks import davis_palette, write_ids


@pytest.fixture
def run(folder, tmp_path):
    """Run the command on the clip, and return its folder."""

    def predict(*words, out="out"):
        main(["predict", str(folder / "clip.mp4"), "--model=raw_colour@colour/4", f"--output={tmp_path / out}", *words])
        return tmp_path / out

    return predict


def test_flags_reach_the_prediction(run, tmp_path):
    words = ["--start=2", "--end=6", "--no-overlay", "--short-side=64", "--protocol=crw+radius=3+topk=4"]
    out = run("--points", "40,30", "50,20", *words)
    content = json.loads((out / "prediction.json").read_text())
    assert [row["frame"] for row in rows_of(out, "points.csv")[::2]] == ["00002", "00003", "00004", "00005"]
    assert content["protocol"]["name"].startswith("crw")
    assert (content["protocol"]["radius"], content["protocol"]["topk"]) == (3, 4)
    assert (content["stride"], content["short_side"], (out / "overlay.mp4").exists()) == (4, 64, False)
    (tmp_path / "p.csv").write_text("frame,point,x,y\n2,nose,40,30\n")
    again = run(f"--points={tmp_path / 'p.csv'}", "--start=2", "--end=3", out="again")
    assert json.loads((again / "prediction.json").read_text())["prompts"][0]["points"] == {"nose": [40, 30]}


def test_masks_of_several_frames_are_those_of_follow(folder, scene, tmp_path, monkeypatch):
    (tmp_path / "from1").mkdir()
    for t, path in enumerate(sorted((folder / "frames").iterdir()), start=1):  # as by `ffmpeg … %03d.png`
        (tmp_path / "from1" / f"{t:03d}{path.suffix}").symlink_to(path)
    for t in (0, 4):
        write_ids(tmp_path / f"m{t}.png", scene[1][t], davis_palette())
    asked = ["predict", str(tmp_path / "from1"), "--model=raw_colour@colour/8", "--protocol=crw"]
    main([*asked, f"--output={tmp_path / 'out'}", "--mask", f"{tmp_path / 'm0.png'}@1", f"{tmp_path / 'm4.png'}@5"])
    prompts = {t: MaskPrompt.of(scene[1][t]) for t in (0, 4)}
    wanted = [ids for _, ids in follow("raw_colour@colour/8", folder / "frames", prompts, "crw")]
    assert torch.equal(read_masks(tmp_path / "out" / "masks"), torch.stack(wanted))
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    images = [f"00{number}{path.suffix}" for number in (1, 5)]
    assert [(prompt["frame"], prompt["image"]) for prompt in content["prompts"]] == [(0, images[0]), (4, images[1])]
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p.csv").write_text("frame,point,x,y\n3,a,10,12\n")
    main([*asked, "--output=~/points", "--points=~/p.csv"])
    first = rows_of(tmp_path / "points", "points.csv")[0]
    assert (first["frame"], first["x"], first["y"]) == ("00003", "10.0000", "12.0000")


def test_a_checkpoint_is_a_network(folder, tmp_path):
    torch.manual_seed(1)
    write_checkpoint(FrozenEncoder("tests.helpers.encoders:TinyResNet"), tmp_path / "own.ckpt")
    words = ["--model", str(tmp_path / "own.ckpt")]
    main(["predict", str(folder / "frames"), "--box=20,20,24,24", f"--output={tmp_path / 'out'}", "--end=2", *words])
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (content["stage"], content["weights"]) == ("res5", "weights of own.ckpt")  # SiamFC's features for a box
    assert content["checkpoint"] == str(tmp_path / "own.ckpt")


def test_a_stop_keeps_whole_frames(run, tmp_path, monkeypatch, capsys):
    def followed_and_stopped(*args):
        for t, item in enumerate(results_of(*args)):
            if t == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield item

    monkeypatch.setattr("vidcorr.tracking.video_prediction.results_of", followed_and_stopped)
    refused(SystemExit, "^143$", run, "--points=40,30")
    assert "out: the frames so far are kept" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "out", "points.csv")) == 3
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["complete"] is False
    assert FrameStream(tmp_path / "out" / "overlay.mp4").num_frames == 3
