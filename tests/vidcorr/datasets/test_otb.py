"""Parts of OTB's sequences that are annotated; what else is read and refused: test_changed_sets.py."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np

from tests.helpers.refusal import refused
from vidcorr.datasets import otb
from vidcorr.videos.files import DataError

ANNOTATED = {"David": (300, 770), "Football1": (1, 74), "Freeman3": (1, 460), "Freeman4": (1, 283), "Diving": (1, 215)}


def test_parts_of_sequences(monkeypatch, tmp_path):
    refused(DataError, "no sequence; expected", otb.Otb, tmp_path, None)
    monkeypatch.setattr(otb, "list_images", lambda folder: tuple(Path(f"{t}.jpg") for t in range(1, 901)))
    monkeypatch.setattr(otb, "image_size", Mock())
    for name, (first, last) in ANNOTATED.items():
        monkeypatch.setattr(otb, "read_boxes", Mock(return_value=np.ones((last + 1 - first, 4))))
        frames = otb._sequence(name, Path(name, "groundtruth_rect.txt")).frames
        assert (frames[0].stem, frames[-1].stem) == (str(first), str(last))
