"""VideoDataModule: the batch, its draws, broken videos, validation, and exact resume under Lightning."""

import json

import pytest
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning.demos.boring_classes import BoringModel

from datamodules import ImageClipDataModule, VideoDataModule
from datamodules.loading.sampling import Continuous, PairCrops, RandomCrops, WholeFrames
from tests.helpers.numbered_videos import read_number, write_folder, write_video
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.videos.files import DataError

VIDEOS = 13


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """13 videos of 20 to 32 frames, one of them a folder."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(VIDEOS - 1):
        write_video(root / f"{i}.mp4", 20 + i, video=i, options={"g": "12"})
    write_folder(root / f"{VIDEOS - 1}", 32, video=VIDEOS - 1)
    return root


def make(source, **arguments):
    defaults = {"frames": 4, "size": 32, "batch_size": 4, "num_workers": 0, "validation_fraction": 0.0}
    data = VideoDataModule(source, **(defaults | arguments))
    data.setup("fit")
    return data


def batches(data, epoch=0):
    """The samples that a training loader yields in an epoch."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(one, two):
    return len(one) == len(two) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a if key != "failures")
        for a, b in zip(one, two, strict=True)
    )


class Toy(BoringModel):
    """Remembers what it was trained on."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch))
        return (self.layer.weight * batch["clip"].mean()).sum()

    def validation_step(self, batch, batch_idx):
        pass


def test_the_batch(videos):
    data = make(videos, crops=WholeFrames(), size=160)
    seen = batches(data)
    assert len(seen) == VIDEOS // 4
    kinds = {"clip": ((4, 4, 3, 160, 160), torch.uint8), "video_index": ((4,), torch.int64)}
    kinds["frame_index"] = (4, 4), torch.int64
    for batch in seen:
        assert batch.pop("failures") == []
        assert {name: (tuple(value.shape), value.dtype) for name, value in batch.items()} == kinds
        for clip, video, frames in zip(batch["clip"], batch["video_index"], batch["frame_index"], strict=True):
            pictures = clip.permute(0, 2, 3, 1).numpy()
            assert [read_number(p) for p in pictures] == frames.tolist()
            assert [read_number(p, row=1) for p in pictures] == [video] * 4
            assert (frames.diff() > 0).all()


def test_draws_are_a_function_of_seed_and_epoch(videos):
    """For any number of workers: loading/test_loader.py."""
    data = make(videos)
    first, again, second = batches(data), batches(make(videos)), batches(data, epoch=1)
    assert same(first, again)
    assert not same(first, second)
    assert not same(first, batches(make(videos, seed=1)))


def test_samples_per_epoch_draws_from_all_frames_of_videos_that_can_be_opened(tmp_path):
    write_folder(tmp_path / "short", 4)
    write_folder(tmp_path / "long", 36)
    data = make(tmp_path, samples_per_epoch=80, frames=1, sampling=Continuous(8), batch_size=40)
    seen = batches(data)
    assert len(seen) == 2
    assert 0.8 < torch.cat([b["video_index"] for b in seen]).eq(0).float().mean() < 0.98  # "long" comes first
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"left out: .*broken\.mp4: cannot be opened as a video"):
        data = make(tmp_path, samples_per_epoch=8)
    assert not any(batch["failures"] for batch in batches(data))


def test_validation_videos_are_fixed_and_apart(videos, tmp_path):
    data = make(videos, validation_fraction=0.25, batch_size=2)
    validation = torch.cat([b["video_index"] for b in data.val_dataloader()]).tolist()
    training = {int(i) for batch in batches(data) for i in batch["video_index"]}
    assert len(validation) == 3
    assert training.isdisjoint(validation)
    assert len(training) == VIDEOS - 3
    again = make(videos, validation_fraction=0.25, batch_size=2)
    assert same(list(data.val_dataloader()), list(again.val_dataloader()))
    moved = tmp_path / "moved"
    moved.symlink_to(videos)
    numbers = data.held_out.indices.tolist()
    assert make(moved, validation_fraction=0.25).held_out.indices.tolist() == numbers
    assert len(make(videos, validation_fraction=0.001).held_out) == 1
    assert any(make(videos, validation_fraction=0.25, seed=k).held_out.indices.tolist() != numbers for k in range(1, 5))


def test_a_broken_video_is_replaced(videos, tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.mp4").symlink_to(videos / f"{i}.mp4")
    (tmp_path / "broken file.mp4").write_bytes((videos / "7.mp4").read_bytes()[:1000])
    data = make(tmp_path, batch_size=7)
    (batch,) = batches(data)
    assert len(batch["failures"]) >= 1
    assert all(line.startswith(f"{tmp_path}/broken file.mp4: ") for line in batch["failures"])
    assert batch["clip"].shape[0] == 7
    assert same([batch], batches(make(tmp_path, batch_size=7)))


def test_a_loop_of_ones_own_sees_what_a_trainer_sees(videos):
    model = Toy()
    arguments = {"validation_fraction": 0.2, "colour": True}
    quiet_trainer(max_epochs=2).fit(model, datamodule=make(videos, **arguments))
    data = make(videos, **arguments)
    loader = data.train_dataloader()
    seen = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            seen.append(data.on_after_batch_transfer(batch, 0))
    for (_, _, expected), got in zip(model.seen, seen, strict=True):
        assert expected["clip"].dtype == torch.float32
        assert expected["clip"].max() <= 1
        assert torch.equal(expected["clip"], got["clip"])
    (batch,) = data.val_dataloader()
    held_out = data.on_after_batch_transfer(batch, 0)["clip"]
    assert torch.equal(held_out, batch["clip"].float().div(255))  # no colours


def test_what_can_be_known_before_training(videos):
    refused(ValueError, "validation_fraction", make, videos, validation_fraction=-0.5)
    refused(ValueError, "interval", Continuous, [2, -1])
    refused(ValueError, r"weights \[1.0\] do not fit the interval \[2, 4\]", Continuous, [2, 4], [1.0])
    for crops in (RandomCrops, PairCrops):
        refused(ValueError, "area", crops, area=(0.5, 0.2))
    for wrong in ({"crops": "whole"}, {"sampling": 4}):
        refused(TypeError, "must be callable", make, videos, **wrong)


def test_several_sources_are_all_trained_on(videos, tmp_path):
    """A folder, a list, a video file and a path twice; benchmarks ask for the names of all."""
    some = tmp_path / "some"
    some.mkdir()
    for number in (0, 1):
        (some / f"{number}.mp4").symlink_to(videos / f"{number}.mp4")
    (tmp_path / "list.txt").write_text(f"{videos}/2.mp4\n{videos}/{VIDEOS - 1}\n")
    sources = [some, str(tmp_path / "list.txt"), videos / "3.mp4", videos / "2.mp4"]
    data = make(sources, batch_size=5)
    (batch,) = batches(data)
    names = {"0", "1", "2", "3", str(VIDEOS - 1)}
    assert {data.videos[index].path.stem for index in batch["video_index"]} == names
    assert data.trained_videos() == names
    data.max_unusable = 0
    with pytest.warns(UserWarning, match="replaced|TOO MANY") as told:
        data.on_after_batch_transfer({"failures": [f"{number}.mp4: broken" for number in range(5)]}, 0)
    checks = ", ".join(f"`vidcorr check-data {source}`" for source in sources)
    assert f"see {checks}, and train on the clean.txt" in str(told[-1].message)
    message = f"{some}, {videos}/3.mp4: 3 samples do not fill a batch of 4"
    refused(DataError, message, make([some, videos / "3.mp4"]).train_dataloader)


@pytest.mark.parametrize("given", ["videos", ["some", "list.txt", "a.mp4"]])
@pytest.mark.parametrize("kind", [VideoDataModule, ImageClipDataModule])
def test_sources_of_a_config_arrive_as_they_are(kind, given):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "data")
    word = given if isinstance(given, str) else json.dumps(given)
    data = parser.instantiate(parser.parse_args([f"--data.source={word}"])).data
    assert [str(path) for path in data.sources] == ([given] if isinstance(given, str) else given)
