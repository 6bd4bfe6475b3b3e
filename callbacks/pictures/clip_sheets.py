"""Pictures of training clips after augmentation, and of the gaps between their frames."""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .overlays import Picture, as_pictures, captioned, contact_sheet, resized

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALVES = ((31, 119, 180), (214, 108, 14))
NEUTRAL = (235, 235, 235)


def clip_sheet(clip: Tensor, frame_index: Tensor | None = None, rows: int = 8, width: int = 112) -> Picture:
    """Draw clips of a batch, one in a row; the first and the second half, VFS's two views, are marked by colour.

    Args:
        clip: `(B, T, 3, H, W)`, uint8 or float in [0, 1].
        frame_index: `(B, T)`, numbers of the frames in their videos; None: their indices in the clip.
        rows: largest number of clips.
        width: width of a frame, pixels.

    Returns:
        uint8 `(H', W', 3)`.

    Raises:
        ValueError: for another shape.
    """
    if clip.ndim != 5 or clip.shape[2] != 3:
        raise ValueError(f"a clip sheet needs clips (B, T, 3, H, W), got {tuple(clip.shape)}")
    length, even = clip.shape[1], clip.shape[1] % 2 == 0
    panels = []
    for number, frames in enumerate(clip[:rows]):
        for column, picture in enumerate(as_pictures(frames)):
            text = str(column if frame_index is None else int(frame_index[number, column]))
            colour = HALVES[2 * column // length] if even else NEUTRAL
            panels.append(captioned(resized(picture, width), text, colour))
    sheet = contact_sheet(panels, columns=length, width=width)
    halves = "; blue: first half, orange: second half" if even else ""
    return captioned(sheet, f"one clip in a row, by number of the frame{halves}", height=22)


def gap_histogram(frame_index: Tensor) -> "Figure":
    """Draw a histogram of the gaps between neighbouring frames of clips.

    Args:
        frame_index: `(B, T)` long, of a batch, or of the batches of an epoch below each other.

    Returns:
        A matplotlib figure; `rasterise` makes an array of it.

    Raises:
        ValueError: if clips have fewer than two frames.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if frame_index.ndim != 2 or frame_index.shape[1] < 2:
        raise ValueError(f"gaps need frame numbers (B, T) of two frames or more, got {tuple(frame_index.shape)}")
    gaps = frame_index.cpu().diff(dim=1).flatten().numpy()
    low, high = int(gaps.min()), int(gaps.max())
    step = -(-(high - low + 1) // 40)  # whole frames, at most 40 bars
    edges = np.arange(low, high + step + 1, step) - 0.5
    figure = Figure(figsize=(6, 3.5), dpi=120, layout="constrained")
    axes = figure.add_subplot(
        xlabel="gap between neighbouring frames of a clip (frames)",
        ylabel="gaps",
        title=f"{len(frame_index)} clips of {frame_index.shape[1]} frames: median gap {np.median(gaps):g}",
    )
    axes.hist(gaps, bins=list(edges), color="C0", edgecolor="white", linewidth=0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    return figure


def rasterise(figure: "Figure") -> Picture:
    """Return a matplotlib figure as uint8 RGB `(H, W, 3)`."""
    # the object-oriented interface: no window system, and no state that outlives the picture
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
