"""The linear probe: what it learns, the two protocols, its accuracy."""

from unittest.mock import Mock, call

import pytest
import torch
from torch import nn

from tests.helpers.golden_steps import rates_of
from vidcorr.lightning_modules import LinearProbe


def test_rates_of_the_protocols():
    def rates(protocol):
        probe = LinearProbe("raw_colour", 3, None, 8, protocol=protocol, momentum=0.5, weight_decay=0.25)
        probe.total_steps, probe.global_batch = lambda: 10, lambda: 6
        (settings,) = probe.configure_optimizers()["optimizer"].param_groups
        assert (settings["momentum"], settings["weight_decay"]) == (0.5, 0.25)
        return rates_of(probe, 10)

    moco, simsiam = rates("moco"), rates("simsiam")
    start = 30 * 6 / 256
    assert moco == pytest.approx([start] * 6 + [start / 10] * 2 + [start / 100] * 2)
    assert simsiam[0] == pytest.approx(0.1 * 6 / 256)
    assert simsiam[5] == pytest.approx(simsiam[0] / 2)


@pytest.mark.parametrize(("classes", "best"), [(10, 5), (3, 3)])
def test_validation_logs_the_first_and_the_five_best_classes_of_all_images(classes, best):
    probe = LinearProbe("raw_colour", classes, stage=None, stride=8)
    state = {"weight": torch.zeros(classes, 3), "bias": torch.arange(classes, 0, -1.0)}
    probe.classifier.load_state_dict(state)
    labels = torch.tensor([0, *range(classes)])
    images = len(labels)
    probe.log = Mock()
    probe.validation_step({"image": torch.rand(images, 3, 16, 16), "label": labels}, 0)
    said = {"prog_bar": True, "batch_size": images}
    metrics = {"val/loss": probe.validation_loss, "val/top1": probe.top1, "val/top5": probe.top5}
    assert probe.log.mock_calls == [call(name, metric, **said) for name, metric in metrics.items()]
    loss = -probe.classifier.bias.log_softmax(0)[labels].mean()
    found = [metric.compute().item() for metric in metrics.values()]
    assert found == pytest.approx([loss.item(), 2 / images, (best + 1) / images])  # of images, not of classes


LARS = [
    ([3.0, 4.0], [0.0, 20.0], 2.0, [6.0 * 0.005 / 30, 28.0 * 0.005 / 30]),  # 0.001 · 5 / (20 + 2 · 5)
    ([0.0, 0.0], [0.0, 20.0], 2.0, [0.0, 20.0]),
    ([3.0, 4.0], [0.0, 0.0], 0.0, [0.0, 0.0]),
]


@pytest.mark.parametrize(("weight", "gradient", "decay", "expected"), LARS)
def test_lars_moves_a_parameter_by_a_share_of_it(weight, gradient, decay, expected):
    probe = LinearProbe("raw_colour", 2, None, 8, protocol="simsiam", base_lr=256, momentum=0, weight_decay=decay)
    probe.total_steps, probe.global_batch = lambda: 10, lambda: 1
    probe.classifier.bias = parameter = nn.Parameter(torch.tensor(weight).double())
    parameter.grad = torch.tensor(gradient).double()
    configured = probe.configure_optimizers()
    configured["optimizer"].step()
    torch.testing.assert_close(torch.tensor(weight) - parameter, torch.tensor(expected).double())
