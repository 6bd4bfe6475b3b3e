"""Order and place: functions of (seed, epoch), the same for any number of workers, disjoint over ranks."""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from torch._utils import ExceptionWrapper

from datamodules.loading.clips import ClipDataset, ReplacingDataset, SkippedVideos
from datamodules.loading.loader import (
    ClipSampler,
    FixedSampler,
    ResumableLoader,
    SampledDataModule,
    SteadyLoader,
    start_worker,
)
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


@pytest.mark.parametrize("kind", ["training", "held out"])
def test_a_dead_worker_is_noticed_within_seconds(kind):
    data = Deadly(4)
    sampler = ClipSampler(data, 2) if kind == "training" else FixedSampler(data)
    loader = (ResumableLoader if kind == "training" else SteadyLoader)(
        data, 2, sampler=sampler, num_workers=1, persistent_workers=True, worker_init_fn=start_worker, timeout=2
    )  # of 2 s, not torch's 5, between its looks at the workers
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
    process = multiprocessing.get_context("fork").Process(target=_load_under_fire)
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
