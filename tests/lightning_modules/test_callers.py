"""A method trains the same whoever calls its `step`: methods × callers, equal to the bit."""

from copy import deepcopy

import pytest
import pytorch_lightning as pl
from lightning_fabric import Fabric
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from docs.examples.byol import Byol
from tests.helpers.faults import differences
from tests.helpers.method_steps import BACKBONE, METHODS, batches_of, tiny
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr import VFSMoCo


def optimiser_of(module):
    return SGD([parameter for parameter in module.parameters() if parameter.requires_grad], 0.1)


def by_the_trainer(method, batches):
    method.configure_optimizers = lambda: optimiser_of(method)
    quiet_trainer(max_epochs=1).fit(method, DataLoader(batches, batch_size=None))


def by_a_step_of_ones_own(method, batches):
    """A `training_step` of a user's that calls `step`."""
    method.training_step = lambda batch, batch_idx: method.step(batch)
    by_the_trainer(method, batches)


def by_manual_optimisation(method, batches):
    def training_step(batch, batch_idx):
        optimizer = method.optimizers()
        optimizer.zero_grad()
        method.manual_backward(method.step(batch)["loss"])
        optimizer.step()
        method.end_step()

    method.automatic_optimization = False
    method.training_step = training_step
    by_the_trainer(method, batches)


def by_a_loop(method, batches):
    optimizer = optimiser_of(method)
    for batch in batches:
        optimizer.zero_grad()
        method.step(batch)["loss"].backward()
        optimizer.step()
        method.end_step()


def by_a_copy_in_a_loop(method, batches):
    """A copy has the state of its own."""
    copied = deepcopy(method)
    by_a_loop(copied, batches)
    method.load_state_dict(copied.state_dict())


def by_fabric(method, batches):
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(method, optimiser_of(method))
    model.mark_forward_method("step")
    for batch in batches:
        optimizer.zero_grad()
        fabric.backward(model.step(batch)["loss"])
        optimizer.step()
        method.end_step()


class Parent(pl.LightningModule):
    """A module of somebody's, of which a method is a part."""

    def __init__(self, part):
        super().__init__()
        self.part = part
        self.method = part[0] if isinstance(part, nn.ModuleList) else part

    def training_step(self, batch, batch_idx):
        return self.method.step(batch)["loss"]

    def optimizer_step(self, *arguments):
        super().optimizer_step(*arguments)
        self.method.end_step()

    def configure_optimizers(self):
        return optimiser_of(self)


def as_a_part(method, batches):
    quiet_trainer(max_epochs=1).fit(Parent(method), DataLoader(batches, batch_size=None))


def as_a_part_of_a_list(method, batches):
    quiet_trainer(max_epochs=1).fit(Parent(nn.ModuleList([method])), DataLoader(batches, batch_size=None))


CALLERS = [
    by_a_step_of_ones_own,
    by_manual_optimisation,
    by_a_loop,
    by_a_copy_in_a_loop,
    by_fabric,
    as_a_part,
    as_a_part_of_a_list,
]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.sampled(5, 3)
def test_a_method_trains_the_same_whoever_calls_its_step(name):
    batches = list(batches_of(name, 4))
    expected = tiny(name)
    start = deepcopy(expected.state_dict())
    by_the_trainer(expected, batches)
    assert differences(start, expected.state_dict()) != []
    wrong = []
    for caller in CALLERS:
        method = tiny(name).train()
        caller(method, batches)
        if differences(method.state_dict(), expected.state_dict()):
            wrong.append(caller.__name__)
    assert wrong == []


def test_a_method_whose_constructor_raised_does_not_stop_others():
    """A traceback holds it, for example in a notebook."""
    with pytest.raises(ValueError, match="nothing_of_this_name") as kept:
        VFSMoCo(backbone="nothing_of_this_name")
    by_a_loop(tiny("VFSMoCo"), list(batches_of("VFSMoCo", 8)))
    assert kept.tb is not None


def test_a_schedule_of_the_average_that_needs_a_trainer_raises_in_a_loop_unless_it_is_given_the_momentum():
    method = Byol(BACKBONE)
    before = deepcopy(method.state_dict())
    refused(RuntimeError, "not attached to a `Trainer`", method.end_step)
    assert differences(before, method.state_dict()) == []
    nn.init.zeros_(next(method.encoder.parameters()))
    method.end_step(momentum=0.5)
    moved = next(method.target_encoder.parameters())
    name = next(name for name, weight in method.named_parameters() if weight is moved)
    assert moved.equal(before[name] / 2)
