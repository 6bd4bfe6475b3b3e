"""`vidcorr predict`: flags, stops, and what is refused in one line."""

import json
import os
import signal
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.runs import rows_of
from tests.helpers.saved import write_checkpoint
from tests.helpers.sprite import read_masks
from tests.helpers.words import refusal
from vidcorr import FrameStream, MaskPrompt, follow
from vidcorr.cli import main
from vidcorr.lightning_modules import FrozenEncoder
from vidcorr.tracking.follow import follow_with_doubts
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
    said = refusal("predict", content["video"], "--points=4,3", f"--output={out}")
    assert "holds the prediction of another part; name another" in said
    assert "--left: names objects of --mask" in refusal("predict", content["video"], "--points=4,3", "--left=1@4")
    (tmp_path / "p.csv").write_text("frame,point,x,y\n2,nose,40,30\n")
    again = run(f"--points={tmp_path / 'p.csv'}", "--start=2", "--end=3", out="again")
    assert json.loads((again / "prediction.json").read_text())["prompts"][0]["points"] == {"nose": [40, 30]}


def test_masks_of_several_frames_and_a_correction_in_the_same_folder(folder, scene, tmp_path, capsys):
    for t in (0, 4, 9):
        write_ids(tmp_path / f"m{t}.png", scene[1][t], davis_palette())
    asked = ["predict", str(folder / "frames"), f"--output={tmp_path / 'out'}"]
    by = ["--model=raw_colour@colour/8", "--protocol=crw"]

    def predict(*words):
        main([*asked, *by, *words])
        return read_masks(tmp_path / "out" / "masks")

    def expected(*frames):
        prompts = {t: MaskPrompt.of(scene[1][t]) for t in frames}
        return torch.stack([ids for _, ids in follow("raw_colour@colour/8", folder / "frames", prompts, "crw")])

    of_two = ["--mask", f"{tmp_path / 'm0.png'}", f"{tmp_path / 'm9.png'}@9"]
    assert torch.equal(predict("--as", "png", "coco", "--no-overlay", *of_two), expected(0, 9))
    said = capsys.readouterr().out
    assert "masks of frames 0 (m0.png), 9 (m9.png); objects 1\n" in said
    assert "10 frames, " in said
    corrected = expected(0, 4, 9)
    assert torch.equal(predict("--no-overlay", "--mask", f"{tmp_path / 'm4.png'}@4"), corrected)  # it is added
    assert torch.equal(predict("--no-overlay", "--mask", f"{tmp_path / 'out/masks/004.png'}"), corrected)  # by its name
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert [prompt["frame"] for prompt in content["prompts"]] == [0, 4, 9]
    assert content["between_prompts"] == "blended by distance"
    assert len(json.loads((tmp_path / "out" / "coco.json").read_text())["images"]) == 10
    before = predict("--mask", f"{tmp_path / 'm4.png'}@6")
    write_ids(tmp_path / "none.png", np.zeros_like(scene[1][0]), davis_palette())
    ended = predict("--no-overlay", "--mask", f"{tmp_path / 'none.png'}@8")
    assert not ended[8].any()
    assert torch.equal(ended[:6], before[:6])
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())  # is written again, though not asked for again
    images = {annotation["image_id"] for annotation in coco["annotations"]}
    assert images == {t + 1 for t in range(10) if ended[t].any()}
    assert not (tmp_path / "out" / "overlay.mp4").exists()
    assert "another protocol" in refusal(*asked, "--mask", f"{tmp_path / 'm4.png'}@4", "--protocol=vfs")
    assert "another protocol" in refusal(*asked, by[0], "--points=4,3", "--protocol=vidcorr")
    lines = {
        "1@5": "expected ID@FRAME with a frame of --mask",
        "1@4": "object 1 cannot have left: this mask has pixels of it",
        **dict.fromkeys(["2@4", "0@4", "300@4"], "cannot have left: the objects are 1"),
    }
    for word, line in lines.items():
        assert line in refusal(*asked, *by, "--mask", f"{tmp_path / 'm4.png'}@4", "--left", word)


def test_an_address_is_followed_as_its_file_is(folder, run, tmp_path, monkeypatch):
    """A camera is opened in the same way, by FFmpeg's Video4Linux."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *asked):
            super().__init__(*asked, directory=folder)

        def log_message(self, *_):
            pass

    expected = rows_of(run("--points=40,30", "--start=2", "--end=6"), "points.csv")
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/clip.mp4"
        words = ["--model=raw_colour@colour/4", f"--output={tmp_path / 'live'}"]
        main(["predict", address, *words, "--points=40,30", "--start=2", "--end=6"])
        assert rows_of(tmp_path / "live", "points.csv") == expected
        assert json.loads((tmp_path / "live" / "prediction.json").read_text())["video"] == address
        write_ids(tmp_path / "m.png", np.ones((96, 130), np.uint8), davis_palette())
        later = f"--mask={tmp_path / 'm.png'}@4"
        assert "an iterator is read once" in refusal("predict", address, later, f"--output={tmp_path / 'later'}")
        assert "cannot be opened" in refusal("predict", f"{address}4", "--points=40,30")
        server.shutdown()


def test_a_checkpoint_is_a_network(folder, tmp_path):
    torch.manual_seed(1)
    write_checkpoint(FrozenEncoder("tests.helpers.encoders:TinyResNet"), tmp_path / "own.ckpt")
    words = ["--model", str(tmp_path / "own.ckpt"), "--allow=tests.helpers.encoders:TinyResNet"]
    main(["predict", str(folder / "frames"), "--box=20,20,24,24", f"--output={tmp_path / 'out'}", "--end=2", *words])
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (content["stage"], content["weights"]) == ("res5", "weights of own.ckpt")  # SiamFC's features for a box
    assert content["checkpoint"] == str(tmp_path / "own.ckpt")


def test_a_stop_keeps_whole_frames(run, tmp_path, monkeypatch, capsys):
    def followed_and_stopped(*args, **options):
        for t, item in enumerate(follow_with_doubts(*args, **options)):
            if t == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield item

    monkeypatch.setattr("vidcorr.tracking.predict.follow_with_doubts", followed_and_stopped)
    refused(SystemExit, "^143$", run, "--points=40,30")
    assert "out: the frames so far and the prompts are kept; the same command begins" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "out", "points.csv")) == 3
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["complete"] is False
    assert FrameStream(tmp_path / "out" / "overlay.mp4").num_frames == 3
