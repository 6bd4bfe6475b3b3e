"""VideoDataModule: the batch, its draws, broken videos, validation, and exact resume under Lightning."""

import os
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.callbacks import LambdaCallback

from tests.helpers.faults import differences
from tests.helpers.numbered_videos import write_folder, write_video
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, quiet_trainer
from vidcorr.datamodules import VideoDataModule
from vidcorr.datamodules.loading.sampling import (
    CentreCrops,
    Continuous,
    FractionPairs,
    GapPairs,
    Looping,
    PairCrops,
    RandomCrops,
    WholeFrames,
    seeded_generator,
)
from vidcorr.functional.images import as_floats, prepared
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam
from vidcorr.videos.files import DataError
from vidcorr.videos.source import hashed_rank, list_videos

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
    data.setup()  # as without a Trainer
    return data


def batches(data, epoch=0):
    """The samples that a training loader yields in an epoch."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_samples_per_epoch_draws_from_all_frames_of_videos_that_can_be_opened(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="left out"):
        refused(DataError, f"{tmp_path}: no video can be opened", make, tmp_path, samples_per_epoch=4)
    write_folder(tmp_path / "short", 4)
    write_folder(tmp_path / "long", 36)
    with pytest.warns(UserWarning, match=r"left out: .*broken\.mp4: cannot be opened as a video"):
        data = make(tmp_path, samples_per_epoch=8)
    with pytest.warns(UserWarning, match="left out"):
        assert data._count_frames(range(3)) == [0, 36, 4]
    assert [batch["failures"] for batch in batches(data)] == [[], []]


def test_validation_videos_are_fixed_and_apart(videos, tmp_path):
    data = make(videos, validation_fraction=0.25, batch_size=2)
    validation = torch.cat([b["video_index"] for b in data.val_dataloader()]).tolist()
    training = {int(i) for batch in batches(data) for i in batch["video_index"]}
    assert len(validation) == 3
    assert training.isdisjoint(validation)
    assert len(training) == VIDEOS - 3
    moved = tmp_path / "moved"
    moved.symlink_to(videos)
    numbers = data.held_out.indices.tolist()
    assert numbers == [3, 5, 12]  # published runs left these out
    assert make(moved, validation_fraction=0.25).held_out.indices.tolist() == numbers
    assert len(make(videos, validation_fraction=0.001).held_out) == 1
    others = [make(videos, validation_fraction=0.25, seed=seed, repeat=3) for seed in range(1, 5)]
    assert any(other.held_out.indices.tolist() != numbers for other in others)
    assert [(each.training.seed, each.held_out.seed, len(each.training)) for each in others[:1]] == [(1, -2, 3 * 10)]


def test_a_loop_of_ones_own_sees_what_a_trainer_sees(videos):
    arguments = {"validation_fraction": 0.2, "colour": True}
    trained, seen = [], []
    note = LambdaCallback(on_train_batch_start=lambda trainer, module, batch, number: trained.append(batch))
    quiet_trainer(max_epochs=2, callbacks=[note]).fit(VFSSimSiam(**TINY), datamodule=make(videos, **arguments))
    data = make(videos, **arguments)
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        seen += [data.on_after_batch_transfer(batch, 0) for batch in loader]
    assert differences(trained, seen) == []
    assert differences(seen[: len(loader)], seen[len(loader) :])
    assert differences(batches(make(videos, seed=1)), batches(make(videos)))
    for others in (data.val_dataloader(), data.predict_dataloader()):
        batch = next(iter(others))
        assert torch.equal(data.on_after_batch_transfer(batch, 0)["clip"], batch["clip"].float().div(255))
    loader.colour = None
    assert differences([data.on_after_batch_transfer(batch, 0) for batch in loader], seen[-len(loader) :])
    assert trained[0]["clip"].dtype == torch.float32
    assert 0.5 < trained[0]["clip"].max() <= 1
    assert data.on_after_batch_transfer({}, 0) == {}  # of validation without videos


def by_the_module(data):
    return {"datamodule": data}


def by_the_loader(data):
    return {"train_dataloaders": data.train_dataloader()}


def by_another_module(data):
    other = LightningDataModule()
    other.train_dataloader = data.train_dataloader
    return {"datamodule": other}


def by_two_loaders(data):
    """One of them, in a dict; both have the same samples."""
    return {"train_dataloaders": {"first": data.train_dataloader()}}


@pytest.mark.parametrize("way", [by_the_loader, by_another_module, by_two_loaders, None])
@pytest.mark.parametrize("workers", [0, 1])
def test_clips_have_their_colours_whoever_hands_the_loader_over(way, workers, videos):
    """None: a loop of one's own that calls `step`."""
    found = []
    for each in (by_the_module, way):
        torch.manual_seed(0)
        module = VFSSimSiam(**TINY)
        module.configure_optimizers = lambda module=module: torch.optim.SGD(module.parameters(), 0.1)
        data = make(videos, colour=True, num_workers=workers)
        if each:
            quiet_trainer(max_steps=2).fit(module, **each(data))
        else:
            optimizer = module.configure_optimizers()
            for _, batch in zip(range(2), data.train_dataloader(), strict=False):
                optimizer.zero_grad()
                module.step(batch)["loss"].backward()
                optimizer.step()
                module.end_step()
        found.append(module.state_dict())
    assert differences(*found) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_colours_are_drawn_by_seed_epoch_batch_and_rank(rank, videos, monkeypatch):
    """Published runs drew by this key."""
    monkeypatch.setattr("vidcorr.datamodules.loading.loader.world_size_and_rank", lambda: (2, rank))
    data = make(videos, colour=True)
    loader = data.train_dataloader()
    for epoch, number, batch in ((epoch, *each) for epoch in range(2) for each in enumerate(loader)):
        generator = seeded_generator(data.seed, epoch, number, rank)
        expected = data.colour(as_floats(batch["clip"]).flatten(0, 1), generator)
        assert torch.equal(prepared(batch)["clip"].flatten(0, 1), expected)


def test_a_prediction_has_every_video_once_in_order_and_without_augmentation(videos):
    data = VideoDataModule(videos, 2, size=32, batch_size=4, num_workers=0, validation_fraction=0.2, colour=True)
    module = FrozenEncoder("raw_colour")
    found = torch.cat(quiet_trainer().predict(module, data))
    assert len(found) == VIDEOS
    read = list(data.predict_dataloader())
    assert torch.cat([batch["video_index"] for batch in read]).tolist() == list(range(VIDEOS))
    assert torch.equal(found[:4], module.predict_step(read[0]))
    assert prepared(read[0])["clip"].dtype == torch.float32  # without a loader of training


def test_a_hold_out_of_the_only_video_is_named(videos):
    for length in (None, 8):
        arguments = {"validation_fraction": 0.02, "samples_per_epoch": length}
        message = "0.mp4: validation holds out every video; .* set data.validation_fraction 0"
        refused(DataError, message, make, videos / "0.mp4", **arguments)
    VideoDataModule(videos / "0.mp4", num_workers=0).setup("validate")


def test_what_can_be_known_before_training(videos):
    for sampling in (GapPairs((4, 47)), FractionPairs(0.15)):
        line = f"frames 3: {type(sampling).__name__} draws a multiple of 2"
        refused(ValueError, line, VideoDataModule, videos, 3, sampling)
    refused(ValueError, "fraction must be", FractionPairs, 1.5)
    for fraction in (-0.5, 1.0):
        refused(ValueError, "validation_fraction", make, videos, validation_fraction=fraction)
    for crops in ({"area": (0.5, 0.2)}, {"local_area": (0.5, 0.2)}):
        refused(ValueError, "area", PairCrops, **crops)
    for area in ((0.5, 0.2), (0.0, 0.5), (0.5, 1.05)):
        refused(ValueError, "area must be two ascending fractions", RandomCrops, area=area)
    for crops in (RandomCrops, CentreCrops, WholeFrames):
        refused(ValueError, "filter must be one of 'area', 'bilinear'", crops, filter="cubic")
    refused(ValueError, "interval must be 0 or more frames", Continuous, [2, -1])
    refused(ValueError, "do not fit the interval", Continuous, [2, 4], [1.0])
    refused(ValueError, "gap must be the smallest and the largest", GapPairs, (9, 4))
    refused(ValueError, "kind", PairCrops, "other")
    refused(DataError, "data.source: give a folder of videos", VideoDataModule().setup, "fit")
    assert VideoDataModule().trained_videos() == make(videos, include_holdout=True).trained_videos() == set()
    for wrong in ({"crops": "whole"}, {"sampling": 4}):
        refused(TypeError, "must be callable", make, videos, **wrong)


def test_the_plan_counts_the_videos_whose_last_frame_repeats(videos, monkeypatch):
    """Of videos of 20 to 32 frames."""
    data = make(videos, sampling=Continuous([2, 9]))
    assert data.plan_row()[1].endswith("; 8 of 13 videos are shorter than 28 frames: their last repeats")
    monkeypatch.setattr("vidcorr.datamodules.video.LOOKED_AT", 5)
    assert "of the 5 videos looked at are shorter than 28 frames" in data.plan_row()[1]
    for other in (Continuous(6), Looping(9), GapPairs((4, 47))):
        assert make(videos, sampling=other).plan_row()[1].endswith("13 of " + str(videos) + ", 0 held out")


def test_several_sources_are_all_trained_on(videos, tmp_path, info_log):
    """A folder, a list, a video file and a path twice; benchmarks ask for the names of all."""
    some = tmp_path / "some"
    some.mkdir()
    for number in (0, 1):
        (some / f"{number}.mp4").symlink_to(videos / f"{number}.mp4")
    (tmp_path / "list.txt").write_text(f"{videos}/2.mp4\n{videos}/{VIDEOS - 1}\n")
    sources = [some, str(tmp_path / "list.txt"), videos / "3.mp4", videos / "2.mp4"]
    data = make(sources, batch_size=5)
    assert "1 folders of images are read as a video each; for separate images take" in info_log.text
    (batch,) = batches(data)
    names = {"0", "1", "2", "3", str(VIDEOS - 1)}
    assert {Path(data.videos[index].file).stem for index in batch["video_index"]} == names
    paths = {str(videos / f"{name}.mp4") for name in "0123"} | {str(videos / str(VIDEOS - 1))}
    assert data.trained_videos() == names | paths
    (tmp_path / "twice.txt").write_text(f"{videos}/2.mp4\n" * 2)
    assert len(make(tmp_path / "twice.txt").videos) == 2  # a list may weigh a video
    assert len(make([tmp_path / "twice.txt", videos / "2.mp4"]).videos) == 1
    with pytest.warns(UserWarning, match="replaced|TOO MANY") as told:
        data._count_replaced([f"{number}.mp4: broken" for number in range(5)])
    checks = ", ".join(f"`vidcorr check-data {source}`" for source in sources)
    assert f"see {checks}, and train on the clean.txt" in str(told[-1].message)
    message = f"{some}, {videos}/3.mp4: 3 samples do not fill a batch of 4"
    refused(DataError, message, make([some, videos / "3.mp4"]).train_dataloader)


@pytest.mark.parametrize("source", ["list.txt", "{}/list.txt", "../lists/list.txt", "{}/videos", "."])
def test_held_out_videos_are_chosen_by_their_path_from_the_source(source, tmp_path, monkeypatch):
    """However a line writes the path: the draw of an earlier training is that of a later one."""
    for name in ("a.mp4", "sub/b.mp4", "c 1.mp4"):
        (tmp_path / "lists/videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lists/videos" / name).touch()
    lines = ["videos/a.mp4", "./videos/sub/b.mp4", "videos/sub/../a.mp4", "../lists/videos//c 1.mp4"]
    (tmp_path / "lists/list.txt").write_text("\n".join([*lines, str(tmp_path / "lists/videos/a.mp4")]))
    monkeypatch.chdir(tmp_path / "lists")
    data = VideoDataModule(source.format(tmp_path / "lists"), frames=2, size=8, batch_size=1, seed=3)
    root = data.source.parent if data.source.is_file() else data.source
    for entry in list_videos(data.source).entries:
        assert data.hold_out_key(entry.file) == hashed_rank(3, os.path.relpath(entry.file, root))
        assert str(Path(entry.file)) == entry.file
