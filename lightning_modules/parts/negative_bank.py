"""The bank of negatives for Liir's second phase: cells of other videos."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from vidcorr.functional.device import to_device, world_size_and_rank
from vidcorr.functional.negatives import per_query_logsumexp, same_place_logsumexp, shared_logsumexp
from vidcorr.functional.position import Displacement
from vidcorr.functional.window_tiles import Border
from vidcorr.videos.files import require_at_least, require_one_of

from .distributed import own_rows
from .momentum import KeyQueue

Negatives = Literal["per_query", "same_place", "shared"]
EncodedBy = Literal["learned", "average"]


@dataclass(frozen=True)
class BankSettings:
    """Choices for the negatives of Liir.

    Args:
        frames: number of stored frames of other videos; 0 leaves inter-video reconstruction out.
        points: number of random cells per stored frame, for "per_query" and "shared".
        negatives: "per_query": store feature maps; every cell of a query draws new cells of all frames at every step,
            as in the paper's text. "same_place": store feature maps; a query takes the cells of a window around its
            place in all frames, the geometry of the public code. "shared": draw the cells of a frame when it is
            stored; all queries share them, and memory is `side² / points` times smaller.
        encoder: encoder of the stored frames: "average" as in MoCo, which the paper cites (section 3.3), or "learned".
            Keys never take a gradient. Products are not normalised: keys of a lagging average are smaller than learned
            references, and take little of the softmax.
        modulation: displacement of the position map: "shift" by a random step, "shuffle" its cells, or "none".

    Raises:
        ValueError: for an unknown choice, or a number out of range.
    """

    frames: int = 1440
    points: int = 4
    negatives: Negatives = "per_query"
    encoder: EncodedBy = "average"
    modulation: Displacement = "shift"

    def __post_init__(self) -> None:
        require_at_least(0, "bank", frames=self.frames)
        require_at_least(1, "bank", points=self.points)
        require_one_of(get_args(Negatives), negatives=self.negatives)
        require_one_of(get_args(EncodedBy), encoder=self.encoder)
        require_one_of(get_args(Displacement), modulation=self.modulation)


class NegativeBank(KeyQueue):
    """Queue of stored frames; it starts empty, and a frame is never a negative of its own video.

    Paper: Liir, section 3.3.

    Args:
        settings: kind and number of the stored cells.
        width: channels of a feature map.
        side: height and width of the feature maps of training, in cells.
        radius: radius of the window of "same_place", in cells.
        border: as of `Liir`.
    """

    def __init__(self, settings: BankSettings, width: int, side: int, radius: int, border: Border) -> None:
        shared = settings.negatives == "shared"
        keys = settings.frames * settings.points if shared else settings.frames
        key_shape = width if shared else (side, side, width)
        super().__init__(keys, key_shape, seed=None)
        self.points = settings.points
        self.kind = settings.negatives
        self.radius = radius
        self.border = border

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Save only the rows of keys that came from videos: the first rows, until the bank is full."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        filled = int(self.filled.sum())
        if filled < len(self):
            # without `clone` torch would save the whole
            destination[f"{prefix}keys"] = self.keys[:filled].clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: object) -> None:
        name = f"{prefix}keys"
        saved = state_dict.get(name)
        if saved is not None and len(saved) < len(self):
            empty = saved.new_zeros(len(self) - len(saved), *saved.shape[1:])
            state_dict[name] = torch.cat([saved, empty])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def keys_of(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Return the keys of new frames, of feature maps `(B, C, h, w)`: `(B, points, C)` or `(B, 1, h, w, C)`.

        Args:
            features: feature maps of this rank's videos.
            generator: on the CPU, in the same state on all ranks; draws the cells of all ranks' frames for "shared".
        """
        if self.kind != "shared":
            return features.movedim(1, -1).unsqueeze(1).contiguous()
        places = features.flatten(2)
        videos = len(features)
        ranks, _ = world_size_and_rank()
        drawn = torch.randint(places.shape[2], (ranks * videos, self.points), generator=generator)
        index = to_device(own_rows(drawn, videos), features.device)[:, None]
        return places.take_along_dim(index, 2).mT.contiguous()

    def logsumexp(self, query: Tensor, video_index: Tensor, generator: torch.Generator) -> Tensor:
        """Return `log Σ exp(q·v)` of each cell q over its negatives v: `(B, C, h, w)` → `(B, h, w)`.

        It is −∞ while a query has no negatives: the bank is empty, or holds its own video alone.

        Args:
            query: features of the query.
            video_index: `(B,)` long, videos of the samples.
            generator: on the CPU, in the same state on all ranks; "per_query" draws from it.
        """
        unusable = self.same_video(video_index) | ~self.filled
        if self.kind == "shared":
            return shared_logsumexp(query, self.keys, unusable)
        maps = self.keys.movedim(-1, 1)
        if self.kind == "same_place":
            return same_place_logsumexp(query, maps, self.radius, self.border, unusable)
        seed = int(torch.randint(1 << 32, (), generator=generator))
        return per_query_logsumexp(query, maps, self.points, seed, unusable)
