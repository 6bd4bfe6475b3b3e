"""Order and place: functions of (seed, epoch), the same for any number of workers, disjoint over ranks.

Also tests `loading/clips.py`.
"""

import signal
import warnings
from functools import partial
from multiprocessing import get_context
from unittest.mock import Mock, call

import pytest
import torch
from torch.utils.data import DataLoader

from tests.helpers.echo import Echo, Harmed
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.datamodules.base import SampledDataModule
from vidcorr.datamodules.loading import clips
from vidcorr.datamodules.loading.clips import ReplacingDataset
from vidcorr.datamodules.loading.loader import ClipSampler, FixedSampler, ResumableLoader
from vidcorr.videos.files import DataError
from vidcorr.videos.processes import server_context


def make(length=50, batch_size=4, workers=0, **arguments):
    sampler = ClipSampler(Echo(length), batch_size, **arguments)
    return ResumableLoader(Echo(length), batch_size, sampler=sampler, num_workers=workers)


def batches(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return [batch["key"].tolist() for batch in loader]


def test_each_epoch_is_a_permutation_without_the_rest_and_a_pass_is_of_the_epoch_that_was_set():
    loader = make(50, 4)
    first, second = batches(loader, 0), batches(loader, 1)
    assert len(loader) == len(first) == 12
    orders = [[key for batch in seen for key in batch] for seen in (first, second)]
    for epoch, keys in enumerate(orders):
        assert {key[0] for key in keys} == {epoch}
        assert len({key[1] for key in keys}) == 48
    assert [key[1] for key in orders[0]] != [key[1] for key in orders[1]]
    plain = DataLoader(Echo(50), 4, sampler=loader.sampler)  # whose epoch is not set anew
    assert [batch["key"].tolist() for batch in plain] == second


def test_ranks_share_out_each_batch_and_the_held_out_samples_and_none_is_left_without(monkeypatch):
    def of_ranks(ranks, made):
        shares = []
        for rank in range(ranks):
            place = Mock(return_value=(ranks, rank))
            monkeypatch.setattr("vidcorr.datamodules.loading.loader.world_size_and_rank", place)
            shares.append(made())
        return shares

    whole = batches(make(21, 8), epoch=2)
    one, two = of_ranks(2, lambda: batches(make(21, 4), epoch=2))
    for together, first, second in zip(whole, one, two, strict=True):
        assert sorted(first + second) == sorted(together)
    assert of_ranks(2, lambda: len(make(21, 4))) == [2, 2]
    for samples in (7, 8):
        parts = of_ranks(4, lambda count=samples: list(FixedSampler(Echo(count))))
        assert sorted(key for part in parts for key in part) == [(0, index) for index in range(samples)]
    assert of_ranks(2, lambda: list(FixedSampler(Echo(1)))) == [[(0, 0)], [(0, 0)]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_resumes_takes_the_batches_that_follow(workers, monkeypatch):
    """Another list or seed: tests/datamodules/test_base.py."""
    monkeypatch.setattr("vidcorr.datamodules.base.server_context", partial(get_context, "fork"))  # starts at once
    expected = batches(make(12, 2, seed=6), epoch=3)
    module = SampledDataModule("source", 2, workers, 6)
    module.training = Echo(12)
    module.trainer = quiet_trainer()
    module.trainer.training = True
    left = module.train_dataloader()
    left.place = (3, 5)  # the fifth batch is not trained on yet
    module.trainer.fit_loop.epoch_loop.batch_progress.current.processed = 4
    module.load_state_dict(module.state_dict())
    loader = module.train_dataloader()
    assert batches(loader, 3) == expected[4:]
    assert (loader.place, len(loader)) == ((3, 6), 6)
    assert batches(loader, 3) == expected  # a second pass is whole


def test_a_full_shared_memory_is_one_line_with_the_ways_out():
    def load(said):
        list(ResumableLoader(Echo(4), 2, collate_fn=Mock(side_effect=RuntimeError(said))))

    full = "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
    refused(DataError, r"^/dev/shm is full .*--shm-size.*num_workers.*and resume: vidcorr resume$", load, full)
    refused(RuntimeError, "another", load, "another")


def test_the_loader_of_a_datamodule(monkeypatch):
    """A worker that takes longer than a minute a sample counts as hanging."""

    def made(workers):
        module = SampledDataModule("source", 4, workers, 0)
        assert module.state_dict() == {}
        module.training = Echo(13)
        loader = module.train_dataloader()
        context = loader.multiprocessing_context
        return loader.timeout, loader.persistent_workers, context and context.get_start_method()

    assert made(0) == (0, False, None)
    assert made(1) == (240, True, "forkserver")
    for cores, workers in ((3, 3), (12, 8)):
        monkeypatch.setattr("vidcorr.datamodules.base.usable_cores", lambda cores=cores: cores)
        assert SampledDataModule("source", 4, None, 0).num_workers == workers


@pytest.mark.slow
def test_a_killed_worker_is_named_long_before_a_slow_one_counts_as_hanging(monkeypatch):
    monkeypatch.setattr("vidcorr.datamodules.loading.loader.LOOK", 0.1)

    def keys(patience, kills):
        dataset = Harmed(6, kills)
        arguments = {"timeout": patience, "multiprocessing_context": server_context(), "num_workers": 1}
        arguments["worker_init_fn"] = clips.start_worker
        loader = ResumableLoader(dataset, 2, sampler=FixedSampler(dataset), **arguments)
        found = [batch["key"].tolist() for batch in loader]
        assert loader.timeout == patience
        return found

    assert len(keys(3600, kills=False)) == 3  # five looks later
    refused(RuntimeError, "exited unexpectedly", keys, 3600, kills=True)
    refused(RuntimeError, "DataLoader timed out after 0.2 seconds", keys, 0.2, kills=False)


def test_a_loader_counts_its_batches_and_the_seconds_of_waiting_for_them(monkeypatch):
    """Also with a sampler that is not ours, as Lightning's `overfit_batches` sets it."""
    monkeypatch.setattr("vidcorr.datamodules.loading.loader.time.perf_counter", Mock(side_effect=range(100)))
    loader = ResumableLoader(Echo(7), 2)
    assert len(list(loader)) == 4
    assert (loader.place, loader.waited) == ((0, 4), 4)
    loader.load_state_dict(loader.state_dict())
    assert len(list(loader)) == 4


def test_a_worker_gets_no_signal_of_the_group_and_ends_with_the_process_that_loads(monkeypatch):
    """In a real run: tests/faults."""
    done = Mock()
    monkeypatch.setattr("cv2.setNumThreads", done.setNumThreads)
    system = ("os.setpgrp", "os._exit", "signal.signal", "signal.pthread_sigmask", "threading.Thread")
    for name in (*system, "parent_process", "wait"):
        monkeypatch.setattr(f"vidcorr.datamodules.loading.clips.{name}", getattr(done, name.rpartition(".")[2]))
    clips.start_worker(0)
    clips._end_with_parent()
    assert done.mock_calls == [
        call.setNumThreads(0),
        call.setpgrp(),
        *(call.signal(number, how) for number in clips.STOPS for how in (signal.SIG_IGN, signal.SIG_DFL)),
        call.pthread_sigmask(signal.SIG_UNBLOCK, clips.STOPS),
        call.Thread(target=clips._end_with_parent, daemon=True),
        call.Thread().start(),
        call.parent_process(),
        call.wait([done.parent_process.return_value.sentinel]),
        call._exit(1),
    ]


class Broken(ReplacingDataset):
    """Items of which none can be used."""

    def read(self, item, generator):
        raise DataError(f"{item} is broken")


def test_ten_items_in_a_row_end_the_run():
    message = refused(DataError, "^10 items in a row could not be used: ", Broken(["a", "b"], 2, 0).__getitem__, 1)
    assert message.count("is broken") == 10
    assert message.partition(": ")[2].startswith("1 is broken; ")


def test_items_are_drawn_as_often_as_their_weights_say(monkeypatch):
    data = Broken(["none", "three", "two"], 5, 0, weights=[0, 3, 2])
    tickets = Mock(side_effect=map(torch.tensor, range(5)))
    monkeypatch.setattr("torch.randint", tickets)
    assert [data.choose(0, 0, None) for _ in range(5)] == [1, 1, 1, 2, 2]
    assert {call.args[0] for call in tickets.mock_calls} == {5}


def test_each_video_is_named_once_and_too_many_are_told_once_and_not_before_five(monkeypatch):
    data, broken = SampledDataModule("videos", 1, 0, 0), ["a.mp4: broken"]
    monkeypatch.setattr("vidcorr.datamodules.base.MOST_UNUSABLE", 0.4)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for failures in [broken] * 9 + [[]] * 9 + [broken] * 11:  # 5 of 10 are too many, and 19 of 46 again
            data._count_replaced(failures)
    named, many = (str(each.message) for each in told)
    assert named == "replaced by another video: a.mp4: broken"
    assert many.startswith("TOO MANY UNUSABLE VIDEOS: 5 of 10 clips so far")
    assert data.skipped == {"a.mp4": 20}
