"""Images as bytes, and as floats that know from which bytes they were made."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

COLOURS = "colours"
"""Key of what a batch of training carries for its clips: a function that changes their colours."""


def as_floats(images: Tensor) -> Tensor:
    """Return bytes as floats in [0, 1], which keep a reference to the bytes for `as_bytes`; floats as they are."""
    if images.dtype != torch.uint8:
        return images
    floats: Any = images.float().div_(255)
    # inference tensors do not count changes (`_version`)
    if not floats.is_inference():
        floats.made_from = images, floats._version
    return floats


def as_bytes(images: Tensor) -> Tensor:
    """Return the bytes from which `as_floats` made these images; images changed since then come back as they are."""
    if not hasattr(images, "made_from"):
        return images
    # `_version` counts torch's changes in place
    made_from, version = images.made_from
    return made_from if version == images._version else images


def prepared(batch: object) -> Any:
    """Return a batch, or a collection of several loaders' batches, with floats in [0, 1] and its colours changed."""
    if isinstance(batch, list | tuple):
        return [prepared(part) for part in batch]
    if isinstance(batch, Tensor):
        return as_floats(batch) if batch.dtype == torch.uint8 else batch
    if not isinstance(batch, Mapping):
        return batch
    ready = {name: value if name == "failures" else prepared(value) for name, value in batch.items()}
    change = ready.pop(COLOURS, None)
    return ready if change is None else ready | {"clip": change(ready["clip"])}
