"""Colours of a whole batch, drawn on the CPU and applied on the device."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from .sampling import seeded_generator

_SPREAD = (0.4, 0.4, 0.4, 0.1)  # spread of the factors of brightness, contrast and saturation, and of the hue's shift
_JITTERED, _GREYED, _BLURRED = 0.8, 0.2, 0.5  # fractions of the frames


class ColourAugmentation:
    """Colour jitter, greyscale and Gaussian blur, with independent draws per frame.

    Equals torchvision's `ColorJitter`, `rgb_to_grayscale` and `gaussian_blur` frame by frame. 80 % of the frames get a
    factor of 1 ± 0.4 on brightness, contrast and saturation and a shift of ± 0.1 turns of the hue, in random order;
    20 % turn grey; half are blurred.
    Source: the public code of VFS, after MoCo v2.

    Args:
        sigma: smallest and largest standard deviation of the blur, pixels; the kernel ends at three times the largest.
    """

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0)) -> None:
        self.sigma = sigma

    def draw(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw the parameters of N = `count` frames from a CPU generator, so that they are the same on every device.

        Returns:
            `factors`, (N, 4): factors of brightness, contrast and saturation, 0.6 to 1.4, and shift of the hue, ± 0.1
            turns; `order`, (N, 4) long: indices of the columns of `factors` in the order of their application;
            `jitter`, `grey` and `blur`, (N,) bool: what is applied to a frame; `sigma`, (N,): deviation of the blur,
            pixels.
        """
        spread = (2 * torch.rand(count, 4, generator=generator) - 1) * torch.tensor(_SPREAD)
        factors = spread + torch.tensor([1.0, 1.0, 1.0, 0.0])
        order = torch.rand(count, 4, generator=generator).argsort(dim=1)
        chance = torch.rand(count, 3, generator=generator)
        low, high = self.sigma
        return {
            "factors": factors,
            "order": order,
            "jitter": chance[:, 0] < _JITTERED,
            "grey": chance[:, 1] < _GREYED,
            "blur": chance[:, 2] < _BLURRED,
            "sigma": low + (high - low) * torch.rand(count, generator=generator),
        }

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Draw parameters and apply them.

        Args:
            frames: (N, 3, H, W) float RGB in [0, 1]; not changed.
            generator: CPU generator.

        Returns:
            The same shape and range.
        """
        draws = self.draw(len(frames), generator)
        frames = frames.clone()  # `_replace` changes the chosen frames in place
        for turn in range(4):
            for kind, adjust in enumerate(_ADJUSTMENTS):
                # each frame has its own order: the frames that get this adjustment at this turn
                chosen = draws["jitter"] & (draws["order"][:, turn] == kind)
                _replace(frames, chosen, adjust, draws["factors"][:, kind])
        # greyscale needs no parameter: `sigma` only fills the place
        _replace(frames, draws["grey"], lambda x, _: rgb_to_grayscale(x, 3), draws["sigma"])
        radius = math.ceil(3 * self.sigma[1])
        _replace(frames, draws["blur"], lambda x, sigma: gaussian_blur(x, sigma, radius), draws["sigma"])
        return frames

    def of_clips(self, clips: Tensor, key: Sequence[int]) -> Tensor:
        """Return clips `(B, T, 3, H, W)` in other colours, drawn for each frame; the draws are a function of `key`."""
        return self(clips.flatten(0, 1), seeded_generator(*key)).view_as(clips)


def _replace(frames: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], parameter: Tensor) -> None:
    """Change chosen frames of a batch in place, each frame by its own value of a parameter."""
    index = chosen.nonzero()[:, 0]
    if len(index):
        values = parameter[index].to(frames, non_blocking=True)[:, None, None, None]  # the CPU does not wait
        index = index.to(frames.device, non_blocking=True)
        frames.index_copy_(0, index, change(frames.index_select(0, index), values))


def adjust_brightness(frames: Tensor, factor: Tensor) -> Tensor:
    """Multiply frames (N, 3, H, W) by factor (N, 1, 1, 1), within [0, 1]."""
    return (frames * factor).clamp_(0, 1)


def adjust_contrast(frames: Tensor, factor: Tensor) -> Tensor:
    """Blend frames (N, 3, H, W) with their mean grey by factor (N, 1, 1, 1): 0 gives the grey, 1 the frames."""
    return torch.lerp(rgb_to_grayscale(frames).mean(dim=(1, 2, 3), keepdim=True), frames, factor).clamp_(0, 1)


def adjust_saturation(frames: Tensor, factor: Tensor) -> Tensor:
    """Blend frames (N, 3, H, W) with their grey image by factor (N, 1, 1, 1): 0 gives the grey, 1 the frames."""
    return torch.lerp(rgb_to_grayscale(frames), frames, factor).clamp_(0, 1)


def adjust_hue(frames: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue of frames (N, 3, H, W) by shift (N, 1, 1, 1), as a fraction of the colour circle.

    With smallest value m, chroma C and hue h in [0, 6), the colour is m + C · (|h - 3| - 1, 2 - |h - 2|, 2 - |h - 4|),
    the factors of C clamped to [0, 1].
    """
    red, green, blue = frames.split(1, dim=1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    smallest = torch.minimum(torch.minimum(red, green), blue)
    chroma = largest - smallest
    # hue times chroma: 0, 2 or 4 times the chroma (red, green or blue is largest) plus a difference; divided once
    blue_or_green = torch.where(largest == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    # 1: a grey pixel has chroma 0, and keeps its colour at any hue
    hue = torch.where(largest == red, green - blue, blue_or_green).div_(torch.where(chroma > 0, chroma, 1))
    hue = hue.add_(6 * shift).remainder_(6)  # red is 0, green 2, blue 4
    centre = torch.tensor([3.0, 2.0, 4.0]).to(frames, non_blocking=True).view(3, 1, 1)
    # the three factors of C: |h - 3| - 1 for red, 2 - |h - 2| for green, 2 - |h - 4| for blue
    factor = (hue - centre).abs_()
    factor[:, 0].sub_(1)
    factor[:, 1:].neg_().add_(2)
    return torch.addcmul(smallest, chroma, factor.clamp_(0, 1)).clamp_(0, 1)


def gaussian_blur(frames: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur frames (N, 3, H, W) with sigma (N, 1, 1, 1) in pixels: kernel of 2 · radius + 1, mirrored borders."""
    count, _, height, width = frames.shape
    offsets = torch.arange(-radius, radius + 1, dtype=frames.dtype, device=frames.device)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma.view(count, 1) ** 2), dim=1)  # Gaussians of sum 1
    kernel = kernel.repeat_interleave(3, dim=0)[:, None, None]  # (3N, 1, 1, K)
    planes = F.pad(frames, [radius] * 4, mode="reflect").view(1, 3 * count, height + 2 * radius, width + 2 * radius)
    planes = F.conv2d(planes, kernel, groups=3 * count)  # across, then down
    planes = F.conv2d(planes, kernel.transpose(2, 3), groups=3 * count)
    return planes.view_as(frames)


_ADJUSTMENTS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
