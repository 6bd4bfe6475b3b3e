"""The score before a training: of BatchNorm's statistics of the first batches, without a trace in the training."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from tests.helpers.faults import differences
from tests.helpers.stops import Counted
from tests.helpers.training import EMPTY, TINY, Clips, InMemory, quiet_trainer
from vidcorr.callbacks import BenchmarkCallback
from vidcorr.callbacks.first_statistics import BATCHES
from vidcorr.lightning_modules import VFSSimSiam

CLIPS = 22, 2, 32
LOADERS = {
    "in order": lambda: {"train_dataloaders": DataLoader(Clips(*CLIPS), batch_size=2), "val_dataloaders": EMPTY},
    "shuffled": lambda: {
        "train_dataloaders": DataLoader(Clips(*CLIPS), batch_size=2, shuffle=True),
        "val_dataloaders": EMPTY,
    },
    "shuffled by a generator": lambda: {
        "train_dataloaders": DataLoader(
            Clips(*CLIPS), batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(3)
        ),
        "val_dataloaders": EMPTY,
    },
    "a DataModule of ours": lambda: {"datamodule": InMemory(22, 2, 2, 32)},
}


class Watched(Counted):
    """A benchmark that keeps the statistics that it scored, and the names of the networks."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "seen", [])
        object.__setattr__(self, "names", [])

    def run(self, features, network, output, **training):
        norms = [module for module in features.modules() if isinstance(module, _BatchNorm)]
        self.seen.append([(norm.running_mean.clone(), norm.running_var.clone(), norm.training) for norm in norms])
        self.names.append(str(network))
        return super().run(features, network, output, **training)


def trained(loaders, before, method=VFSSimSiam, rate=3.0):
    """Train two steps; return the benchmark, and all that the training has moved."""
    torch.manual_seed(0)
    benchmark = Watched([])
    callback = BenchmarkCallback(benchmark, 2, before)
    trainer = quiet_trainer(max_steps=2, callbacks=[callback], num_sanity_val_steps=0)
    module = method(**TINY, base_lr=rate)
    trainer.fit(module, **loaders())
    return benchmark, [module.state_dict(), trainer.optimizers[0].state_dict()["state"], torch.get_rng_state()]


@pytest.mark.parametrize("loaders", LOADERS.values(), ids=LOADERS)
def test_the_first_score_leaves_no_trace_in_the_training(loaders):
    benchmark, scored = trained(loaders, before=True)
    _, unscored = trained(loaders, before=False)
    assert differences(scored, unscored) == []
    first, last = benchmark.seen
    assert all(mean.abs().sum() > 0 and not is_training for mean, _, is_training in first)
    assert f"BatchNorm's statistics of {BATCHES} batches" in benchmark.names[0]
    assert "statistics" not in benchmark.names[1]
    assert differences(first, last)


def test_the_statistics_are_the_mean_over_the_batches():
    benchmark, _ = trained(LOADERS["in order"], before=True, rate=0.0)
    torch.manual_seed(0)
    features = VFSSimSiam(**TINY).feature_extractor("res4")
    first, *_ = (module for module in features.modules() if isinstance(module, _BatchNorm))
    means = []
    first.register_forward_pre_hook(lambda _, inputs: means.append(inputs[0].mean((0, 2, 3))))
    data = Clips(*CLIPS)
    for number in range(BATCHES):
        images = torch.cat([data[2 * number]["clip"], data[2 * number + 1]["clip"]])
        with torch.no_grad():
            features(images)
    torch.testing.assert_close(benchmark.seen[0][0][0], torch.stack(means).mean(0))


class Loaded(VFSSimSiam):
    """A method with weights like torchvision's, saved before batches were counted."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        for norm in self.modules():
            if isinstance(norm, _BatchNorm):
                norm.running_mean.fill_(0.25)


def test_a_network_with_statistics_keeps_them_though_it_counts_no_batches():
    benchmark, _ = trained(LOADERS["in order"], before=True, method=Loaded)
    assert all((mean == 0.25).all() for mean, _, _ in benchmark.seen[0])
    assert "statistics" not in benchmark.names[0]
