"""`fit` on a GPU that is not there: steps of Lightning's Trainer, which wait for as little as possible."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.testing._internal.distributed.fake_pg import FakeStore

from callbacks import CollapseMonitor, Stops, Throughput
from cli import main
from lightning_modules import ContrastiveRandomWalk, Liir, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from tests.helpers.fake_device import fake_gpu, moved, training_on
from tests.helpers.words import clips, flags
from tests.speed.training_step import InMemory

CLIP, VIDEOS = torch.rand(4, 4, 3, 64, 64), torch.arange(4)
CLIPS = {"clip": CLIP, "video_index": VIDEOS}
PAIRS = {"exemplar": torch.rand(2, 3, 127, 127), "search": torch.rand(2, 3, 255, 255)}
TINY = {"backbone": "tests.helpers.encoders:TinyResNet"}
LIIR = {"bank": {"frames": 4}, "position_size": 32, "schedule": {"warmup_epochs": 0}}
TWO = {"clip": CLIP[:2, :2], "video_index": VIDEOS[:2]}
STEPS = {
    "VFSSimSiam": (lambda: VFSSimSiam(**TINY, projector_dim=32, predictor_dim=16), CLIPS, 0),
    "VFSSimSiam, ViT": (lambda: VFSSimSiam("timm:test_vit", projector_dim=32, predictor_dim=16), CLIPS, 0),
    "VFSMoCo": (lambda: VFSMoCo(**TINY, queue_size=64), CLIPS, 0),
    "Liir, first phase": (lambda: Liir(**LIIR | {"schedule": {"warmup_epochs": 1, "warmup_accumulation": 1}}), TWO, 0),
    # which windows are drawn towards their peaks is asked once for each part of a batch
    "Liir, second": (lambda: Liir(**LIIR), TWO, 1),
    "Liir, shuffled": (lambda: Liir(**LIIR | {"bank": {"frames": 4, "modulation": "shuffle"}}, prior=None), TWO, 0),
    "Liir, shared": (lambda: Liir(**LIIR | {"bank": {"frames": 4, "negatives": "shared"}}, prior=None), TWO, 0),
    "ContrastiveRandomWalk": (lambda: ContrastiveRandomWalk(**TINY), {"clip": torch.rand(2, 3, 3, 96, 96)}, 0),
    "ContrastiveRandomWalk, cells": (lambda: ContrastiveRandomWalk(**TINY, nodes="cells"), CLIPS, 0),
    "SiamFC": (lambda: SiamFC(**TINY), PAIRS, 0),
    "SiamFC, balanced": (lambda: SiamFC(**TINY, loss="balanced"), PAIRS, 0),
    "LinearProbe": (lambda: LinearProbe(**TINY, num_classes=5), {"image": CLIP[:, 0], "label": torch.arange(4)}, 0),
}
"""Name → module, batch, and waits of a step."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "32-true") for name in STEPS),
        ("VFSMoCo", "bf16-mixed"),
        ("Liir, second", "bf16-mixed"),
    ],
)
def test_steps_stay_on_the_device(name, precision):
    """Two steps with their callbacks, optimiser, momentum encoder and queue; the first loss is read in the second."""
    make, batch, waits = STEPS[name]
    module, checks = make(), [Stops(), Throughput(), TQDMProgressBar(), CollapseMonitor()]
    with fake_gpu() as gpu, training_on(gpu):
        trainer = pl.Trainer(
            accelerator="gpu",
            devices=1,
            precision=precision,
            max_steps=2,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=checks if "clip" in batch else checks[:-1],
        )
        trainer.fit(module, datamodule=InMemory(batch))
    assert trainer.global_step == 2
    of_first_batch = len(module.images)  # the range of each
    assert gpu.reads == 2 * waits + 1 + of_first_batch


@pytest.fixture
def two_ranks():
    """Let this process be the first of two ranks; what the other rank gives has no values."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VFSMoCo", "Liir, second", "Liir, shared"])
@pytest.mark.usefixtures("two_ranks")
def test_two_ranks_gather_on_the_device(name):
    """The keys of both ranks enter the queue, without a wait for the other rank's keys."""
    make, batch, waits = STEPS[name]
    module = make()
    module.log = module.log_dict = lambda *words, **options: None
    module._trainer = SimpleNamespace(accumulate_grad_batches=1, current_epoch=0, global_step=0)
    module.lr_schedulers = lambda: None
    with fake_gpu() as gpu:
        twin = moved(module, gpu.device)
        twin.training_step({key: item.to(gpu.device, non_blocking=True) for key, item in batch.items()}, 0)
        ((keys, videos),) = twin._pending
        twin.optimizer_step(0, 0, torch.optim.SGD(twin.parameters(), 0.1), lambda: None)
    assert len(keys) == len(videos)
    assert len(keys) % (2 * len(batch["video_index"])) == 0
    assert gpu.reads == waits + 1  # the range of the first batch


@pytest.mark.slow
def test_by_the_command_line(video_folder, tmp_path):
    words = flags("model", "VFSSimSiam", **TINY, projector_dim=16, predictor_dim=8)
    options = {
        "strategy": "auto",
        "devices": 1,
        "max_steps": 2,
        "limit_val_batches": 0,
        "enable_checkpointing": False,
        "logger": False,
    }
    words += flags("trainer", **options, default_root_dir=tmp_path)
    with fake_gpu() as gpu, training_on(gpu):
        main(["fit", "--config", "trainer/gpus.yaml", *words, *clips(video_folder), "--data.augmentation.colour=true"])
    assert gpu.reads == 2  # the range of the first batch, the first loss
