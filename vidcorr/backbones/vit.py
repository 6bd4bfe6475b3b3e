"""Networks of timm, and vision transformers as DINO's authors publish them, seen as maps."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ..description import IMAGENET_MEAN, IMAGENET_STD, UNKNOWN, Input
from .extractor import OUTPUT, FeatureExtractor, attribute_set, has_parts, is_of_library, stage_indices, stage_names
from .outputs import map_of_tokens, measured_stride, patch_of, require_map

NCHW = {"output_fmt": "NCHW", "intermediates_only": True}
"""Arguments by which timm's `forward_intermediates` returns only maps `(N, C, h, w)`."""


def is_of_timm(network: nn.Module) -> bool:
    """Return whether a network is of timm and has `forward_features`, which gives the map before the pooling."""
    return is_of_library(network, "timm") and hasattr(network, "forward_features")


class TimmExtractor(FeatureExtractor):
    """A view of a network of timm that is neither a ResNet nor a transformer with blocks.

    Its stages are `features`, the last map before the pooling; and for most networks (ConvNeXt, Swin, EfficientNet, …)
    `stage1 … stageN`, the entries of their `feature_info`. Tokens at `features` become a map if the side of a patch is
    known.

    Args:
        network: of timm. It is not copied: pass a copy (`module_copy`) to keep yours.
        stage: a name; None is `features`.
        stride: None, or the stride of the stage.

    Raises:
        ValueError: if a stage does not exist or its stride differs, or the network takes images of one size only.

    Example:
        >>> import timm
        >>> with torch.device("meta"):
        ...     network = timm.create_model("test_convnext")
        ...     for stage in (None, "stage2", "features+stage4"):
        ...         view = TimmExtractor(network, stage)
        ...         print(view.stage, view.stride, tuple(view(torch.zeros(1, 3, 64, 96)).shape))
        features 32 (1, 64, 2, 3)
        stage2 8 (1, 32, 8, 12)
        features+stage4 32 (1, 128, 2, 3)
    """

    input = UNKNOWN
    reads = "forward_features"

    def __init__(self, network: nn.Module, stage: str | None = None, stride: int | None = None) -> None:
        # number of the stages that `forward_intermediates` gives
        count = len(getattr(network, "feature_info", None) or ()) if hasattr(network, "forward_intermediates") else 0
        super().__init__(stage or OUTPUT, [OUTPUT, *stage_names("stage", count)], type(network).__name__)
        self.network: Any = network
        self.eval()
        self.set_stride(measured_stride(view=self, function=self), stride)
        self.multiple = self.stride  # some networks drop a last incomplete cell

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the view's stages, concatenated along the channels to `(N, C, h, w)`.

        Raises:
            ValueError: if the stages' strides differ.
        """
        maps: dict[str, Tensor] = {}
        indices = stage_indices(self.stages, "stage")
        if indices:
            intermediates = self.network.forward_intermediates(images, indices=indices, stop_early=True, **NCHW)
            maps = self.numbered("stage", intermediates)
        if OUTPUT in self.stages:
            features = self.network.forward_features(images)
            if features.ndim == 4 and str(getattr(self.network, "output_fmt", "")).endswith("NHWC"):  # channels last
                features = features.permute(0, 3, 1, 2)
            maps[OUTPUT] = map_of_tokens(features, patch_of(self.network), images.shape[2:])
        self.require_one_stride(maps, images.shape[2])
        return self.joined(maps)


def is_vit(network: nn.Module) -> bool:
    """Return whether a network is a transformer of timm whose blocks all keep the grid of patches."""
    has_grid = hasattr(getattr(network, "patch_embed", None), "feat_ratio")
    return has_grid and has_parts(network, "forward_intermediates", "blocks", "num_prefix_tokens")


class ViTExtractor(FeatureExtractor):
    """A view of a vision transformer after one of its blocks, or after several.

    Any input size: the position embedding is interpolated, and images are padded at the right and lower border to a
    multiple of the stride, so the map has `ceil(H / stride) × ceil(W / stride)` cells. The model's final norm is
    applied to every block's map (as in DINO's evaluation) unless `final_norm` is False (as in Probe3D's and
    OmniProbe's); class and register tokens are left out.

    `positions` chooses the interpolation of the position embedding: "network": timm's, with antialiasing; "dino": plain
    bicubic, by a scale factor, as in DINO's code.

    A stride smaller than the side of a patch makes patches overlap (DINO-Tracker, Tumanyan et al., ECCV 2024): the
    convolution over patches moves by the stride. The image is padded with zeros, the mean colour, so that a patch stays
    centred on its cell; the original code leaves out the cells at the border.

    Args:
        network: a transformer of timm. It is not copied and is changed: pass a copy (`module_copy`) to keep yours.
        stage: `block1 … blockN`, or several with + between them; None is the last block.
        stride: pixels per cell, a divisor of the side of a patch; None is this side.

    Raises:
        ValueError: if a stage does not exist, the stride does not divide the patch, or the network takes images of a
            single size only.

    Example:
        >>> with torch.device("meta"):
        ...     view = ViTExtractor(_of_any_size("test_vit"), "block2+block1")
        ...     features = view(torch.zeros(1, 3, 64, 90))  # of patches of 16 px, 64 channels a block
        >>> view.stride, view.multiple, features.shape
        (16, 16, torch.Size([1, 128, 4, 6]))
        >>> from timm.models import VisionTransformer
        >>> ViTExtractor(VisionTransformer(64, 8, embed_dim=48, depth=1, num_heads=3))
        Traceback (most recent call last):
            ...
        ValueError: VisionTransformer: takes images of one size: make it with dynamic_img_size=True where timm ...
    """

    input = UNKNOWN
    reads = "forward_intermediates"

    def __init__(self, network: Any, stage: str | None = None, stride: int | None = None) -> None:
        if network.patch_embed.strict_img_size:
            remedy = "make it with dynamic_img_size=True where timm offers it, or name it timm:NAME"
            raise ValueError(f"{type(network).__name__}: takes images of one size: {remedy}")
        depth = len(network.blocks)
        super().__init__(stage or f"block{depth}", stage_names("block", depth), "this transformer")
        patch: int = network.patch_embed.feat_ratio()  # includes the convolutions of a hybrid
        step = stride or patch
        if step != patch:
            convolution = network.patch_embed.proj
            if patch % step or convolution.kernel_size != (patch, patch):  # a hybrid's patch has several convolutions
                raise ValueError(f"stride {step}: not a divisor of patches of {patch} px, which one convolution makes")
            convolution.stride = (step, step)
            network.patch_embed.patch_size = (step, step)  # what timm pads to
        self.network: Any = network
        self.has_positions = getattr(network, "pos_embed", None) is not None
        # fields of a protocol that change nothing here: the rule by which positions are interpolated
        self.ignores = () if self.has_positions else ("position_embedding",)
        self.patch = patch
        self.stride = step
        self.multiple = step
        self.eval()

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the blocks, joined along the channels to `(N, C, h, w)`, from one pass."""
        step = self.stride
        height, width = images.shape[2:]
        before = (self.patch - step) // 2  # centres a patch that is larger than the stride on its cell
        after = self.patch - step - before
        right = after + -width % step  # and up to whole cells
        lower = after + -height % step
        # timm pads too, but counts the cells of a hybrid's grid from sides that it rounds down
        padded = pad(images, (before, right, before, lower))
        # rows and columns of the map
        size = ((padded.shape[2] - self.patch) // step + 1, (padded.shape[3] - self.patch) // step + 1)
        form = {"output_fmt": "NLC", "intermediates_only": True, "stop_early": True}
        indices = stage_indices(self.stages, "block")
        with self._interpolated(size):
            outputs = self.network.forward_intermediates(padded, indices=indices, norm=self.final_norm, **form)
        maps = [tokens.transpose(1, 2).unflatten(2, size) for tokens in outputs]
        return self.joined(self.numbered("block", maps))

    @contextmanager
    def _interpolated(self, size: tuple[int, int]) -> Iterator[None]:
        """Give the network a position embedding interpolated by DINO's rule during a block, if `positions` is "dino".

        Args:
            size: rows and columns of the embedding.
        """
        grid = self.network.patch_embed.grid_size  # rows and columns of the network's own embedding
        if self.positions != "dino" or not self.has_positions or grid == size:
            yield
            return
        embedding = self.network.pos_embed
        prefix = embedding.shape[1] - grid[0] * grid[1]  # number of class and register tokens
        with positions_set(self.network, dino_positions(embedding, grid, size, prefix), size):
            yield


def gives_blocks(network: nn.Module) -> bool:
    """Return whether a network has blocks, DINO's method `get_intermediate_layers`, and patches of a known side."""
    return has_parts(network, "blocks", "get_intermediate_layers") and patch_of(network) is not None


class BlocksExtractor(FeatureExtractor):
    """A view of a vision transformer of DINO, DINOv2 or DINOv3, as their authors publish them.

    Tokens come from `get_intermediate_layers(images, n)`, after the final norm, in one pass for all stages; class and
    register tokens are left out. Images are padded to a multiple of the patch, as by `ViTExtractor`.

    Args:
        network: the transformer, with `blocks` and `get_intermediate_layers`.
        stage: `block1 … blockN`, or several with + between them; None is the last block.
        stride: None, or the side of a patch.

    Raises:
        ValueError: if a stage does not exist, or for another stride.
    """

    input = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="the default of DINO's, DINOv2's and DINOv3's")
    ignores = ("position_embedding",)
    reads = "get_intermediate_layers"

    def __init__(self, network: Any, stage: str | None = None, stride: int | None = None) -> None:
        self.depth: int = getattr(network, "n_blocks", len(network.blocks))  # DINOv2 may keep them in chunks
        super().__init__(stage or f"block{self.depth}", stage_names("block", self.depth), "this transformer")
        self.network: Any = network
        # whether the caller may leave the final norm out
        self.chooses_norm = "norm" in inspect.signature(network.get_intermediate_layers).parameters
        self.multiple = patch_of(network) or 1
        self.set_stride(self.multiple, stride)
        self.eval()

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the blocks, joined along the channels to `(N, C, h, w)`, from one pass.

        Raises:
            ValueError: if `final_norm` is False and the network can give features only after its final norm.
        """
        if not self.final_norm and not self.chooses_norm:
            raise ValueError(f"{type(self.network).__name__}: gives features after its final norm only")
        padded = pad(images, (0, -images.shape[3] % self.stride, 0, -images.shape[2] % self.stride))
        options = {"norm": self.final_norm} if self.chooses_norm else {}
        indices = stage_indices(self.stages, "block")  # ascending
        first = indices[0]
        # n asks for the last n blocks: here all from the first wanted block
        outputs = self.network.get_intermediate_layers(padded, n=self.depth - first, **options)
        maps: list[Tensor] = []
        for index in indices:
            output = map_of_tokens(outputs[index - first], self.stride, padded.shape[2:])
            maps.append(require_map(output, self.network_name))
        return self.joined(self.numbered("block", maps))


@contextmanager
def positions_set(network: Any, embedding: Tensor, grid: tuple[int, int]) -> Iterator[None]:
    """Give a ViT of timm another position embedding during a block, and restore its own.

    Args:
        network: the ViT.
        embedding: `(1, prefix + grid[0] · grid[1], C)`.
        grid: rows and columns of `embedding`.

    Example:
        >>> network = _of_any_size("test_vit")
        >>> with positions_set(network, torch.zeros(1, 1 + 2 * 3, 64), (2, 3)):
        ...     network.pos_embed.shape, network.patch_embed.grid_size
        (torch.Size([1, 7, 64]), (2, 3))
        >>> network.pos_embed.shape, network.patch_embed.grid_size
        (torch.Size([1, 101, 64]), (10, 10))
    """
    own = network.pos_embed
    with attribute_set(network.patch_embed, "grid_size", grid):
        network._parameters["pos_embed"] = embedding  # `setattr` would refuse a tensor that is no Parameter
        try:
            yield
        finally:
            network._parameters["pos_embed"] = own


def vit_small_patch16_reg4() -> nn.Module:
    """Return T-CoRe's network with random weights: DINOv2's ViT-S with four registers, patches of 16 px, for 224 px.

    Example:
        >>> with torch.device("meta"):
        ...     network = vit_small_patch16_reg4()
        >>> network.patch_embed.patch_size, network.patch_embed.grid_size, network.num_reg_tokens, network.embed_dim
        ((16, 16), (14, 14), 4, 384)
    """
    return _of_any_size("vit_small_patch14_reg4_dinov2", img_size=224, patch_size=16)


def vit_base_patch16_reg4() -> nn.Module:
    """Return the ViT-B in place of the ViT-S of `vit_small_patch16_reg4`.

    Example:
        >>> with torch.device("meta"):
        ...     network = vit_base_patch16_reg4()
        >>> network.patch_embed.patch_size, network.patch_embed.grid_size, network.num_reg_tokens, network.embed_dim
        ((16, 16), (14, 14), 4, 768)
    """
    return _of_any_size("vit_base_patch14_reg4_dinov2", img_size=224, patch_size=16)


def moco_v3_vit_small() -> nn.Module:
    """Return MoCo v3's ViT-S, which has 12 heads (Chen et al., ICCV 2021, section 5; its code, `vits.py`).

    Example:
        >>> with torch.device("meta"):
        ...     network = moco_v3_vit_small()
        >>> network.blocks[0].attn.num_heads, network.embed_dim
        (12, 384)
    """
    return _of_any_size("vit_small_patch16_224", num_heads=12)


def moco_v3_vit_base() -> nn.Module:
    """Return MoCo v3's ViT-B."""
    return _of_any_size("vit_base_patch16_224", num_heads=12)


def _of_any_size(name: str, **options: Any) -> nn.Module:
    """Return a transformer of timm with random weights, without classifier, that takes images of any size.

    Example:
        >>> with torch.device("meta"):
        ...     network = _of_any_size("test_vit")
        >>> network.num_classes, network.dynamic_img_size, network.patch_embed.dynamic_img_pad
        (0, True, True)
    """
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
    exact = patches.to(torch.promote_types(patches.dtype, torch.float32))  # float32 or finer
    resized = interpolate(exact, scale_factor=scale, mode="bicubic")
    rows = resized.to(embedding.dtype).permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([embedding[:, :prefix], rows], dim=1)
