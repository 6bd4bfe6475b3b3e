"""OTB as distributed, with its odd sequences."""

from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import torch

from tests.helpers.refusal import refused
from vidcorr.datasets import Otb, otb
from vidcorr.datasets.generated.writers import write_text
from vidcorr.videos.files import DataError, DecodingError

JPEG = cv2.imencode(".jpg", np.zeros((6, 8, 3), np.uint8))[1].tobytes()


def write(root, name, frames, boxes=None, suffix=""):
    """A sequence whose box in frame t is t, 1, 2, 2."""
    path = root / name / f"groundtruth_rect{suffix}.txt"
    images = path.parent / "img"
    images.mkdir(parents=True, exist_ok=True)
    for t in range(frames):
        (images / f"{t + 1:04d}.jpg").write_bytes(JPEG)
    write_text(path, [f"{t + 1},1,2,2" for t in range(frames if boxes is None else boxes)])
    return path


def test_sequences_of_otb_are_read_as_they_are(real_data):
    crossing, freeman, man = Otb(real_data("otb"), version=None)
    lengths = {"Crossing": 120, "Freeman1": 326, "Man": 134}
    assert {s.name: s.num_frames for s in (crossing, freeman, man)} == lengths
    assert crossing.boxes[0].tolist() == [205, 151, 17, 50]
    assert man.frame(0).shape == (3, 193, 241) == (3, *man.size)
    grey = freeman.frame(5)
    assert grey.dtype == torch.uint8
    assert torch.equal(grey[0], grey[2])
    assert grey.permute(1, 2, 0).is_contiguous()


def test_two_targets_of_a_video_are_two_sequences(tmp_path):
    for number in (1, 2):
        write(tmp_path, "Jogging", 3, suffix=f".{number}")
    write(tmp_path, "Human4", 3, boxes=0, suffix=".1")
    write(tmp_path, "Human4", 3, suffix=".2")
    assert [s.name for s in Otb(tmp_path, None)] == ["Human4-2", "Jogging-1", "Jogging-2"]


ANNOTATED = {"David": (300, 770), "Football1": (1, 74), "Freeman3": (1, 460), "Freeman4": (1, 283), "Diving": (1, 215)}


def test_parts_of_sequences(monkeypatch):
    monkeypatch.setattr(otb, "list_images", lambda folder: tuple(Path(f"{t}.jpg") for t in range(1, 901)))
    monkeypatch.setattr(otb, "image_size", Mock())
    for name, (first, last) in ANNOTATED.items():
        monkeypatch.setattr(otb, "read_boxes", Mock(return_value=np.ones((last + 1 - first, 4))))
        frames = otb._sequence(name, Path(name, "groundtruth_rect.txt")).frames
        assert (frames[0].stem, frames[-1].stem) == (str(first), str(last))


def test_a_frame_of_another_size_is_refused(tmp_path):
    write(tmp_path, "Crossing", 3)
    (sequence,) = Otb(tmp_path, None)
    cv2.imwrite(str(sequence.frames[1]), np.zeros((6, 9, 3), np.uint8))
    refused(DecodingError, r"0002\.jpg: is 9 × 6 px, other frames 8 × 6 px", sequence.frame, 1)


def test_missing_sequences_are_counted(tmp_path):
    write(tmp_path, "Crossing", 3)
    refused(DataError, "99 of 100 sequences are missing, such as Basketball; version=None", Otb, tmp_path)


def test_folders_that_are_no_otb_are_refused(tmp_path):
    assert refused(DataError, "no sequence; expected", Otb, tmp_path, None)
    path = write(tmp_path, "Crossing", 3, boxes=0)
    assert refused(DataError, r"Crossing: no groundtruth_rect\.txt with boxes", Otb, tmp_path, None)
    path = write(tmp_path, "Crossing", 3, boxes=2)
    assert refused(DataError, "2 boxes for 3 frames", Otb, tmp_path, None)
    for first in ("1,1,0,4", "1,1,4,0", "1,nan,4,4"):
        path.write_text(f"{first}\n" + "1,1,2,2\n" * 2)
        assert refused(DataError, r"first box is \[1\.0, .*; it must have a width and a height", Otb, tmp_path, None)
