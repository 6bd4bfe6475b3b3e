"""`fit` on a GPU that is not there: steps of Lightning's Trainer, which wait for as little as possible."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.testing._internal.distributed.fake_pg import FakeStore

import lightning_modules
from callbacks import CollapseMonitor, Stops, Throughput
from tests.helpers.fake_device import fake_gpu, moved, training_on
from tests.helpers.method_steps import METHODS, arguments_of, tiny_batch
from tests.helpers.training import quiet_trainer
from tests.speed.training_step import InMemory

VARIANTS = {"Liir": {"shared": {"bank": {"frames": 4, "negatives": "shared"}, "prior": None}}}
"""Method → name and arguments of a variant with steps of its own."""
STEPS = [(name, "") for name in METHODS] + [(name, variant) for name in VARIANTS for variant in VARIANTS[name]]
EMBED = ("VFSSimSiam", "VFSMoCo", "Liir", "ContrastiveRandomWalk")
"""Methods whose steps return embeddings."""
WAITS = {("Liir", ""): 1}
"""Step → waits for the device: which windows are drawn towards their peaks is asked once for each part of a batch."""


def made(name, variant):
    """Return a small method."""
    arguments = arguments_of(name) | VARIANTS.get(name, {}).get(variant, {})
    return getattr(lightning_modules, name)(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant", "precision"),
    [*((*step, "32-true") for step in STEPS), ("VFSMoCo", "", "bf16-mixed"), ("Liir", "", "bf16-mixed")],
)
def test_steps_stay_on_the_device(name, variant, precision):
    """Two steps with their callbacks, optimiser, momentum encoder and queue; the first loss is read in the second."""
    module = made(name, variant)
    batch = tiny_batch(name, samples=4)
    checks = [Stops(), Throughput(), TQDMProgressBar()]
    if name in EMBED:
        checks.append(CollapseMonitor())
    with fake_gpu() as gpu, training_on(gpu):
        options = {"accelerator": "gpu", "enable_progress_bar": True, "limit_val_batches": 0}
        trainer = quiet_trainer(**options, precision=precision, max_steps=2, callbacks=checks)
        trainer.fit(module, datamodule=InMemory(batch))
    assert trainer.global_step == 2
    of_first_batch = len(module.images)  # the range of each
    assert gpu.reads == 2 * WAITS.get((name, variant), 0) + 1 + of_first_batch


@pytest.fixture
def two_ranks():
    """Let this process be the first of two ranks; what the other rank gives has no values."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), [("VFSMoCo", ""), ("Liir", "shared")])
@pytest.mark.usefixtures("two_ranks")
def test_two_ranks_gather_on_the_device(name, variant):
    """The keys of both ranks enter the queue, without a wait for the other rank's keys."""
    module = made(name, variant)
    batch = tiny_batch(name)
    module.log = module.log_dict = lambda *words, **options: None
    module._trainer = SimpleNamespace(accumulate_grad_batches=1, current_epoch=0, global_step=0)
    module.lr_schedulers = lambda: None
    with fake_gpu() as gpu:
        twin = moved(module, gpu.device)
        twin.training_step({key: item.to(gpu.device, non_blocking=True) for key, item in batch.items()}, 0)
        ((keys, videos),) = (twin.queue if name == "VFSMoCo" else twin.bank).held
        twin.optimizer_step(0, 0, torch.optim.SGD(twin.parameters(), 0.1), lambda: None)
    assert len(keys) == len(videos)
    assert len(keys) % (2 * len(batch["video_index"])) == 0
    assert gpu.reads == WAITS.get((name, variant), 0) + 1  # the range of the first batch
