"""The loaders that all DataModules of sampled data share."""

import pytest
import torch
from torch.utils.data import Dataset

from datamodules.loading.module import SampledDataModule
from datamodules.reading.errors import DataError


class Echo(Dataset):
    """Gives back the keys."""

    def __len__(self) -> int:
        return 13

    def __getitem__(self, key):
        return torch.tensor(key)


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_leave_the_global_generator_alone(workers):
    before = torch.get_rng_state()
    module = SampledDataModule(4, workers, 0)
    batches = list(module.training_loader(Echo(), "13 clips", "more"))
    held_out = torch.cat(list(module.fixed_loader(Echo())))
    assert torch.equal(torch.get_rng_state(), before)
    assert [batch.shape for batch in batches] == [(4, 2)] * 3
    assert held_out[:, 1].tolist() == list(range(13))


def test_a_batch_holds_a_sample():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        SampledDataModule(0, 0, 0)


def test_without_held_out_samples_there_is_one_empty_batch():
    assert list(SampledDataModule(4, 0, 0).fixed_loader(None)) == [{}]


def test_too_few_samples_for_a_batch_are_refused():
    with pytest.raises(DataError, match=r"^13 clips do not fill a batch of 16 on 1 rank\(s\); lower batch_size$"):
        SampledDataModule(16, 0, 0).training_loader(Echo(), "13 clips", "lower batch_size")
