"""CVAT's auto-annotation, tracking protocol: masks that one draws in a frame are followed by frozen features.

With cvat_sdk 2.80: `cvat-cli function create-native NAME --function-file cvat_function.py`.
"""

from typing import Any, NamedTuple

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import torch
from cvat_sdk.masks import decode_mask, encode_mask
from torch import Tensor

from vidcorr import MaskPrompt
from vidcorr.functional import LabelPropagator
from vidcorr.tracking.follow import extractor_and_protocol
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.labels import MaskCoding


class Seen(NamedTuple):
    """A frame: its pixels (3, H, W) uint8, and its features (C, h, w); CVAT hands it back to the calls below."""

    frame: Tensor
    features: Tensor


class Tracker:
    """Implements `cvataa.TrackingFunction`."""

    spec = cvataa.TrackingFunctionSpec(supported_shape_types=["mask"])

    def __init__(self, model: str, protocol: str) -> None:
        extractor, rules = extractor_and_protocol(model, MaskPrompt.of(np.ones((8, 8), np.uint8)), protocol)
        self.encoder = FrameEncoder(extractor, rules)

    @torch.no_grad()
    def preprocess_image(self, context: Any, image: Any) -> Seen:
        """Return a frame with its features."""
        frame = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        return Seen(frame, next(self.encoder.maps([frame], may_be_constant=True)))

    def init_tracking_state(self, context: Any, pp_image: Seen, shape: Any) -> LabelPropagator:
        """Begin to follow a mask that was drawn in a frame; the returned state holds its labels in the last frames."""
        height, width = pp_image.frame.shape[1:]
        mask = decode_mask(shape.points, image_width=width, image_height=height).astype(np.uint8)
        labels = self.coding(pp_image).encode(0, torch.from_numpy(mask))
        state = LabelPropagator(labels, self.encoder.protocol)
        state.step(pp_image.features)
        return state

    def track(self, context: Any, pp_image: Seen, state: LabelPropagator) -> Any:
        """Return the mask in the next frame, or None where the object is not found."""
        labels = state.step(pp_image.features)
        mask = self.coding(pp_image).decode(1, labels, None, pp_image.frame).numpy() > 0
        if not mask.any():
            return None
        rows, columns = mask.nonzero()
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return cvataa.TrackableShape(type="mask", points=encode_mask(mask, box))

    def coding(self, seen: Seen) -> MaskCoding:
        """Return the coding of a single object, of id 1, in frames of this size."""
        size = (seen.frame.shape[1], seen.frame.shape[2])
        return MaskCoding(self.encoder, size, size, {1: 0})


def create(model: str = "vidcorr-r18", protocol: str = "vidcorr-fast") -> Tracker:
    """Make the function, as CVAT's command does."""
    return Tracker(model, protocol)
