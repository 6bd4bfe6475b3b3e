"""Vision transformers of timm, seen as a map of their patches."""

from typing import Any

from torch import Tensor, nn

from .extractor import FeatureExtractor


def is_vit(network: nn.Module) -> bool:
    """Whether a network is a transformer of timm over a grid of patches."""
    return hasattr(network, "patch_embed") and hasattr(network, "forward_intermediates") and hasattr(network, "blocks")


class ViTExtractor(FeatureExtractor):
    """A view of a vision transformer after one or several of its blocks.

    Any input size: the position embedding is interpolated, and an image that is no whole number of patches is padded
    at the right and lower border, so the map has `ceil(H / patch) × ceil(W / patch)` cells. The model's final norm is
    applied to each map (as in DINO's evaluation); class and register tokens are left out.

    Args:
        network: a transformer from `build_network("timm:…")`.
        normalise: what is done to RGB in [0, 1] first.
        stage: `block1 … blockN`, or several of them; None is the last.
        stride: None or the model's patch size.

    Raises:
        ValueError: if a stage does not exist or the stride is not the patch size.
    """

    def __init__(
        self, network: Any, normalise: nn.Module, stage: str | list[str] | None = None, stride: int | None = None
    ) -> None:
        depth = len(network.blocks)
        super().__init__(stage or f"block{depth}")
        names = [f"block{number}" for number in range(1, depth + 1)]
        for name in self.stages:
            if name not in names:
                raise ValueError(f"stage {name!r}: this transformer has block1 … block{depth}")
        patch: tuple[int, int] = network.patch_embed.patch_size
        if stride not in (None, patch[0]):
            raise ValueError(f"stride {stride}: this transformer's patches are {patch[0]} px, so its stride is fixed")
        self.network: Any = network
        self.normalise = normalise
        self._blocks = [names.index(name) for name in self.stages]
        self.stride = self._in_form_of_stage([patch[0]] * len(self.stages))
        self.multiple = patch[0]
        self.eval()

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `FeatureExtractor`."""
        wanted = sorted(set(self._blocks))
        maps = self.network.forward_intermediates(
            self.normalise(images),
            indices=wanted,
            norm=True,
            stop_early=True,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        return [maps[wanted.index(block)] for block in self._blocks]
