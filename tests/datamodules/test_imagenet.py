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
from vidcorr.datamodules import ImageFolderDataModule, VideoFrameDataModule
from vidcorr.datamodules.loading.labelled import resize_center_crop
from vidcorr.datamodules.loading.sampling import seeded_generator
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.files import DataError
from vidcorr.videos.images import read_image


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


@pytest.fixture
def videos(tmp_path):
    for name in ("run", "sit", "walk"):
        for video in range(6):
            write_noise(tmp_path / name / f"video{video}", 5)
    return tmp_path


def samples(data):
    return [(data.path(item), int(label)) for item, label in enumerate(data.labels)]


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


def test_videos_are_split_within_each_class(videos):
    def made(fraction=0.34, **arguments):
        data = VideoFrameDataModule(videos, fraction, size=16, resize=20, batch_size=4, num_workers=0, **arguments)
        data.setup("fit")
        return data

    data = made()
    assert data.classes == ["run", "sit", "walk"]
    assert len(data.training) == 3 * 4
    training, held_out = samples(data.training), samples(data.held_out)
    assert sorted(label for _, label in held_out) == [0, 0, 1, 1, 2, 2]
    assert [len(made(fraction).held_out) for fraction in (0.0, 1.0)] == [3, 15]  # at least one on both sides
    assert not {*training} & {*held_out}
    assert all(data.classes[label] in path.parts for path, label in training)
    assert samples(made().held_out) == held_out
    assert samples(made(seed=1).held_out) != held_out
    middle = resize_center_crop([read_image(held_out[0][0] / "2.png")], None, 20, 16)[0]
    assert torch.equal(data.held_out[0, 0]["image"], middle)
    for epoch in range(2):
        assert data.training[epoch, 0]["image"].shape == (3, 16, 16)
    seeds = [made(seed=3).training.draws((1, 2), attempt).initial_seed() for attempt in (0, 4)]
    assert seeds == [seeded_generator(*key).initial_seed() for key in ((3, 1, 2), (3, 1, 2, 4))]


def test_video_sets_that_cannot_be_split_are_refused(tmp_path):
    messages = {"run": "only one class, run", "sit": "at least 2 per class", "": "lies in no folder of a class"}
    for folder, message in messages.items():
        write_noise(tmp_path / folder / "clip", 2)
        assert refused(DataError, message, VideoFrameDataModule(tmp_path).setup, "fit")


def test_a_list_gives_classes_by_its_labels_and_what_has_none_is_refused(videos):
    lines = [*(f"walk/video{i}" for i in range(6)), "sit/video0", "sit/video1"]
    (videos / "list.txt").write_text("".join(f"{line} {10 - line.count('w')}\n" for line in [*lines, lines[0]]))
    data = VideoFrameDataModule(videos / "list.txt", size=16, resize=20)
    data.setup()
    assert data.classes == ["9", "10"]
    pairs = samples(data.training)
    assert sorted((path.parent.name, label) for path, label in pairs) == [("sit", 1)] + [("walk", 0)] * 5
    (videos / "plain.txt").write_text("\n".join(lines))
    plain = VideoFrameDataModule(videos / "plain.txt")
    refused(DataError, "the list has no labels; add a class number to each line", plain.setup, "fit")


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
    assert ImageFolderDataModule(folders, size=20, resize=20).size == 20
