"""Boxes carried through unlabelled videos, read back as GOT-10k's sequences."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks import signals
from callbacks.tools import pseudo_boxes as tool
from callbacks.tools.pseudo_boxes import MADE_FROM, box_of, command, draw_box, follow_box, pseudo_boxes
from datamodules import Got10kDataModule
from lightning_modules.backbones import build_feature_extractor


def moving_square(frames: int, hidden_from: int | None = None) -> list[torch.Tensor]:
    """A red square of 40 px that moves 4 px a frame over grey, and is gone from one frame on."""
    pictures = torch.full((frames, 3, 120, 160), 90, dtype=torch.uint8)
    for t in range(frames):
        if hidden_from is None or t < hidden_from:
            x, y = 20 + 4 * t, 30 + 2 * t
            pictures[t, :, y : y + 40, x : x + 40] = torch.tensor([220, 20, 20], dtype=torch.uint8)[:, None, None]
    return list(pictures)


def test_the_box_follows_its_target():
    boxes, cover = follow_box(build_feature_extractor("raw_colour"), moving_square(6), (20, 30, 40, 40), 120)
    truth = np.array([[20 + 4 * t, 30 + 2 * t, 40, 40] for t in range(6)])
    assert np.abs(boxes - truth).max() <= 8  # a cell
    assert (cover == 8).all()


def test_a_target_that_has_gone_is_marked_as_hidden():
    frames = moving_square(5, hidden_from=3)
    _, cover = follow_box(build_feature_extractor("raw_colour"), frames, (20, 30, 40, 40), 120)
    assert cover[:3].tolist() == [8, 8, 8]
    assert cover[4] == 0


def test_strays_do_not_widen_a_box():
    mask = np.zeros((100, 100), np.uint8)
    mask[20:40, 30:60] = 1
    mask[90, 95] = 1
    left, top, width, height, filled = box_of(mask)
    assert np.abs(np.array([left, top, width, height]) - (30, 20, 30, 20)).max() <= 2
    assert filled > 0.95
    assert box_of(np.zeros((4, 4), np.uint8)) == (0, 0, 0, 0, 0)


def test_drawn_boxes_lie_in_the_frame():
    boxes = np.array([draw_box((90, 160), np.random.default_rng(seed)) for seed in range(200)])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (160, 90)).all()
    assert boxes[:, 2:].min() >= 18
    assert boxes[:, 2:].max() <= 40
    assert len(np.unique(boxes[:, 0])) > 50


def still_video(folder, blue, frames=4, height=120):
    """A folder of equal frames, whose red and green tell the place, so that raw colour can follow any box."""
    folder.mkdir(parents=True)
    y, x = np.mgrid[:height, : height * 4 // 3]
    still = np.stack([x * 250 // x.max(), y * 250 // y.max(), np.full_like(x, blue)], axis=2).astype(np.uint8)
    for t in range(frames):
        Image.fromarray(still).save(folder / f"{t}.png")
    return folder


@pytest.fixture
def source(tmp_path):
    for number, name in enumerate(("a b/clip", "c/clip")):
        still_video(tmp_path / "videos" / name, 50 * number)
    return tmp_path / "videos"


def test_pairs_come_out_and_an_interrupted_call_resumes(source, tmp_path):
    extractor = build_feature_extractor("raw_colour")
    assert pseudo_boxes(extractor, source, tmp_path / "got", videos=1, frames=4).written == ["000000"]
    first = tmp_path / "got/train/000000/groundtruth.txt"
    before = first.stat().st_mtime_ns
    assert pseudo_boxes(extractor, source, tmp_path / "got", frames=4) == (["000000", "000001"], [], [])
    assert first.stat().st_mtime_ns == before
    data = Got10kDataModule(tmp_path / "got", batch_size=2, num_workers=0)
    data.setup("fit")
    sample = data.train_dataloader().dataset[0]
    assert sample["exemplar"].shape == (3, 120, 120)
    assert sample["failures"] == []
    with pytest.raises(ValueError, match="2 frames"):
        pseudo_boxes(extractor, source, tmp_path / "other", frames=1)
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        pseudo_boxes(extractor, source, tmp_path / "other", seed=-1)
    assert not (tmp_path / "other").exists()


def test_a_signal_ends_it_and_nothing_half_done_is_left(source, tmp_path, monkeypatch, capsys):
    make = tool._make

    def interrupted(extractor, video, folder, *settings):
        if folder.name == "000001":
            os.kill(os.getpid(), signal.SIGINT)
        make(extractor, video, folder, *settings)

    words = [str(source), str(tmp_path / "got"), "--model", "raw_colour", "--frames", "4"]
    with monkeypatch.context() as patch:
        patch.setattr(tool, "_make", interrupted)
        with pytest.raises(signals.Stopped):
            command(words)
    assert "run the same command again to resume" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "got/train").iterdir()] == ["000000"]
    command(words)
    assert "2 sequences; train with" in capsys.readouterr().out


def test_an_output_of_another_make_is_refused(source, tmp_path):
    """It would keep the sequences that are there, and so mix two kinds or repeat the first one."""
    extractor, got = build_feature_extractor("raw_colour"), tmp_path / "got"
    with pytest.raises(ValueError, match="short_side must be at least 1 px"):
        pseudo_boxes(extractor, source, got, frames=4, short_side=0)
    pseudo_boxes(extractor, source, got, frames=4)  # nothing had been made
    pseudo_boxes(extractor, source, got, frames=4, videos=1)  # fewer of the same
    assert (got / "train/list.txt").read_text() == "000000\n"
    for change, named in (({"frames": 3}, "frames"), ({"seed": 1}, "seed"), ({"short_side": 64}, "short_side")):
        with pytest.raises(ValueError, match=rf"got: was made from something else \({named}\); give another folder"):
            pseudo_boxes(extractor, source, got, **({"frames": 4} | change))
    with pytest.raises(ValueError, match=r"something else \(network\)"):
        pseudo_boxes(build_feature_extractor("torchvision:resnet18"), source, got, frames=4)
    still_video(source / "a/first", 3)
    with pytest.raises(ValueError, match=r"something else \(videos\)"):
        pseudo_boxes(extractor, source, got, frames=4)
    (got / MADE_FROM).write_text("[]")
    with pytest.raises(ValueError, match=r"pseudo_boxes\.json: is damaged"):
        pseudo_boxes(extractor, source, got, frames=4)
    (got / MADE_FROM).unlink()  # as the folder of GOT-10k itself, whose list.txt must stay
    with pytest.raises(ValueError, match="train: holds what pseudo-boxes did not make"):
        pseudo_boxes(extractor, source, got, frames=4)
    with pytest.raises(ValueError, match="pairs: lies in the source"):
        pseudo_boxes(extractor, source, source / "pairs", frames=4)


def test_a_video_that_cannot_be_read_is_left_out(source, tmp_path, capsys):
    (source / "b.mp4").write_bytes(b"no video")
    words = [str(source), str(tmp_path / "my pairs"), "--model", "raw_colour", "--frames", "4"]
    with pytest.warns(UserWarning, match=r"left out: .*b\.mp4"):
        command(words)
    assert "2 sequences, 1 videos left out; train with" in (said := capsys.readouterr().out)
    assert said.endswith("my pairs'\n")
    assert (tmp_path / "my pairs/train/list.txt").read_text() == "000000\n000002\n"
    shutil.rmtree(source / "c")
    shutil.rmtree(source / "a b")
    with pytest.warns(UserWarning, match="left out"), pytest.raises(ValueError, match="none of 1 videos can be read"):
        pseudo_boxes(build_feature_extractor("raw_colour"), source, tmp_path / "none", frames=4)


def test_a_video_that_is_too_small_is_left_out(source, tmp_path):
    still_video(source / "b", 0, height=24)
    with pytest.warns(UserWarning, match=r"left out: .*b: is 32 x 24 px; both sides must have 32 for these features"):
        found = pseudo_boxes(build_feature_extractor("raw_colour"), source, tmp_path / "got", frames=4)
    assert found == (["000000", "000002"], [], [source / "b"])


def test_sequences_that_give_no_pair_are_counted(tmp_path, capsys):
    """Boxes of at most 0.45 · 40 px are smaller than the 20 px that the fine-tune takes."""
    still_video(tmp_path / "videos/small", 0, height=40)
    still_video(tmp_path / "videos/usual", 0)
    command([str(tmp_path / "videos"), str(tmp_path / "got"), "--model", "raw_colour", "--frames", "4"])
    assert "2 sequences, 1 of them without two usable boxes" in capsys.readouterr().out
