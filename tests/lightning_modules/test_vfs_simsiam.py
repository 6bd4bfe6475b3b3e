"""The module around the loss: two views, stopped gradient, BatchNorm over ranks."""

from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn
from torch.distributed.nn.functional import all_gather
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from tests.helpers.ranks import on_ranks
from tests.helpers.training import TINY, Clips, quiet_trainer
from vidcorr.functional.losses import simsiam_loss
from vidcorr.lightning_modules import VFSMoCo, VFSSimSiam


def test_step_pulls_the_first_half_of_the_frames_towards_the_last():
    module = VFSSimSiam(**TINY).eval()
    clip = torch.rand(3, 4, 3, 32, 32)
    (p1, z1), (p2, z2) = module(clip[:, :2]), module(clip[:, 2:])
    published = module.step({"clip": clip})
    assert torch.allclose(published["loss"], simsiam_loss(p1, z1, p2, z2))
    (p1, z1), (p2, z2) = module.train()(clip[:, :2]), module(clip[:, 2:])  # statistics of a view
    torch.testing.assert_close(module.step({"clip": clip})["loss"], simsiam_loss(p1, z1, p2, z2))


@pytest.mark.parametrize("method", [VFSSimSiam, VFSMoCo])
def test_sgd_has_the_weight_decay_and_the_momentum_of_the_method(method):
    module = method(TINY["backbone"], weight_decay=0.25, momentum=0.5, base_lr=8.0)
    module.total_steps = lambda: 4
    module.global_batch = lambda: 64
    (group,) = module.configure_optimizers()["optimizer"].param_groups
    assert (group["weight_decay"], group["momentum"], group["lr"]) == (0.25, 0.5, 2.0)


class OnCpu(_BatchNorm):
    """SyncBatchNorm as its definition reads, since torch's own raises on a CPU: BatchNorm of the batch of all ranks."""

    convert_sync_batchnorm = classmethod(nn.SyncBatchNorm.convert_sync_batchnorm.__func__)

    def __init__(self, features, eps, momentum, affine, track, process_group, bias):
        super().__init__(features, eps, momentum, affine, track)

    def _check_input_dim(self, batch):
        """Any shape."""

    def forward(self, batch):
        if not self.training:
            return super().forward(batch)
        whole = torch.cat(all_gather(batch))
        return super().forward(whole).chunk(dist.get_world_size())[dist.get_rank()]


class OnGpus(VFSSimSiam):
    """The method as several GPUs would train it."""

    def configure_model(self):
        with patch.object(type(self.trainer.strategy), "root_device", torch.device("cuda")):
            super().configure_model()


def train_and_save(rank, folder, order=None):
    """Three steps, in an order of the videos in one process; without an order, as one of two ranks."""
    told = {"loss": [], "videos": []}

    def note(trainer, module, outputs, batch, number):
        told["loss"].append(outputs["loss"].detach())
        told["videos"].append(batch["video_index"].tolist())

    ranks = {"devices": 2, "strategy": "ddp"} if order is None else {}
    data = DataLoader(Clips(12, 2, 32), batch_size=2 if order is None else 4, sampler=order)
    torch.manual_seed(0)
    module = OnGpus(**TINY, base_lr=3)
    record = LambdaCallback(on_train_batch_end=note)
    with patch.object(nn, "SyncBatchNorm", OnCpu):
        quiet_trainer(max_steps=3, precision="64-true", callbacks=[record], **ranks).fit(module, data)
    told["weights"] = module.state_dict()
    torch.save(told, Path(folder, f"{'one' if order else rank}.pt"))


@pytest.mark.slow
def test_two_ranks_with_synchronised_statistics_are_one_process_with_all_videos(tmp_path):
    """Losses, weights and running statistics, after three steps."""
    on_ranks(2, tmp_path, train_and_save, str(tmp_path))
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    order = []
    for batches in zip(*(rank["videos"] for rank in ranks), strict=True):
        order += [video for batch in batches for video in batch]
    train_and_save(0, str(tmp_path), order)
    one = torch.load(tmp_path / "one.pt")
    losses = torch.stack([torch.stack(rank["loss"]) for rank in ranks])
    assert (losses[0] - losses[1]).abs().min() > 1e-4
    torch.testing.assert_close(losses.mean(0), torch.stack(one["loss"]), rtol=0, atol=1e-10)
    for rank in ranks:
        torch.testing.assert_close(rank["weights"], one["weights"], rtol=0, atol=1e-8)
