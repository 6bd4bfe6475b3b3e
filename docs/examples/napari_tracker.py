"""Points of one frame followed forwards and backwards, as napari's plug-ins call a tracker: arrays in, arrays out."""

import numpy as np
import torch
from numpy.typing import NDArray

from vidcorr import PointPrompt, follow


def track(
    video: NDArray[np.uint8], queries: NDArray[np.float64], model: str = "vidcorr-r18"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow points both ways through a video.

    Args:
        video: (T, H, W, 3) RGB, as napari's layer of images holds it.
        queries: (K, 3) frame, y, x, as napari's layer of points holds them; of one or several frames.
        model: a network, as `load` takes it.

    Returns:
        Tracks (K · T, 4) id, frame, y, x, for napari's layer of tracks; and scores (K, T).
    """
    frames = torch.from_numpy(np.ascontiguousarray(video)).permute(0, 3, 1, 2)
    prompts: dict[int, PointPrompt] = {}
    for frame in np.unique(queries[:, 0]).astype(int).tolist():
        numbers = np.flatnonzero(queries[:, 0] == frame)
        # a point's name is its row's number; a prompt has x before y
        prompts[frame] = PointPrompt.of({str(number): queries[number, :0:-1].tolist() for number in numbers})
    names = [name for prompt in prompts.values() for name in prompt.objects]
    found = np.stack([points.numpy() for _, points in follow(model, frames, prompts)], axis=1)  # (K, T, 3)
    found = found[np.argsort([int(name) for name in names])]
    ids, times = np.indices(found.shape[:2])
    tracks = np.stack([ids, times, found[..., 1], found[..., 0]], axis=-1).reshape(-1, 4)
    return tracks, found[..., 2]
