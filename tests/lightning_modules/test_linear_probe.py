"""The linear probe: what it learns, the two protocols, its accuracy, its loss over ranks."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lightning_modules import LinearProbe
from lightning_modules.linear_probe import _scale_gradient
from tests.helpers.ranks import on_ranks
from tests.helpers.training import quiet_trainer


def images(count, classes=3, batch_size=6):
    """One colour per class, and noise."""
    colours, noise = torch.eye(3).view(3, 3, 1, 1), torch.rand(count, 3, 64, 64)
    labels = [number % classes for number in range(count)]
    items = [{"image": 0.7 * colours[label] + 0.3 * noise[n], "label": label} for n, label in enumerate(labels)]
    return DataLoader(items, batch_size=batch_size)


def test_rates_of_the_protocols():
    def rates(protocol):
        probe, found = LinearProbe("raw_colour", 3, stage=None, stride=8, protocol=protocol), []
        probe.on_before_zero_grad = lambda optimizer: found.append(optimizer.param_groups[0]["lr"])
        quiet_trainer(max_epochs=5).fit(probe, images(12))  # 2 steps an epoch
        settings = probe.optimizers().param_groups[0]
        assert (settings["momentum"], settings["weight_decay"]) == (0.9, 0)  # MoCo's command, SimSiam's appendix
        return found

    moco, simsiam = rates("moco"), rates("simsiam")
    start = 30 * 6 / 256
    assert moco == pytest.approx([start] * 6 + [start / 10] * 2 + [start / 100] * 2)
    assert simsiam[0] == pytest.approx(0.1 * 6 / 256)
    assert simsiam[5] == pytest.approx(simsiam[0] / 2)


@pytest.mark.parametrize(("classes", "best"), [(10, 5), (3, 3)])
def test_top5_is_the_five_best_classes_or_all(classes, best):
    probe = LinearProbe("raw_colour", classes, stage=None, stride=8)
    scores = torch.arange(classes, 0, -1.0)[None]
    found = [float(probe.top5(scores, torch.tensor([rank]))) for rank in range(classes)]
    assert found == [1] * best + [0] * (classes - best)
    labels = torch.tensor([0, 0, classes - 1])
    assert probe.top1(scores.expand(3, -1), labels) == pytest.approx(2 / 3)  # of images, not of classes
    assert probe.top5(scores.flip(1).expand(3, -1), labels) == pytest.approx(1 if classes == 3 else 1 / 3)


def test_lars_scales_gradients_to_a_share_of_the_parameter():
    parameter = nn.Parameter(torch.tensor([3.0, 4.0]))
    parameter.grad = torch.tensor([0.0, 20.0])
    _scale_gradient(parameter, 2.0)  # 0.001 · 5 / (20 + 2 · 5) times (6, 28)
    torch.testing.assert_close(parameter.grad, torch.tensor([6.0, 28.0]) * 0.005 / 30)


def _loss_of_share(rank, *edges):
    torch.manual_seed(0)
    items = list(images(6).dataset)[edges[rank] : edges[rank + 1]]
    probe = LinearProbe("raw_colour", 3, stage=None, stride=8)
    torch.nn.init.normal_(probe.classifier.weight, std=3)  # losses that differ between images
    ranks = len(edges) - 1
    strategy = "ddp" if ranks > 1 else "auto"
    trainer = quiet_trainer(devices=ranks, strategy=strategy, use_distributed_sampler=False)
    trainer.validate(probe, DataLoader(items, batch_size=2), verbose=False)
    return trainer.callback_metrics["val/loss"].item()


@pytest.mark.slow
def test_the_loss_of_ranks_with_unequal_numbers_is_that_of_all_images(tmp_path):
    """A mean of means would be off, and so would be Lightning's own, which divides by a rounded number of samples."""
    losses = on_ranks(2, tmp_path, _loss_of_share, 0, 5, 6)
    assert losses == pytest.approx([_loss_of_share(0, 0, 6)] * 2, rel=1e-5)
