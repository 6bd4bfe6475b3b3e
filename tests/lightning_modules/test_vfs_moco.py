"""VFS with negatives: a step against a plain one, the plan, bytes.

Queue and average: parts/test_momentum.py; over ranks: test_liir.py, parts/test_shuffle_bn.py.

Also tests `functional/images.py`.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import normalize

from tests.helpers.plain_info_nce import plain_info_nce
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.training import tiny_moco
from vidcorr.datamodules.base import SampledDataModule
from vidcorr.functional.images import as_floats
from vidcorr.lightning_modules.parts.shuffle_bn import deal_videos


def test_groups_that_do_not_divide_a_batch_or_hold_one_video_are_refused():
    assert tiny_moco(groups=3).groups(6) == 3
    for groups in (3, 0):
        refused(ValueError, f"model.groups is {groups}, which does not divide", tiny_moco(groups=groups).groups, 4)
    assert deal_videos(1, 1, torch.Generator()).tolist() == [[0]]
    refused(ValueError, "2 groups of 1 video cannot be mixed", deal_videos, 2, 1, torch.Generator())


def test_loss_is_that_of_the_equation():
    module = tiny_moco().eval()
    batch = {"clip": torch.rand(3, 4, 3, 8, 8), "video_index": torch.arange(3)}
    module.queue.enqueue(normalize(torch.randn(5, 4), dim=1), torch.tensor([0, 0, 1, 9, 2]))
    with torch.no_grad():
        module.target_encoder[1][2].weight.mul_(-1)  # the two encoders differ
        frames = (module.normalise(view.flatten(0, 1)) for view in batch["clip"].chunk(2, dim=1))
        encoders = (module.encoder, module.target_encoder)
        q, k = (
            normalize(projector(backbone(x).mean(dim=(2, 3))), dim=1).view(3, 2, 4)
            for (backbone, projector), x in zip(encoders, frames, strict=True)
        )
    own = module.queue.video_ids == torch.arange(3)[:, None]
    published = module.step(batch)
    torch.testing.assert_close(published["loss"].detach(), plain_info_nce(q, k, module.queue.keys, 0.2, own))
    torch.testing.assert_close(published["embeddings"], q.flatten(0, 1))


def test_the_plan_names_queue_average_and_groups():
    warned = "1 group(s) of 4 videos: it gives the positives away, set model.groups to 2 or more"
    cases = [(None, 1, "2 group(s) of 2 videos"), (2, 3, "6 group(s) of 2 videos"), (1, 1, warned)]
    for groups, ranks, text in cases:
        module = tiny_moco(65536, groups=groups)
        module.trainer = SimpleNamespace(world_size=ranks)
        module.samples_per_device = lambda: 4
        queue, average = "65536 keys of 4 numbers, 1.6 MB on each device", "average with m = 0.999"
        rows = {"negatives": queue, "momentum encoder": average, "BatchNorm": f"Shuffle BN: {text}"}
        assert module.plan_rows() == rows


def test_statistics_over_all_devices_are_refused():
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(tiny_moco())  # as Lightning does on several devices
    refused(ValueError, "sync_batchnorm", synchronised.on_train_start)


def _dealt(rank):
    """Return losses of images of bytes and of the same floats, and the most bytes that a rank sent at once for each."""
    sent = []
    gather = dist.all_gather

    def counted(parts, own):
        sent[-1] = max(sent[-1], own.numel())
        gather(parts, own)

    dist.all_gather = counted
    clip = torch.randint(256, (4, 4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(rank))
    of_bytes = SampledDataModule("memory", 4, 0, 0).on_after_batch_transfer({"clip": clip}, 0)["clip"]
    augmented = of_bytes.clone()
    in_place = as_floats(clip).mul_(1)
    losses = []
    for images in (of_bytes, augmented, in_place):
        torch.manual_seed(0)
        sent.append(0)
        losses.append(float(tiny_moco(seed=0).step({"clip": images, "video_index": torch.arange(4)})["loss"]))
    return losses, sent


@pytest.mark.slow
def test_two_ranks_deal_bytes_where_images_are_bytes_with_the_loss_of_floats(tmp_path):
    for losses, sent in on_ranks(2, tmp_path, _dealt):
        assert losses == losses[:1] * 3
        assert sent == [sent[0], 4 * sent[0], 4 * sent[0]]
