"""Object masks through label propagation: coding by the protocol, predictions and pictures on disk."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from datamodules.datasets.files import davis_palette
from datamodules.datasets.records import MaskSequence
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.labels import decode_masks, encode_masks

from .label_propagation import Grid, LabelPropagation
from .visualisation import Picture, contact_sheet, evenly_spaced, overlay_masks, write_picture

FRAMES_IN_OVERLAY = 5


def encode_sequence_masks(sequence: MaskSequence, t: int, grid: Grid, protocol: PropagationProtocol) -> Tensor | None:
    """Labels that frame `t` brings: all objects of frame 0, later those that start there.

    Args:
        sequence: with the masks.
        t: frame number.
        grid: (h, w) of the feature map.
        protocol: says how masks are sampled.

    Returns:
        `(1 + objects, h, w)`, background first; None where no object starts.
    """
    entering = sequence.entering(t)
    if not entering:
        return None
    labels = encode_masks(sequence.mask(t), sequence.objects, grid, protocol.label_encoding)
    if t > 0:
        present = torch.tensor([False, *(number in entering for number in sequence.objects)])
        labels = labels * present[:, None, None]
    return labels


def predict_masks(
    benchmark: LabelPropagation, extractor: nn.Module, sequence: MaskSequence
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Each frame of a sequence with its masks, one for each stage of the benchmark.

    Args:
        benchmark: whose protocols and stopwatch are used; `start` has been called.
        extractor: see `build_feature_extractor`.
        sequence: its frames and the masks that introduce the objects.

    Yields:
        The frame, uint8 `(3, H, W)`, and uint8 ids `(H, W)` per stage. The first mask is the annotation.
    """
    last: list[Tensor] = []

    def frames() -> Iterator[Tensor]:
        for frame in sequence.read():
            last[:] = [frame]
            yield frame

    def encode(t: int, grid: Grid, protocol: PropagationProtocol) -> Tensor | None:
        return encode_sequence_masks(sequence, t, grid, protocol)

    for t, labels in enumerate(benchmark.propagate(extractor, frames(), encode)):
        with benchmark.stopwatch("decode masks", labels[0].device):
            if t == 0:
                masks = [sequence.mask(0)] * len(labels)
            else:
                masks = [
                    _decode(stage, sequence, protocol)
                    for stage, protocol in zip(labels, benchmark.protocols, strict=True)
                ]
        yield last[0], masks


def _decode(labels: Tensor, sequence: MaskSequence, protocol: PropagationProtocol) -> Tensor:
    height, width = (length * protocol.feature_stride for length in labels.shape[1:])
    at_input = protocol.decoding_size == "input"
    return decode_masks(
        labels,
        sequence.size,
        rescale=protocol.label_rescaling,
        argmax_size=(height, width) if at_input else None,
        objects=sequence.objects,
    ).cpu()


class MaskWriter:
    """Writes a sequence's predictions as indexed PNGs, and one picture with frames from its start to its end.

    Args:
        folder: of the run; files go to `predictions/<sequence>/` and `overlays/<sequence>.png`.
        sequence: what is predicted.
        predictions: write the PNGs.
        overlay: keep frames for the picture.
    """

    def __init__(self, folder: Path, sequence: MaskSequence, predictions: bool = True, overlay: bool = True) -> None:
        self.folder = folder
        self.sequence = sequence
        self.predictions = predictions
        self._chosen = set(evenly_spaced(sequence.num_frames, FRAMES_IN_OVERLAY)) if overlay else set()
        self._pictures: list[Picture] = []
        self._palette = davis_palette().ravel().tolist()
        self._t = 0
        if predictions:
            (folder / "predictions" / sequence.name).mkdir(parents=True, exist_ok=True)

    def add(self, frame: Tensor, mask: Tensor) -> None:
        """The next frame, uint8 `(3, H, W)`, and its ids `(H, W)`."""
        if self._t in self._chosen:
            self._pictures.append(overlay_masks(frame, mask))
        if self.predictions:
            image = Image.fromarray(mask.numpy())
            image.putpalette(self._palette)
            stem = self.sequence.frames[self._t].stem
            image.save(self.folder / "predictions" / self.sequence.name / f"{stem}.png", compress_level=1)
        self._t += 1

    def close(self) -> Picture | None:
        """Write the picture and return it."""
        if not self._pictures:
            return None
        sheet = contact_sheet(self._pictures, columns=len(self._pictures))
        write_picture(self.folder / "overlays" / f"{self.sequence.name}.png", sheet)
        return sheet


def zip_predictions(folder: Path) -> Path:
    """Put `folder/predictions` into `folder/predictions.zip`, its sequences at the top, as the servers want it."""
    path = folder / "predictions.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((folder / "predictions").rglob("*.png")):
            archive.write(file, file.relative_to(folder / "predictions"))
    return path


def log_picture(logger: Any, tag: str, picture: Picture, step: int) -> None:
    """Give a picture to a TensorBoard logger; other loggers are passed over."""
    writer: Any = getattr(logger, "experiment", None)
    if hasattr(writer, "add_image"):
        writer.add_image(tag, picture, step, dataformats="HWC")
