"""Images as bytes, and as floats that know the bytes of which they were made."""

from typing import Any

import torch
from torch import Tensor


def as_floats(images: Tensor) -> Tensor:
    """Return images in [0, 1]: bytes are divided by 255.

    Example:
        >>> as_floats(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """
    if images.dtype != torch.uint8:
        return images
    floats: Any = images.float().div_(255)
    if not floats.is_inference():  # such tensors count no changes
        floats.made_of = images, floats._version
    return floats


def as_bytes(images: Tensor) -> Tensor:
    """Return the bytes of which `as_floats` made these images; of images that were changed since, the images."""
    if not hasattr(images, "made_of"):
        return images
    made_of, version = images.made_of
    return made_of if version == images._version else images
