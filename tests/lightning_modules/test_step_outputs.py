"""Forms that `step` of a user's method may return, and the one line for another form."""

import numpy as np
import pytest
import torch

from lightning_modules.base import CorrespondenceModule
from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer


class Returns(CorrespondenceModule):
    """A method whose step returns a form of its loss."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.backbone = self.network_to_train("tests.helpers.encoders:TinyResNet")

    def step(self, batch):
        maps = self.backbone(self.normalise(batch["clip"].flatten(0, 1)))
        return self.form(maps.square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


def train(form):
    trainer = quiet_trainer(max_steps=1, limit_val_batches=0)
    trainer.fit(Returns(form), loader(videos=4, batch_size=2, frames=2, size=32))
    return trainer.callback_metrics


@pytest.mark.parametrize("form", [lambda loss: loss, lambda loss: {"loss": loss}, lambda loss: loss.view(1)])
def test_a_loss_trains_alone_or_by_its_name(form):
    assert train(form)["train/loss"].ndim == 0


def test_every_number_is_logged_and_nothing_else():
    others = {"int": 3, "true": True, "single": np.float32(2.5), "long": np.int64(4), "tensor": torch.tensor(5)}
    rest = {"map": torch.zeros(2), "one": torch.zeros(1), "text": "x", "part": {"x": 1.0}, "none": None}
    logged = train(lambda loss: {"loss": loss} | others | rest)
    values = {name.removeprefix("train/"): float(value) for name, value in logged.items() if name != "train/loss"}
    assert values == {"int": 3, "true": 1, "single": 2.5, "long": 4, "tensor": 5}


WRONG = {
    "NoneType": lambda loss: None,
    "float": float,
    "tuple": lambda loss: (loss, loss),
    "a dict with lss": lambda loss: {"lss": loss},
    "a dict with nothing": lambda loss: {},
    r"a tensor of shape \(2,\)": lambda loss: loss.expand(2),
}
"""Words of the message → a form that is no loss."""


@pytest.mark.parametrize("got", WRONG)
@pytest.mark.parametrize("is_named", [False, True])
def test_another_form_is_one_line(got, is_named):
    form = WRONG[got]
    names = is_named and "dict" not in got
    message = f"^Returns.step: return the loss, a tensor with a single value, or a dict .* it returned {got}$"
    refused(ValueError, message, train, (lambda loss: {"loss": form(loss)}) if names else form)


@pytest.mark.parametrize("form", [lambda loss: loss.detach(), lambda loss: {"loss": torch.tensor(1.0)}])
def test_a_loss_that_moves_no_weight_is_one_line(form):
    refused(ValueError, "^Returns.step: the loss depends on no weight that is trained", train, form)
