"""The score before a training: of BatchNorm's statistics of the first batches, without a trace in the training."""

from functools import partial
from itertools import islice

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from tests.helpers.batches import FORMS, Ours, Plain, theirs
from tests.helpers.faults import differences
from tests.helpers.stops import Counted
from tests.helpers.training import TINY, quiet_trainer
from vidcorr.callbacks import BenchmarkCallback
from vidcorr.callbacks.first_statistics import BATCHES
from vidcorr.lightning_modules import VFSSimSiam


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


def trained(data, before, method=lambda: VFSSimSiam(**TINY, base_lr=3.0)):
    """Train two steps; return the benchmark, and all that the training has moved."""
    torch.manual_seed(0)
    benchmark = Watched([])
    callback = BenchmarkCallback(benchmark, 2, before)
    trainer = quiet_trainer(max_steps=2, callbacks=[callback], num_sanity_val_steps=0, limit_val_batches=0)
    module = method()
    trainer.fit(module, data())
    return benchmark, [module.state_dict(), trainer.optimizers[0].state_dict()["state"], torch.get_rng_state()]


THEIRS = {f"their {form}": (form, partial(theirs, form)) for form in (*FORMS, "stream", "stateful")}
OURS = {f"our {form}": (form, partial(Ours, form)) for form in FORMS}
WITH_STATISTICS = {"our dict", "our bytes"}
"""Loaders whose first batches give statistics; those of the others may be another network's input, or a stream's."""


@pytest.mark.parametrize("name", [*THEIRS, *OURS])
def test_the_first_score_leaves_no_trace_in_the_training_and_says_its_statistics(name):
    form, data = (THEIRS | OURS)[name]
    benchmark, scored = trained(data, True, lambda: Plain(form))
    _, unscored = trained(data, False, lambda: Plain(form))
    assert differences(scored, unscored) == []
    first, last = benchmark.seen
    is_taken = name in WITH_STATISTICS
    assert all((mean.abs().sum() > 0) == is_taken and not is_training for mean, _, is_training in first)
    said = f"BatchNorm's statistics of {BATCHES} batches" if is_taken else "BatchNorm's initial statistics"
    assert said in benchmark.names[0]
    assert "statistics" not in benchmark.names[1]
    assert differences(first, last)


def test_the_statistics_are_the_mean_over_the_batches():
    data = Ours("dict")
    benchmark, _ = trained(lambda: data, True, lambda: Plain("dict"))
    torch.manual_seed(0)
    convolution = Plain("dict").backbone[0]
    means = []
    for batch in islice(data.train_dataloader(), BATCHES):
        means.append(convolution(batch["clip"].flatten(0, 1)).mean((0, 2, 3)))
    torch.testing.assert_close(benchmark.seen[0][0][0], torch.stack(means).mean(0))


class Loaded(VFSSimSiam):
    """A method with weights like torchvision's, saved before batches were counted."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        for norm in self.modules():
            if isinstance(norm, _BatchNorm):
                norm.running_mean.fill_(0.25)


def test_a_network_with_statistics_keeps_them_though_it_counts_no_batches():
    benchmark, _ = trained(partial(Ours, "dict"), True, lambda: Loaded(**TINY))
    assert all((mean == 0.25).all() for mean, _, _ in benchmark.seen[0])
    assert "statistics" not in benchmark.names[0]
