"""Vision transformers of timm: their positions, and networks of papers that timm makes by options."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .extractor import attribute_set, has_parts


def is_vit(network: nn.Module) -> bool:
    """Return whether a network is a transformer of timm whose blocks all keep the grid of patches."""
    has_grid = hasattr(getattr(network, "patch_embed", None), "feat_ratio")
    return has_grid and has_parts(network, "forward_intermediates", "blocks", "num_prefix_tokens")


@contextmanager
def positions_set(network: Any, embedding: Tensor, grid: tuple[int, int]) -> Iterator[None]:
    """Give a ViT of timm another position embedding during a block, and restore its own.

    Args:
        embedding: `(1, prefix + grid[0] · grid[1], C)`.
        grid: rows and columns of `embedding`.
    """
    own = network.pos_embed
    with attribute_set(network.patch_embed, "grid_size", grid):
        # `setattr` would refuse a tensor that is no Parameter
        network._parameters["pos_embed"] = embedding
        try:
            yield
        finally:
            network._parameters["pos_embed"] = own


def vit_small_patch16_reg4() -> nn.Module:
    """Return T-CoRe's network with random weights: DINOv2's ViT-S with four registers, patches of 16 px, for 224 px."""
    return _of_any_size("vit_small_patch14_reg4_dinov2", img_size=224, patch_size=16)


def vit_base_patch16_reg4() -> nn.Module:
    """Return the ViT-B in place of the ViT-S of `vit_small_patch16_reg4`."""
    return _of_any_size("vit_base_patch14_reg4_dinov2", img_size=224, patch_size=16)


def moco_v3_vit_small() -> nn.Module:
    """Return MoCo v3's ViT-S, which has 12 heads (Chen et al., ICCV 2021, section 5; its code, `vits.py`)."""
    return _of_any_size("vit_small_patch16_224", num_heads=12)


def moco_v3_vit_base() -> nn.Module:
    """Return MoCo v3's ViT-B."""
    return _of_any_size("vit_base_patch16_224", num_heads=12)


def _of_any_size(name: str, **options: Any) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=0, dynamic_img_size=True, dynamic_img_pad=True, **options)


def dino_positions(embedding: Tensor, grid: tuple[int, int], size: tuple[int, int], prefix: int = 1) -> Tensor:
    """Interpolate a position embedding as in DINO's code: plain bicubic, by a scale factor.

    The scale factor `(cells + 0.1) / cells of the embedding` determines the sampling grid, not the ratio of the sizes.
    timm antialiases and uses the sizes; the results differ by several percent.
    Source: facebookresearch/dino, `vision_transformer.py`, `interpolate_pos_encoding` (Caron et al., ICCV 2021).

    Args:
        embedding: `(1, prefix + grid[0] · grid[1], C)`.
        grid: rows and columns of the embedding.
        size: rows and columns of the result.
        prefix: number of embeddings of class and register tokens, which stay as they are.

    Returns:
        `(1, prefix + size[0] · size[1], C)`.

    Example:
        >>> embedding = torch.tensor([9.0, 0.0, 1.0, 2.0, 3.0]).view(1, 5, 1)  # of a class token, and of 2 x 2 patches
        >>> dino_positions(embedding, (2, 2), (2, 3)).flatten()
        tensor([ 9.0000, -0.1241,  0.4297,  1.0326,  1.7955,  2.3493,  2.9522])
    """
    patches = embedding[:, prefix:].unflatten(1, grid).permute(0, 3, 1, 2)
    scale = ((size[0] + 0.1) / grid[0], (size[1] + 0.1) / grid[1])
    exact = patches.to(torch.promote_types(patches.dtype, torch.float32))
    resized = interpolate(exact, scale_factor=scale, mode="bicubic")
    rows = resized.to(embedding.dtype).permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([embedding[:, :prefix], rows], dim=1)
