"""Images as bytes, and as floats that know from which bytes they were made."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

COLOURS = "colours"
"""Key of what a batch of training carries for its clips: a function that changes their colours."""


def as_floats(images: Tensor) -> Tensor:
    """Return images as floats in [0, 1]: bytes are divided by 255, floats are returned as they are.

    The result keeps a reference to the bytes, for `as_bytes`.
    """
    if images.dtype != torch.uint8:
        return images
    floats: Any = images.float().div_(255)
    if not floats.is_inference():  # inference tensors do not count changes (`_version`)
        floats.made_of = images, floats._version
    return floats


def as_bytes(images: Tensor) -> Tensor:
    """Return the bytes from which `as_floats` made these images; images changed since then come back as they are."""
    if not hasattr(images, "made_of"):
        return images
    made_of, version = images.made_of  # `_version` counts torch's changes in place
    return made_of if version == images._version else images


def prepared(batch: Any) -> Any:
    """Return a batch as methods read it: bytes as floats in [0, 1], and clips in the colours that the batch carries.

    A batch that is prepared stays as it is. Of a list or mapping of several loaders' batches, each is prepared.
    """
    if isinstance(batch, list | tuple):
        return [prepared(part) for part in batch]
    if isinstance(batch, Tensor):
        return as_floats(batch) if batch.dtype == torch.uint8 else batch
    if not isinstance(batch, Mapping):
        return batch
    ready = {name: value if name == "failures" else prepared(value) for name, value in batch.items()}
    change = ready.pop(COLOURS, None)
    return ready if change is None else ready | {"clip": change(ready["clip"])}
