"""BatchNorm's statistics of the first batches, for a fair score before the first step of a training.

An untrained network with the initial statistics, mean 0 and variance 1, has other features than after the first steps
at a learning rate of 0. A gain over it is partly the statistics' gain.
"""

import copy
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler, DataLoader

BATCHES = 10
"""Batches of which the statistics are taken."""
SAMPLES = 8
"""Most samples of such a batch."""


def take_first_statistics(features: nn.Module, trainer: Trainer) -> int:
    """Give BatchNorms without statistics the mean statistics of the first batches; return the number of batches.

    The statistics are the view's own: the trained module, its loader and all random states stay as they were.

    Args:
        features: view of a network, in eval mode: RGB in [0, 1] (N, 3, H, W) to maps.
        trainer: the Trainer, at the start of a fit.
    """
    norms = [module for module in features.modules() if isinstance(module, _BatchNorm) and _is_untouched(module)]
    if not norms:
        return 0
    for norm in norms:
        _detach_statistics(norm)
        norm.momentum = None  # the mean over all batches
    taken = 0
    device = next(features.parameters()).device
    with isolate_rng(), torch.no_grad():
        for images in _first_images(trainer.train_dataloader):
            for norm in norms:
                norm.train()  # each call of a view puts its network into eval mode
            features(images.to(device))
            taken += 1
    for norm in norms:
        norm.eval()
    return taken


def _detach_statistics(norm: _BatchNorm) -> None:
    """Give a BatchNorm of a view statistics of its own; it shares them with the trained module until then."""
    for name, buffer in list(norm.named_buffers(recurse=False)):
        setattr(norm, name, buffer.clone())


def _is_untouched(norm: _BatchNorm) -> bool:
    """Return whether the statistics are the initial ones; torchvision's weights have others, and count no batches."""
    mean = norm.running_mean
    variance = norm.running_var
    batches = norm.num_batches_tracked
    if mean is None or variance is None or batches is None or batches > 0:
        return False
    return bool((mean == 0).all() and (variance == 1).all())


def _first_images(loader: Any) -> Iterator[Tensor]:
    """Yield the images of the first batches, float RGB in [0, 1] (N, 3, H, W), by a copy of the loader's sampler."""
    sampler = copy.copy(getattr(loader, "sampler", None))
    if not isinstance(loader, DataLoader) or not hasattr(loader.dataset, "__getitem__") or sampler is None:
        return  # a stream, which gives its samples once
    generator = getattr(sampler, "generator", None)
    if generator is not None:
        sampler.generator = torch.Generator().set_state(generator.get_state())
    for keys in islice(BatchSampler(sampler, min(loader.batch_size or 1, SAMPLES), drop_last=True), BATCHES):
        batch = loader.collate_fn([loader.dataset[key] for key in keys])
        values = batch.values() if isinstance(batch, Mapping) else batch
        for value in values:
            if isinstance(value, Tensor) and value.ndim >= 4 and value.shape[-3] == 3:
                images = value.flatten(0, -4)
                yield images.float() / 255 if images.dtype == torch.uint8 else images
                break
