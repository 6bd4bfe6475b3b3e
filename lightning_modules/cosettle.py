"""Co-Settle: a light projection on a frozen image encoder learns correspondence from pairs of frames."""

from collections import OrderedDict
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cosine_similarity, cross_entropy, interpolate, kl_div, normalize
from torchvision.ops import Permute

from vidcorr.backbones import NetworkName, width_of
from vidcorr.backbones.extractor import Dilated
from vidcorr.backbones.vit import is_vit, positions_set
from vidcorr.functional.device import world_size_and_rank
from vidcorr.videos.files import require_at_least, require_fractions

from .base import Batch, CorrespondenceModule
from .parts.heads import ProjectedExtractor, start_linear

EPSILON = 1e-6
"""Added to the probabilities of a walk before the logarithm, as in the released code."""
WINDOW = 2
"""Side of the squares of cells that are averaged to a node of the walk, as in the released code."""


def augmented_positions(positions: Tensor, stretch: float, corner: tuple[int, int]) -> Tensor:
    """Cut a piece of the original size out of a stretched position embedding `(1, h, w, d)`.

    Source: Co-Settle, section 3 ("positional encoding augmentation"); plain bicubic, without anti-aliasing.

    Args:
        positions: the embedding.
        stretch: α: the embedding is resized to `int((1 + α) h) × int((1 + α) w)` cells.
        corner: row and column of the piece's first cell; the piece must lie in the stretched embedding.
    """
    height, width = positions.shape[1:3]
    size = stretched_size((height, width), stretch)
    exact = positions.permute(0, 3, 1, 2).to(torch.promote_types(positions.dtype, torch.float32))
    stretched = interpolate(exact, size=size, mode="bicubic", align_corners=False)
    row, column = corner
    piece = stretched[:, :, row : row + height, column : column + width]
    return piece.permute(0, 2, 3, 1).to(positions.dtype)


def stretched_size(size: tuple[int, int], stretch: float) -> tuple[int, int]:
    """Return the rows and columns of a position embedding after a stretch by 1 + α, rounded down."""
    return int((1 + stretch) * size[0]), int((1 + stretch) * size[1])


def separability_loss(projected: Tensor, frozen: Tensor) -> Tensor:
    """Return the distance of projected tokens p̂ from frozen ones ẑ, both `(B, 3, N, d)`, as distributions over d.

    The distance is KL(ẑ ‖ p̂), as in the released code, summed over encodings, tokens and channels, and divided by B;
    the paper's Eq. 3 is KL(p̂ ‖ ẑ). The scalar is float32 or finer.
    """
    exact = torch.promote_types(projected.dtype, torch.float32)
    log_p = projected.to(exact).log_softmax(-1)
    log_z = frozen.to(exact).log_softmax(-1)
    return kl_div(log_p, log_z, reduction="batchmean", log_target=True)


def projection_head(width: int) -> nn.Sequential:
    """Return the projection g of tokens `(…, width)`: a linear layer by Xavier, tanh and LayerNorm."""
    layers = OrderedDict(linear=nn.Linear(width, width), tanh=nn.Tanh(), norm=nn.LayerNorm(width))
    return nn.Sequential(layers).apply(start_linear)


class CoSettle(CorrespondenceModule):
    """A projection of a frozen encoder's features, trained so that walks between two frames return.

    The earlier frame, the later frame, and the earlier frame under a changed position embedding are encoded without
    gradient and projected. A walk over cells goes from the first to the second and to the third encoding, and should
    end at its start. The projected tokens stay near the frozen tokens, as distributions over channels ("separability").

    An encoder without a position embedding (a ResNet, `vidcorr-r18`; also a ViT with rotary positions) has no third
    encoding: the walk returns to the first encoding, whose separability counts twice, so that λ keeps its scale. The
    walk may then use positions that padding leaves in the frozen features.

    Paper: Co-Settle (CVPR 2026), arXiv 2603.26597; where the paper differs, the module follows the released code
    (yafeng19/Co-Settle). Deliberate difference: RGB is normalised as in the encoder's training, not always as
    ImageNet's. Data: `data.sampling` FractionPairs, `data.crops` PairCrops, as in `configs/cosettle.yaml`.

    Args:
        backbone: the frozen encoder: a checkpoint, `timm:NAME`, `torchvision:NAME`, `package.module:callable`, a short
            name, or `raw_colour`.
        stage: stage of the projected features; None is the network's default.
        stride: pixels per cell in training; None is the network's default.
        pretrained: load the library's weights, for names of timm and torchvision.
        temperature: τ of the walk.
        stretch: α of the changed position embedding; 0 keeps the embedding.
        separability: λ, weight of the separability. Its sum over tokens grows with the size of the map: 3 belongs to
            14 × 14 cells.
        base_lr: learning rate for a global batch of 256 videos, scaled linearly.
        warmup: fraction of the run in which the rate rises; it then falls to 0 by a half cosine.
        weight_decay: of the linear weights.
        seed: seed of the changed position embeddings, which differ between ranks; None: the run's.

    Raises:
        ValueError: if the backbone is unknown, or a number is out of range; in training, if clips have a single frame,
            or frames are too small.
    """

    def __init__(
        self,
        backbone: NetworkName,
        stage: str | None = None,
        stride: int | None = None,
        pretrained: bool = False,
        temperature: float = 0.03,
        stretch: float = 10.0,
        separability: float = 3.0,
        base_lr: float = 1e-4,
        warmup: float = 0.2,
        weight_decay: float = 0.05,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_fractions(warmup=warmup)
        require_at_least(0, stretch=stretch)
        self.stage = stage
        self.stride = stride
        self.temperature = temperature
        self.stretch = stretch
        self.separability = separability
        self.base_lr = base_lr
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.backbone: Any = self.frozen_network(backbone, pretrained).requires_grad_(False).eval()
        self.projection = projection_head(width_of(self.frozen_view()))

    def frozen_view(self, stride: int | None = None, dilated: Dilated = False) -> Any:
        """Return a view of the frozen encoder at this module's stage, and by default at its stride."""
        return self.backbone.view(self.stage, stride or self.stride, dilated)

    def maps(self, images: Tensor, stage: str | None = None, network: nn.Module | None = None) -> Tensor:
        """Return the frozen encoder's maps at this module's stage."""
        return self.frozen_view().feature_extractor(stage)(images)

    @torch.no_grad()
    def encode(self, first: Tensor, second: Tensor) -> Tensor:
        """Return frozen maps `(B, 3, d, h, w)`: of the first frame, the second, and the first with changed positions.

        Without a position embedding, or with `stretch` 0, the third map is the first map again.

        Args:
            first: the earlier frames, `(B, 3, H, W)` in [0, 1].
            second: the later frames.
        """
        extractor = self.frozen_view()
        frozen_first = extractor(first)
        frozen_second = extractor(second)
        frozen_return = frozen_first
        network: Any = getattr(extractor, "network", None)
        if self.stretch and is_vit(network) and network.pos_embed is not None:
            size = tuple(frozen_first.shape[2:])
            with positions_set(network, self.drawn_positions(network, size), size):
                frozen_return = extractor(first)
        return torch.stack([frozen_first, frozen_second, frozen_return], dim=1)

    def drawn_positions(self, network: Any, size: tuple[int, int]) -> Tensor:
        """Return a random piece of a ViT's stretched position embedding for h × w patches: `(1, prefix + h · w, d)`.

        The positions of the `prefix` class and register tokens stay as they are.
        """
        from timm.layers import resample_abs_pos_embed

        embedding = network.pos_embed
        grid = list(network.patch_embed.grid_size)
        prefix = embedding.shape[1] - grid[0] * grid[1]
        resampled = resample_abs_pos_embed(embedding, list(size), grid, prefix)
        generator = self.generator(world_size_and_rank()[1])
        rows, columns = stretched_size(size, self.stretch)
        row = int(torch.randint(rows - size[0] + 1, (), generator=generator))
        column = int(torch.randint(columns - size[1] + 1, (), generator=generator))
        patches = resampled[:, prefix:].unflatten(1, size)
        piece = augmented_positions(patches, self.stretch, (row, column))
        return torch.cat([resampled[:, :prefix], piece.flatten(1, 2)], dim=1)

    def losses(self, frozen: Tensor) -> dict[str, Tensor]:
        """Return the loss and its parts, of the maps of `encode`.

        Returns:
            `loss`; `cycle` and `separability`, its parts; `accuracy`, the fraction of walks whose likeliest end is
            their start; `identity`, the cosine between the walks' transition matrices and the identity.
        """
        # both B x 3 x h x w x d
        projected = normalize(self.projection(frozen.movedim(2, -1)), dim=-1)
        frozen_unit = normalize(frozen.movedim(2, -1), dim=-1)
        # under autocast `walk` would be in half precision
        with torch.autocast(frozen.device.type, enabled=False):
            # a node of the walk is the mean over a square of WINDOW × WINDOW cells: B x 3 x n x d
            pooled = avg_pool2d(projected.flatten(0, 1).movedim(-1, 1), WINDOW)
            nodes = pooled.flatten(2).mT.unflatten(0, projected.shape[:2])
            first, second, last = nodes.to(torch.promote_types(nodes.dtype, torch.float32)).unbind(1)
            there = (first @ second.mT / self.temperature).softmax(-1)
            back = (second @ last.mT / self.temperature).softmax(-1)
            walk = there @ back
            starts = torch.arange(walk.shape[1], device=walk.device).repeat(len(walk))
            cycle = cross_entropy((walk + EPSILON).log().flatten(0, 1), starts)
            separability = separability_loss(projected.flatten(2, 3), frozen_unit.flatten(2, 3))
        with torch.no_grad():
            returned = walk.argmax(-1).flatten() == starts
            identity = torch.eye(walk.shape[1], dtype=walk.dtype, device=walk.device).expand_as(walk)
            cosine = cosine_similarity(walk.flatten(), identity.flatten(), dim=0)
        parts = {"cycle": cycle.detach(), "separability": separability.detach()}
        parts |= {"accuracy": returned.float().mean(), "identity": cosine}
        return {"loss": cycle + self.separability * separability} | parts

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of pairs of frames, the first and the last of each clip.

        Raises:
            ValueError: for clips of a single frame, or frames whose maps are smaller than a node of the walk.
        """
        clip = batch["clip"]
        if clip.shape[1] < 2:
            raise ValueError("clips of 1 frame hold no pair: set data.frames to 2")
        frozen = self.encode(clip[:, 0], clip[:, -1])
        height, width = frozen.shape[-2:]
        if min(height, width) < WINDOW:
            raise ValueError(f"maps of {height} × {width} cells hold no {WINDOW} × {WINDOW} cells: raise data.size")
        return self.losses(frozen)

    def feature_extractor(
        self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False
    ) -> nn.Module:
        """Return a `ProjectedExtractor` of the projected features, which shares the weights.

        Raises:
            ValueError: for another stage than this module's.
        """
        if stage not in (None, self.stage):
            trained_on = self.stage or "the encoder's default"
            raise ValueError(f"CoSettle: its projection was trained on {trained_on}, not on stage {stage}")
        view = self.frozen_view(stride, dilated).changed(described=self.described)
        # the projection takes the channels last
        over_cells = nn.Sequential(Permute([0, 2, 3, 1]), self.projection, Permute([0, 3, 1, 2]))
        return ProjectedExtractor(view, over_cells)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with betas 0.9 and 0.95, a linear warm-up and a half cosine to 0 by step."""
        return self.adamw_with_warmup(self.base_lr, self.weight_decay, self.warmup)
