"""Object masks through label propagation: coding by the protocol, predictions and pictures on disk."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.datasets.files import davis_palette, write_ids
from datamodules.datasets.records import MaskSequence
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.labels import decode_masks, encode_masks
from lightning_modules.functional.propagation.sizing import Size

from ..pictures import Picture, contact_sheet, evenly_spaced, overlay_masks, write_picture
from .label_propagation import LabelPropagation

FRAMES_IN_OVERLAY = 5


class Prediction(NamedTuple):
    """What was found in one frame.

    Attributes:
        frame: uint8 RGB `(3, H, W)`.
        labels: per stage, soft labels `(1 + objects, h, w)`.
        masks: per stage, uint8 ids `(H, W)`, on the CPU.
    """

    frame: Tensor
    labels: list[Tensor]
    masks: list[Tensor]


def encode_sequence_masks(
    sequence: MaskSequence, t: int, grid: Size, protocol: PropagationProtocol, covered: Size | None = None
) -> Tensor | None:
    """Labels that frame `t` brings: all objects of frame 0, later those that start there.

    Args:
        sequence: with the masks.
        t: frame number.
        grid: (h, w) of the feature map.
        protocol: says how masks are sampled.
        covered: what the map covers, see `covered_size`; None is the frame.

    Returns:
        `(1 + objects, h, w)`, background first; None where no object starts.
    """
    entering = sequence.entering(t)
    if not entering:
        return None
    mask = sequence.mask(t)
    height, width = covered or mask.shape
    mask = F.pad(mask, (0, width - mask.shape[1], 0, height - mask.shape[0]))
    labels = encode_masks(mask, sequence.objects, grid, protocol.label_encoding)
    return labels * _channels(sequence, entering)[:, None, None] if t > 0 else labels


def predict_masks(benchmark: LabelPropagation, extractor: nn.Module, sequence: MaskSequence) -> Iterator[Prediction]:
    """Follow the objects of a sequence; where they start, their mask is the annotation.

    Args:
        benchmark: whose protocols and stopwatch are used; `start` has been called.
        extractor: see `build_feature_extractor`.
        sequence: its frames and the masks that introduce the objects.
    """
    last: list[Tensor] = []
    covered = benchmark.covered(sequence.size)

    def frames() -> Iterator[Tensor]:
        for frame in sequence.read():
            last[:] = [frame]
            yield frame

    def encode(t: int, grid: Size, protocol: PropagationProtocol) -> Tensor | None:
        return encode_sequence_masks(sequence, t, grid, protocol, covered)

    for t, labels in enumerate(benchmark.propagate(extractor, frames(), encode)):
        with benchmark.stopwatch("decode masks", labels[0].device):
            if t == 0:
                masks = [sequence.mask(0)] * len(labels)
            else:
                pairs = zip(labels, benchmark.protocols, strict=True)
                masks = [_decode(item, sequence, t, protocol, covered) for item, protocol in pairs]
        yield Prediction(last[0], labels, masks)


def masks_of(
    labels: Tensor, objects: Sequence[int], protocol: PropagationProtocol, covered: Size, size: Size
) -> Tensor:
    """Masks out of propagated labels, by the protocol.

    Args:
        labels: soft labels `(1 + objects, h, w)`, background first.
        objects: ids of the others.
        protocol: says how masks come out.
        covered: what the labels cover, see `covered_size`, at the scale of `size`.
        size: (H, W) of the frame, which is the upper left part of that.

    Returns:
        uint8 ids `(H, W)`, on the CPU.
    """
    height, width = (length * protocol.feature_stride for length in labels.shape[1:])
    masks = decode_masks(
        labels,
        covered,
        rescale=protocol.label_rescaling,
        floor=protocol.label_rescaling_floor,
        method=protocol.decoding_filter,
        argmax_size=(height, width) if protocol.decoding_size == "input" else None,
        objects=objects,
    )
    return masks[: size[0], : size[1]].cpu()


def _decode(labels: Tensor, sequence: MaskSequence, t: int, protocol: PropagationProtocol, covered: Size) -> Tensor:
    entering = sequence.entering(t)
    if entering:
        labels = labels * ~_channels(sequence, entering, background=False).to(labels.device)[:, None, None]
    mask = masks_of(labels, sequence.objects, protocol, covered, sequence.size)
    if entering:
        given = sequence.mask(t)
        mask = torch.where(torch.isin(given, given.new_tensor(entering)), given, mask)
    return mask


def _channels(sequence: MaskSequence, objects: Iterable[int], background: bool = False) -> Tensor:
    chosen = set(objects)
    return torch.tensor([background, *(number in chosen for number in sequence.objects)])


class MaskWriter:
    """Writes a sequence's predictions as indexed PNGs, and one picture with frames from its start to its end.

    Args:
        folder: of the run; files go to `predictions/<sequence>/` and `overlays/<sequence>.png`.
        sequence: what is predicted; where it names the frames that are reported, only those are written.
        predictions: write the PNGs.
        overlay: keep frames for the picture.
    """

    def __init__(self, folder: Path, sequence: MaskSequence, predictions: bool = True, overlay: bool = True) -> None:
        self.folder = folder
        self.sequence = sequence
        every = range(sequence.num_frames)
        reported = every if sequence.reported is None else sequence.reported
        self._written = set(reported if predictions else ())
        self._chosen = set(evenly_spaced(sequence.num_frames, FRAMES_IN_OVERLAY)) if overlay else set()
        self._pictures: list[Picture] = []
        self._palette = davis_palette()
        self._t = 0
        if predictions:
            (folder / "predictions" / sequence.name).mkdir(parents=True, exist_ok=True)

    def add(self, frame: Tensor, mask: Tensor) -> None:
        """The next frame, uint8 `(3, H, W)`, and its ids `(H, W)`."""
        if self._t in self._chosen:
            self._pictures.append(overlay_masks(frame, mask))
        if self._t in self._written:
            stem = self.sequence.frames[self._t].stem
            write_ids(self.folder / "predictions" / self.sequence.name / f"{stem}.png", mask.numpy(), self._palette)
        self._t += 1

    def close(self) -> Picture | None:
        """Write the picture and return it."""
        if not self._pictures:
            return None
        sheet = contact_sheet(self._pictures, columns=len(self._pictures))
        write_picture(self.folder / "overlays" / f"{self.sequence.name}.png", sheet)
        return sheet


def zip_predictions(folder: Path, inside: str = "") -> Path:
    """Put `folder/predictions` into `folder/predictions.zip`, as the servers want it.

    Args:
        folder: of the run.
        inside: folder of the archive that holds the sequences; "" is its top (DAVIS), "Annotations" is YouTube-VOS's.
    """
    path = folder / "predictions.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((folder / "predictions").rglob("*.png")):
            archive.write(file, Path(inside) / file.relative_to(folder / "predictions"))
    return path
