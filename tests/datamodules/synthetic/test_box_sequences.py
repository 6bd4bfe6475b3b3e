"""Synthetic sequences with boxes: exact, in the layouts of OTB and GOT-10k."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules import SyntheticTrackingDataModule
from datamodules.datasets import Otb
from datamodules.reading.boxes import read_boxes
from datamodules.synthetic import render_video, write_got10k, write_otb
from datamodules.synthetic.box_sequences import boxes_of

SMALL: dict[str, Any] = {"frames": 5, "size": (96, 128)}


def test_boxes_by_hand() -> None:
    masks = np.zeros((3, 6, 8), np.uint8)
    masks[0, 2:4, 1:6] = 2
    masks[1, 5, 7] = 2
    masks[2, 0, 0] = 1
    assert boxes_of(masks, 2).tolist() == [[2, 3, 5, 2], [8, 6, 1, 1], [8, 6, 1, 1]]


def test_otb_layout(tmp_path: Path) -> None:
    sequences = Otb(write_otb(tmp_path / "otb", 4, seed=2, **SMALL), version=None)
    assert [s.name for s in sequences] == [
        "Synthetic000",
        "Synthetic001",
        "Synthetic002-1",
        "Synthetic002-2",
        "Synthetic003",
    ]
    _, masks = render_video(2, 1, sprites=(2, 4), **SMALL)
    assert np.array_equal(sequences[1].boxes, boxes_of(masks, masks[0].max()))
    assert not np.array_equal(sequences[2].boxes, sequences[3].boxes)
    assert "\t" in (tmp_path / "otb/Synthetic001/groundtruth_rect.txt").read_text()
    assert sequences[0].frame(4).shape == (3, 96, 128)


def test_got10k_layout(tmp_path: Path) -> None:
    root = write_got10k(tmp_path / "got10k", 2, valid=1, **SMALL)
    assert (root / "train/list.txt").read_text().split() == ["GOT-10k_Train_000001", "GOT-10k_Train_000002"]
    folder = root / "val" / "GOT-10k_Val_000001"
    _, masks = render_video(0, 2, **SMALL)
    assert np.array_equal(read_boxes(folder / "groundtruth.txt"), boxes_of(masks, masks[0].max()))
    cover = [int(line) for line in (folder / "cover.label").read_text().split()]
    assert cover == [8 * int((mask == masks[0].max()).any()) for mask in masks]
    assert len(list(folder.glob("*.jpg"))) == 5


@pytest.mark.parametrize("write", [write_otb, write_got10k])
def test_camouflage_is_of_the_pixels_and_not_of_the_boxes(tmp_path: Path, write: Any) -> None:
    plain, hidden = (write(tmp_path / f"{value}", 3, camouflage=value, **SMALL) for value in (0.0, 1.0))
    files = sorted(path.relative_to(plain) for path in plain.rglob("*.*") if path.suffix in (".txt", ".label", ".jpg"))
    equal = {path: (plain / path).read_bytes() == (hidden / path).read_bytes() for path in files}
    assert {path.suffix for path, same in equal.items() if not same} == {".jpg"}
    assert not any(same for path, same in equal.items() if path.suffix == ".jpg")
    assert sum("groundtruth" in path.name for path in files) >= 3


def test_the_datamodule_makes_both_and_they_share_no_video(tmp_path: Path) -> None:
    data = SyntheticTrackingDataModule(
        tmp_path, 3, 1, 1, frames_per_video=4, video_size=160, batch_size=2, num_workers=0
    )
    data.prepare_data()
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["search"].shape == (2, 3, 239, 239)
    assert next(iter(data.val_dataloader()))["search"].shape == (1, 3, 239, 239)
    (sequence,) = Otb(tmp_path / "otb", version=None)
    trained_on = [read_boxes(path)[0].tolist() for path in (tmp_path / "got10k").glob("*/*/groundtruth.txt")]
    assert len(trained_on) == 4
    assert sequence.boxes[0].tolist() not in trained_on
    with pytest.raises(TypeError):
        SyntheticTrackingDataModule(tmp_path, source="elsewhere")
