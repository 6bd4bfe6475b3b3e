"""Checks of the maps that networks return, with the remedy for other outputs."""

from torch import Tensor

MIN_CELLS = 4
"""Least height and width of a map in cells; a smaller output is a pooled feature."""
PROBE = (256, 320)
"""Height and width of the blank image for measuring strides; not square, and no network's default size."""


def describe_output(output: object) -> str:
    """Return the shape of a tensor, or the type of anything else, for a message."""
    if not isinstance(output, Tensor):
        return type(output).__name__
    return f"{'complex ' if output.is_complex() else ''}{tuple(output.shape)}"


def check_map(features: Tensor, name: str) -> None:
    """Refuse a map that is too coarse to distinguish positions.

    Args:
        features: `(…, h, w)`.
        name: name of the network, for the message.

    Raises:
        ValueError: if the map has fewer than 4 × 4 cells.
    """
    height, width = features.shape[-2:]
    if min(height, width) < MIN_CELLS:
        raise ValueError(f"{name}: {height} x {width} cells, too few to distinguish positions: take a finer stage")


OWN_EXTRACTOR = (
    "or give the module a method feature_extractor(self, stage=None, stride=None) that returns "
    "vidcorr.backbones.extractor_of(self.trunk, stage, stride)"
)
"""Remedy for a user's module whose output is no map, for example a classifier."""


def require_map(output: object, name: str) -> Tensor:
    """Return an output of a network, if it is a map.

    Raises:
        ValueError: for anything but a tensor `(N, C, h, w)` of real numbers.
    """
    if isinstance(output, Tensor) and output.ndim == 4 and not output.is_complex():
        return output
    remedy = "leave its pooling and its classifier out" if isinstance(output, Tensor) else "return the map itself"
    got = describe_output(output)
    raise ValueError(f"{name}: expected a map (N, C, h, w), got {got}: {remedy}, {OWN_EXTRACTOR}")


def measured_stride(output: object, name: str, stated: int | None = None, size: tuple[int, int] = PROBE) -> int:
    """Return the pixels per cell of a map of a blank image.

    Args:
        output: what the network returned for the image.
        name: name of the network, for the message.
        stated: the stride that the network states.
        size: height and width of the image, pixels.

    Raises:
        ValueError: if `output` is not a map of at least 4 × 4 cells, or has another number of rows or columns than its
            stride gives: cells would not lie where the stride places them.
    """
    features = require_map(output, name)
    check_map(features, name)
    stride = stated or max(round(size[0] / features.shape[2]), 1)
    require_stride(features, name, stride, size)
    return stride


def require_stride(features: Tensor, name: str, stride: int, size: tuple[int, int]) -> None:
    """Refuse a map with other cells than its stride gives: they would not lie where the stride places them.

    Args:
        features: `(N, C, h, w)`.
        name: name of the network, for the message.
        stride: pixels per cell.
        size: height and width of the image, pixels.

    Raises:
        ValueError: naming both sizes.
    """
    height, width = features.shape[2:]
    for side, cells in zip(size, (height, width), strict=True):
        if cells not in (side // stride, -(-side // stride)):
            found = f"{height} x {width} cells for a {size[0]} x {size[1]} image"
            remedy = "cut its padding or pad its convolutions"
            raise ValueError(f"{name}: {found} are not those of stride {stride}: {remedy}")
