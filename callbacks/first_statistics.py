"""BatchNorm's statistics of the first batches, for a fair score before the first step of a training.

An untrained network with the initial statistics, mean 0 and variance 1, has other features than after the first steps
at a learning rate of 0. A gain over it is partly the statistics' gain.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from vidcorr.backbones.copies import device_of
from vidcorr.datamodules.loading.loader import ClipSampler, ResumableLoader
from vidcorr.functional.images import as_floats
from vidcorr.lightning_modules.base import SLACK

BATCHES = 10
"""Batches of which the statistics are taken."""
SAMPLES = 8
"""Most samples of such a batch."""


def take_first_statistics(features: nn.Module, trainer: Trainer) -> str:
    """Give BatchNorms that have seen no batch yet the mean statistics of the first batches of the training.

    Only the view `features` is changed: the BatchNorms get statistics of their own, which the trained module does not
    share. The trained module, the loader and all random states stay as they were. Only a loader of ours is read, whose
    samples depend on their keys alone; reading another loader could change its later batches.

    Args:
        features: view of a network, in eval mode: RGB in [0, 1] (N, 3, H, W) to maps.
        trainer: the Trainer, at the start of a fit.

    Returns:
        Words for the row of the result: which statistics these BatchNorms have now; "" if all had some before.
    """
    norms = [module for module in features.modules() if isinstance(module, _BatchNorm) and _is_untouched(module)]
    if not norms:
        return ""
    for norm in norms:
        for name, buffer in list(norm.named_buffers(recurse=False)):
            # shared with the trained module until now
            setattr(norm, name, buffer.clone())
        # the mean over all batches
        norm.momentum = None
    # the view's call first sets eval mode; this hook runs later, just before the BatchNorm
    hooks = [norm.register_forward_pre_hook(_train) for norm in norms]
    device = device_of(features)
    with isolate_rng(), torch.no_grad():
        for images in _first_images(trainer.train_dataloader):
            features(images.to(device))
    for hook, norm in zip(hooks, norms, strict=True):
        hook.remove()
        norm.eval()
    taken = max(int(norm.num_batches_tracked) for norm in norms)  # type: ignore[arg-type]
    return f"BatchNorm's statistics of {taken} batches" if taken else "BatchNorm's initial statistics"


def _train(norm: nn.Module, inputs: object) -> None:
    norm.train()


def _is_untouched(norm: _BatchNorm) -> bool:
    # the count alone does not tell: torchvision's weights have statistics, and a count of 0
    mean = norm.running_mean
    variance = norm.running_var
    batches = norm.num_batches_tracked
    if mean is None or variance is None or batches is None or batches > 0:
        return False
    return bool((mean == 0).all() and (variance == 1).all())


def _first_images(loader: object) -> Iterator[Tensor]:
    """Yield the images of the first batches of a loader of ours, float RGB in [0, 1] (N, 3, H, W)."""
    if not isinstance(loader, ResumableLoader) or not isinstance(loader.sampler, ClipSampler):
        return
    size = min(loader.batch_size or 1, SAMPLES)
    # `drop_last`: all batches are of one size, so that each counts the same in the mean
    batches = DataLoader(loader.dataset, size, sampler=loader.sampler, collate_fn=loader.collate_fn, drop_last=True)
    for batch in islice(batches, BATCHES):
        images = _images_in(batch)
        if images is None:
            return
        yield images


def _images_in(batch: object) -> Tensor | None:
    values = batch.values() if isinstance(batch, Mapping) else ()
    for value in values:
        if isinstance(value, Tensor) and value.ndim >= 4 and value.shape[-3] == 3:
            images = as_floats(value.flatten(0, -4))
            low, high = torch.aminmax(images)
            return images if low >= -SLACK and high <= 1 + SLACK else None
    return None
