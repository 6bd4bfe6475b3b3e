"""Images as bytes, and as floats that know from which bytes they were made."""

from typing import Any

import torch
from torch import Tensor


def as_floats(images: Tensor) -> Tensor:
    """Return images as floats in [0, 1]: bytes are divided by 255, floats are returned as they are.

    The result keeps a reference to the bytes, for `as_bytes`.

    Example:
        >>> as_floats(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
        >>> with torch.inference_mode():  # as a Trainer validates: the floats keep no bytes
        ...     as_bytes(as_floats(torch.tensor([0, 255], dtype=torch.uint8)))
        tensor([0., 1.])
    """
    if images.dtype != torch.uint8:
        return images
    floats: Any = images.float().div_(255)
    if not floats.is_inference():  # inference tensors do not count changes (`_version`)
        floats.made_of = images, floats._version
    return floats


def as_bytes(images: Tensor) -> Tensor:
    """Return the bytes from which `as_floats` made these images; images changed since then come back as they are.

    Example:
        >>> floats = as_floats(torch.tensor([0, 255], dtype=torch.uint8))
        >>> as_bytes(floats)
        tensor([  0, 255], dtype=torch.uint8)
        >>> as_bytes(floats.mul_(0.5))
        tensor([0.0000, 0.5000])
    """
    if not hasattr(images, "made_of"):
        return images
    made_of, version = images.made_of  # `_version` counts torch's changes in place
    return made_of if version == images._version else images
