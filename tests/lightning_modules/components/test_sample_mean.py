"""The mean over samples: weights of batches, and validation in and outside inference mode."""

import torch

from lightning_modules.components.sample_mean import SampleMean


def test_batches_count_by_their_samples_whatever_the_mode() -> None:
    mean = SampleMean()
    with torch.inference_mode():
        mean.update(torch.tensor(1.0), 4)
        mean.update(torch.tensor(4.0), 2)
        assert mean.compute() == 2
        mean.reset()
    mean.update(torch.tensor(3.0), 1)
    mean.update(torch.tensor(5.0), 3)
    assert mean.compute() == 4.5
    assert not mean.state_dict()
