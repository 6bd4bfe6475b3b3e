"""Masks to labels on the feature grid and back, by the rules of a protocol."""

from collections.abc import Sequence

from torch import Tensor

from .label_coding import decode_masks, encode_masks
from .protocol import PropagationProtocol
from .sizing import Size


def labels_of(mask: Tensor, objects: Sequence[int], grid: Size, protocol: PropagationProtocol) -> Tensor:
    """Return the labels that a mask gives, by the protocol.

    Args:
        mask: (H, W) integer ids, at the size that the feature map covers (`covered_size`).
        objects: the id of each channel from 1 on.
        grid: (h, w) of the feature map.
        protocol: says how masks are sampled.

    Returns:
        (1 + len(objects), h, w) float32, background first.
    """
    stride = protocol.feature_stride
    via = (grid[0] * stride, grid[1] * stride) if protocol.label_size == "input" else None
    return encode_masks(mask, objects, grid, protocol.label_encoding, via)


def masks_of(
    labels: Tensor, objects: Sequence[int], protocol: PropagationProtocol, covered: Size, size: Size
) -> Tensor:
    """Return the mask that propagated labels give, by the protocol.

    Args:
        labels: soft labels (1 + objects, h, w), background first.
        objects: ids of the others.
        protocol: says how masks are decoded.
        covered: what the labels cover, see `covered_size`, at the scale of `size`.
        size: (H, W) of the frame, which is the upper left part of that.

    Returns:
        uint8 ids (H, W), on the CPU.
    """
    height, width = (length * protocol.feature_stride for length in labels.shape[1:])
    mask = decode_masks(
        labels,
        covered,
        rescale=protocol.label_rescaling,
        floor=protocol.label_rescaling_floor,
        method=protocol.decoding_filter,
        argmax_size=(height, width) if protocol.decoding_size == "input" else None,
        nearest=protocol.decoding_nearest,
        objects=objects,
    )
    return mask[: size[0], : size[1]].cpu()
