"""Vision transformers of timm, seen as a map of their patches."""

from typing import Any

from torch import Tensor, nn

from .extractor import FeatureExtractor


def is_vit(network: nn.Module) -> bool:
    """Return True if a network is a transformer of timm over a grid of patches."""
    grid = hasattr(getattr(network, "patch_embed", None), "feat_ratio")
    return grid and hasattr(network, "forward_intermediates") and hasattr(network, "blocks")


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
        ValueError: if a stage does not exist, the stride is not the patch size, or the model takes one size of image
            only.
    """

    def __init__(
        self, network: Any, normalise: nn.Module, stage: str | list[str] | None = None, stride: int | None = None
    ) -> None:
        if getattr(network.patch_embed, "strict_img_size", False):
            height, width = network.patch_embed.img_size
            raise ValueError(
                f"{type(network).__name__}: takes images of {height} x {width} px only; take a transformer of any "
                "size, for example timm:vit_small_patch16_224 or timm:deit_small_patch16_224"
            )
        depth = len(network.blocks)
        super().__init__(stage or f"block{depth}")
        names = [f"block{number}" for number in range(1, depth + 1)]
        for name in self.stages:
            if name not in names:
                raise ValueError(f"stage {name!r}: this transformer has block1 … block{depth}")
        patch: int = network.patch_embed.feat_ratio()  # of a hybrid: with the convolutions before
        if stride not in (None, patch):
            raise ValueError(f"stride {stride}: this transformer's patches are {patch} px, so its stride is fixed")
        self.network: Any = network
        self.normalise = normalise
        self._blocks = [names.index(name) for name in self.stages]
        self.stride = self._in_form_of_stage([patch] * len(self.stages))
        self.multiple = patch
        self.eval()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the feature map of images, as `FeatureExtractor` describes it."""
        wanted = sorted(set(self._blocks))
        below, right = (-side % self.multiple for side in images.shape[2:])
        # timm pads too, but takes a hybrid's grid for smaller than it then is
        maps = self.network.forward_intermediates(
            nn.functional.pad(self.normalise(images), (0, right, 0, below)),
            indices=wanted,
            norm=True,
            stop_early=True,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        return [maps[wanted.index(block)] for block in self._blocks]
