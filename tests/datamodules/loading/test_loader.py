"""Order and place: functions of (seed, epoch), the same for any number of workers, disjoint over ranks."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.utilities import CombinedLoader
from torch._utils import ExceptionWrapper
from torch.utils.data import BatchSampler, DataLoader

from datamodules.loading.clips import ClipDataset, ReplacingDataset, SkippedVideos
from datamodules.loading.loader import (
    ResumableLoader,
    SampledDataModule,
    SteadyLoader,
    start_worker,
)
from datamodules.loading.samplers import ClipSampler, FixedSampler
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.videos.files import DataError, DecodingError
from vidcorr.videos.source import list_videos


class Echo(ReplacingDataset):
    """Gives back the keys."""

    def __init__(self, length):
        super().__init__([""] * length, length, seed=0)

    def __getitem__(self, key):
        return {"key": torch.tensor(key)}


def make(length=50, batch_size=4, workers=0, worker_init_fn=None, **arguments):
    sampler = ClipSampler(Echo(length), batch_size, **arguments)
    return ResumableLoader(
        Echo(length), batch_size, sampler=sampler, num_workers=workers, worker_init_fn=worker_init_fn
    )


def batches(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return [batch["key"].tolist() for batch in loader]


def test_each_epoch_is_a_permutation_without_the_rest():
    loader = make(50, 4)
    first, second = batches(loader, 0), batches(loader, 1)
    assert len(loader) == len(first) == 12
    orders = [[key for batch in seen for key in batch] for seen in (first, second)]
    for epoch, keys in enumerate(orders):
        assert {key[0] for key in keys} == {epoch}
        assert len({key[1] for key in keys}) == 48
    assert [key[1] for key in orders[0]] != [key[1] for key in orders[1]]


def test_ranks_are_disjoint_and_make_the_same_global_batches():
    whole = batches(make(50, 8))
    shares = [batches(make(50, 4, ranks=2, rank=rank)) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == len(whole) == 6
    for together, one, two in zip(whole, *shares, strict=True):
        assert sorted(one + two) == sorted(together)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_counts_batches_taken_and_leads_to_the_next(workers):
    expected = batches(make(), epoch=3)
    loader = make(workers=workers)
    loader.sampler.set_epoch(3)
    iterator = iter(loader)
    assert [next(iterator)["key"].tolist() for _ in range(5)] == expected[:5]
    state = loader.state_dict()
    assert (state["epoch"], state["batches"]) == (3, 5)
    loader.processed = lambda: 4  # the last one was taken, but not trained on
    assert loader.state_dict() == state | {"batches": 4}
    del iterator

    resumed = make(workers=2 - workers)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert len(resumed) == 12
    assert batches(resumed, 3) == expected[5:]
    assert batches(resumed, 3) == expected  # a second pass is whole
    assert batches(resumed, 4) == batches(make(), 4)


def test_every_iteration_is_the_next_epoch_without_a_trainer():
    loader = make(12, 4)
    seen = [[batch["key"].tolist() for batch in loader] for _ in range(3)]
    assert seen == [batches(make(12, 4), epoch) for epoch in range(3)]
    next(iter(loader))  # a pass that is left counts too
    assert [batch["key"].tolist() for batch in loader] == batches(make(12, 4), 5 - 1)


def plain_loader(sampler):
    return DataLoader(Echo(12), 4, sampler=sampler)


def by_batches(sampler):
    return DataLoader(Echo(12), batch_sampler=BatchSampler(sampler, 4, drop_last=True))


def with_workers(sampler):
    return DataLoader(Echo(12), 4, sampler=sampler, num_workers=1, persistent_workers=True)


@pytest.mark.parametrize("loader_of", [plain_loader, by_batches, with_workers])
def test_our_sampler_begins_the_next_epoch_in_a_users_loader_too(loader_of):
    loader = loader_of(ClipSampler(Echo(12), 4))
    seen = [[batch["key"].tolist() for batch in loader] for _ in range(3)]
    assert seen == [batches(make(12, 4), epoch) for epoch in range(3)]
    sampler = ClipSampler(Echo(12), 4)
    sampler.set_epoch(5)
    assert [batch["key"].tolist() for batch in loader_of(sampler)] == batches(make(12, 4), 5)


@pytest.mark.parametrize(("taken", "left"), [(2, 1), (3, 0)])
def test_a_loop_of_ones_own_resumes_where_it_was(taken, left):
    loader = make(12, 4)
    passes = [iter(loader) for _ in range(2)]
    whole = list(passes[0])
    assert len(whole) == 3
    rest = [next(passes[1])["key"].tolist() for _ in range(taken)]
    resumed = make(12, 4)
    resumed.load_state_dict(loader.state_dict())
    expected = batches(make(12, 4), 1)
    assert rest == expected[:taken]
    after = [batch["key"].tolist() for batch in resumed]
    assert after == (expected[taken:] if left else batches(make(12, 4), 2))


def test_a_repetition_within_an_epoch_has_new_draws_and_resumes():
    loader = make(12, 4)

    def two_passes(epoch):
        loader.sampler.set_epoch(epoch)
        return [[batch["key"].tolist() for batch in loader] for _ in range(2)]

    drawn = [keys for epoch in range(3) for keys in two_passes(epoch)]
    flat = [str(keys) for keys in drawn]
    assert len(set(flat)) == 6
    assert drawn[2] == batches(make(12, 4), 1)  # the first pass is that of the epoch
    loader.sampler.set_epoch(1)
    list(loader)
    iterator = iter(loader)
    next(iterator)
    resumed = make(12, 4)
    resumed.load_state_dict(loader.state_dict())
    assert batches(resumed, 1) == drawn[3][1:]


def test_combined_loaders_draw_anew_when_the_shorter_one_begins_again():
    long, short = make(20, 4), make(8, 4)
    seen = []

    class Model(BoringModel):
        def training_step(self, batch, batch_idx):
            seen.append(str(batch["short"]["key"].tolist()))
            return self.layer.weight.sum()

    loaders = CombinedLoader({"long": long, "short": short}, "max_size_cycle")
    quiet_trainer(max_epochs=2, limit_val_batches=0).fit(Model(), loaders)
    assert len(seen) == len(set(seen)) == 10


def _share(rank, ranks_of_test):
    module = SampledDataModule("source", 4, 0, 0)
    module.training, module.held_out = Echo(20), Echo(5)
    loader = module.train_dataloader()
    held_out = [int(index) for batch in module.val_dataloader() for index in batch["key"][:, 1]]
    keys = [batch["key"][:, 1].tolist() for batch in loader]
    return keys, held_out, len(loader)


def test_a_bare_loader_asks_torch_for_its_share(tmp_path):
    (one, held_one, count), (two, held_two, _) = on_ranks(2, tmp_path, _share, 2)
    assert count == len(one) == len(two) == 2
    whole = make(20, 8, seed=0)
    for together, first, second in zip(batches(whole), one, two, strict=True):
        assert sorted(first + second) == sorted(key[1] for key in together)
    assert sorted(held_one + held_two) == list(range(5))


class Seen(BoringModel):
    """Writes the samples of its rank."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.keys = folder, []

    def training_step(self, batch, batch_idx):
        self.keys.append(batch["key"].tolist())
        return self.layer(torch.ones(1, 32)).sum()  # DDP requires every parameter in the loss

    def on_train_end(self):
        (self.folder / f"seen{self.global_rank}.json").write_text(json.dumps(self.keys))


def _fit_bare_loader(rank, folder):
    module = SampledDataModule("source", 4, 0, 0)
    module.training = Echo(16)
    loader = module.train_dataloader()
    trainer = quiet_trainer(max_epochs=2, devices=2, strategy="ddp", limit_val_batches=0)
    trainer.fit(Seen(Path(folder)), loader)


@pytest.mark.slow
def test_ranks_of_a_trainer_share_a_bare_loader_that_was_made_before_it(tmp_path):
    on_ranks(2, tmp_path, _fit_bare_loader, str(tmp_path))
    one, two = (json.loads((tmp_path / f"seen{rank}.json").read_text()) for rank in range(2))
    for epoch in range(2):
        drawn = [tuple(key) for part in (one, two) for keys in part[2 * epoch : 2 * epoch + 2] for key in keys]
        assert sorted(drawn) == [(epoch, index) for index in range(16)]


def test_setup_comes_before_the_loader():
    module = SampledDataModule("source", 4, 0, 0)
    assert refused(DataError, r"^source: call setup\('fit'\) of SampledDataModule before", module.train_dataloader)


def test_an_item_that_failed_is_not_tried_again_while_others_are_left():
    class MostlyBroken(ReplacingDataset):
        def read(self, item, generator):
            if item != 3:
                raise DecodingError(item, "broken")
            return {"item": item}

    data = MostlyBroken([""] * 9, 9, seed=0)
    samples = [data[epoch, index] for epoch in range(30) for index in range(9)]
    assert {sample["item"] for sample in samples} == {3}
    assert all(len(set(sample["failures"])) == len(sample["failures"]) for sample in samples)


def test_the_fixed_sampler_takes_each_sample_once_and_leaves_no_rank_empty():
    sampler = FixedSampler(Echo(3))
    sampler.set_epoch(5)
    assert list(sampler) == [(0, 0), (0, 1), (0, 2)]
    for samples, ranks in ((3, 2), (7, 4), (8, 4), (4, 4)):
        parts = [FixedSampler(Echo(samples), ranks=ranks, rank=rank) for rank in range(ranks)]
        assert sorted(index for part in parts for _, index in part) == list(range(samples))
        assert [len(part) for part in parts] == [len(list(part)) for part in parts]
    assert [list(FixedSampler(Echo(1), ranks=2, rank=rank)) for rank in range(2)] == [[(0, 0)], [(0, 0)]]


@pytest.mark.parametrize(("length", "seed", "line"), [(14, 0, "samples 12, now 14"), (12, 1, "seed 0, now 1")])
def test_a_place_in_another_order_is_refused(length, seed, line):
    state = make(12, 2).state_dict()
    other = make(length, 2, seed=seed)
    other.load_state_dict(state)
    assert refused(DataError, rf"within an epoch of other data \({line}\)", next, iter(other))
    other.load_state_dict(state | {"epoch": 7})
    assert len(list(other)) == length // 2  # from another epoch, other data are fine


class Deadly(Echo):
    """Kills its worker at one sample of an epoch."""

    def __getitem__(self, key):
        if key == (1, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["training", "held out"])
def test_a_dead_worker_is_noticed_within_seconds(kind):
    data = Deadly(4)
    sampler = ClipSampler(data, 2) if kind == "training" else FixedSampler(data)
    loader = (ResumableLoader if kind == "training" else SteadyLoader)(
        data, 2, sampler=sampler, num_workers=1, persistent_workers=True, worker_init_fn=start_worker, timeout=2
    )  # the loader looks at the workers every 2 s; torch's default is 5
    assert len(list(loader)) == 2
    if kind == "training":
        sampler.set_epoch(1)
    else:  # the pass asks the workers of the one before to begin again
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    began = time.monotonic()
    message = r"a worker of the data loader died \(.*\), .*: lower data\.num_workers, and resume with --ckpt_path last"
    refused(DataError, message, list, loader)
    assert time.monotonic() - began < 15


def _hang(num_frames, generator):
    time.sleep(60)


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_and_not_called_dead(video_folder):
    data = ClipDataset(list_videos(video_folder), [0], _hang, None, length=1, timeout=0.2)
    loader = SteadyLoader(data, 1, num_workers=1, worker_init_fn=start_worker)
    assert refused(DataError, r"a sample took too long: a video hangs .* raise data\.timeout", list, loader)


def _strike_the_group(worker):
    if worker == 0:
        os.killpg(os.getpgrp(), signal.SIGTERM)
    start_worker(worker)


def _load_under_fire():
    os.setsid()
    received = []
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    seen = batches(make(8, workers=2, worker_init_fn=_strike_the_group))
    os._exit(0 if len(seen) == 2 and received == [signal.SIGTERM] else 1)


def test_a_signal_to_the_group_while_workers_start_reaches_this_process_only():
    process = multiprocessing.get_context("forkserver").Process(target=_load_under_fire)
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_of_a_datamodule_leave_the_global_generator_alone(workers):
    module = SampledDataModule("source", 4, workers, 0)
    assert list(module.val_dataloader()) == [{}]
    before = torch.get_rng_state()
    module.training = module.held_out = Echo(13)
    seen = batches(module.train_dataloader())
    held_out = torch.cat([batch["key"] for batch in module.val_dataloader()])
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(batch) for batch in seen] == [4] * 3
    assert held_out[:, 1].tolist() == list(range(13))


def test_a_trainer_counts_the_skipped_videos_of_its_newest_datamodule():
    trainer = quiet_trainer()
    for module in (SampledDataModule("first", 4, 0, 0), SampledDataModule("second", 4, 0, 0)):
        module.training, module.trainer = Echo(13), trainer
        for _ in range(2):
            module.train_dataloader()
        (watch,) = [callback for callback in trainer.callbacks if isinstance(callback, SkippedVideos)]
        assert watch.counts is module.skipped


def test_too_few_samples_for_a_batch_are_refused():
    module = SampledDataModule("source", 16, 0, 0)
    module.training = Echo(13)
    assert refused(
        DataError, r"^source: 13 samples an epoch do not fill a batch of 16 on 1 rank\(s\)", module.train_dataloader
    )


def test_a_dataloader_raises_an_error_of_its_worker_again() -> None:
    """It makes the error anew from one text, which ends with the error's own line."""
    try:
        raise DecodingError("a/b.mp4", "is broken")
    except DecodingError:
        wrapped = ExceptionWrapper(where="in a worker")
    with pytest.raises(DecodingError, match=r"(?s)in a worker.*a/b\.mp4: is broken\n?$"):
        wrapped.reraise()
