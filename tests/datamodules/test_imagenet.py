"""Labelled pictures: classes, splits, the usual evaluation crop, draws that depend on nothing else.

Also tests `loading/labelled.py`.
"""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, PILToTensor, Resize

from tests.helpers.refusal import refused
from vidcorr.datamodules import ImageFolderDataModule
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.files import DataError


def write_noise(folder, count):
    """Write images 0.png, 1.png, …; their content depends on the folder's name."""
    images = np.random.default_rng([*folder.name.encode()]).integers(0, 256, (count, 40, 60, 3), dtype=np.uint8)
    write_frames(folder, images, [f"{index}.png" for index in range(count)])


@pytest.fixture
def folders(tmp_path):
    for name in ("cat", "dog"):
        write_noise(tmp_path / "train" / name, 5)
        write_noise(tmp_path / "val" / name, 3)
    return tmp_path


def images(folders, batch_size):
    data = ImageFolderDataModule(folders, size=16, resize=20, batch_size=batch_size, num_workers=0)
    data.setup()
    return data


def test_images_and_labels_and_the_crops_of_evaluation(folders):
    for name in (".hidden.png", "notes.txt"):
        shutil.copy(folders / "train" / "cat" / "1.png", folders / "train" / "cat" / name)
    data = images(folders, 4)
    assert len(data.training) == 10
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]
    assert data.classes == ["cat", "dog"]
    assert len(batches) == 2  # 10 pictures, incomplete batches left out
    assert batches[0]["image"].shape == (4, 3, 16, 16)
    assert batches[0]["image"].dtype == torch.float32
    assert 0.5 < batches[0]["image"].max() <= 1
    first, rest = data.val_dataloader()
    assert torch.cat([first["label"], rest["label"]]).tolist() == [0, 0, 0, 1, 1, 1]
    original = Image.open(folders / "val" / "dog" / "1.png")  # the usual resize and centre crop
    assert torch.equal(rest["image"][0], PILToTensor()(CenterCrop(16)(Resize(20)(original))))


def test_a_damaged_picture_is_replaced_in_training_alone_and_other_classes_and_sizes_are_refused(folders):
    data = images(folders, 10)
    whole = next(iter(data.train_dataloader()))
    damaged = folders / "train" / "dog" / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    batch = next(iter(data.train_dataloader()))
    assert batch["failures"]
    assert all(line.startswith(f"{damaged}: ") for line in batch["failures"])
    assert (batch["image"] != whole["image"]).flatten(1).any(1).sum() == 1
    shutil.copy(damaged, folders / "val" / "dog" / "2.png")
    refused(DataError, r"val/dog/2\.png", list, data.val_dataloader())
    write_noise(folders / "train" / "cow", 1)
    refused(DataError, "of the same classes", ImageFolderDataModule(folders).setup, "fit")
    refused(ValueError, "size 24 must be at most resize 20", ImageFolderDataModule, folders, size=24, resize=20)
    ImageFolderDataModule(folders, size=20, resize=20)
