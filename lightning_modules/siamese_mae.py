"""Siamese masked prediction: a picture, nearly all of it masked, is predicted from another view of the same scene."""

from typing import Any

import torch
from einops import rearrange
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidcorr.backbones import NetworkName
from vidcorr.backbones.networks import LIBRARIES, is_checkpoint
from vidcorr.backbones.vit import is_vit
from vidcorr.functional.device import random_state_kept, to_device, world_size_and_rank
from vidcorr.videos.files import require_fractions

from .base import Batch, CorrespondenceModule
from .parts.heads import start_linear

NORM_EPSILON = 1e-6
"""Epsilon of the decoder's LayerNorms, as in MAE's code."""
DECODER_HIDDEN = 2048
"""Hidden width of the decoder's MLPs, as in CropMAE's code."""


def sine_cosine_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return the fixed position embedding of a grid and of its class token, whose position is zero.

    The first half of the channels encodes the column, the second half the row, each as `[sin(p ω_k), cos(p ω_k)]` with
    `ω_k = 10000^(−k / (width / 4))`.

    Source: MAE (He et al., CVPR 2022), `models_mae.py`.

    Args:
        rows: rows of the grid.
        columns: columns of the grid.
        width: channels, a multiple of 4.

    Returns:
        `(1, 1 + rows · columns, width)`, float32, the class token first.

    Example:
        >>> sine_cosine_positions(1, 2, 4)
        tensor([[[0.0000, 0.0000, 0.0000, 0.0000],
                 [0.0000, 1.0000, 0.0000, 1.0000],
                 [0.8415, 0.5403, 0.0000, 1.0000]]])
    """
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    waves = []
    for coordinate in (column, row):
        angle = coordinate.flatten()[:, None] * frequencies
        waves += [angle.sin(), angle.cos()]
    cells = torch.cat(waves, dim=1).float()
    return torch.cat([cells.new_zeros(1, width), cells])[None]


def kept_patches(noise: Tensor, ratio: float) -> Tensor:
    """Return the patches that a mask leaves visible, by rising noise `(B, N)`: `(B, int(N · (1 − ratio)))`."""
    count = int(noise.shape[1] * (1 - ratio))
    return noise.argsort(dim=1)[:, :count]


def normalised_patches(patches: Tensor) -> Tensor:
    """Normalise each patch `(…, n)`: subtract its mean, and divide by the root of (its unbiased variance + 1e-6)."""
    variance = patches.var(dim=-1, keepdim=True)
    return (patches - patches.mean(dim=-1, keepdim=True)) / (variance + 1e-6).sqrt()


def masked_error(predicted: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """Return the mean squared error of `(B, N, n)` over the patches not in `keep` `(B, K)`, float32 or finer."""
    exact = torch.promote_types(predicted.dtype, torch.float32)
    error = (predicted.to(exact) - target.to(exact)).square().mean(dim=-1)
    mask = torch.ones_like(error).scatter(1, keep, 0)
    return (error * mask).sum() / mask.sum()


class DecoderBlock(nn.Module):
    """Cross-attention to a memory, an MLP and self-attention, each with a residual and then a LayerNorm.

    The order is that of CropMAE's code; the papers name cross-attention, then self-attention.

    Args:
        width: channels.
        heads: heads of both attentions.
        dropout: probability, also on the weights of the attentions.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cross_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.self_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, DECODER_HIDDEN),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(DECODER_HIDDEN, width),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)
        self.norm_cross = nn.LayerNorm(width, NORM_EPSILON)
        self.norm_self = nn.LayerNorm(width, NORM_EPSILON)
        self.norm_mlp = nn.LayerNorm(width, NORM_EPSILON)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Return new tokens `(B, L, width)`, of tokens `(B, L, width)` that attend to a memory `(B, M, width)`."""
        tokens = self.norm_cross(tokens + self._attend(self.cross_attention, tokens, memory))
        tokens = self.norm_mlp(tokens + self.mlp(tokens))
        return self.norm_self(tokens + self._attend(self.self_attention, tokens, tokens))

    def _attend(self, attention: nn.Module, queries: Tensor, memory: Tensor) -> Tensor:
        attended, _ = attention(queries, memory, memory, need_weights=False)
        return self.dropout(attended)


class SiameseMAE(CorrespondenceModule):
    """Siamese masked autoencoder: a ViT encodes both pictures of a pair; a decoder predicts the masked second picture.

    The encoder sees the whole first picture and a few patches of the second. The decoder's queries are the tokens of
    the second picture, with a learned token for a masked patch; its memory is the first picture.
    The method depends on the pairs: two frames of a video and a mask ratio of 0.95 are SiamMAE; two crops of a picture
    and 0.985 are CropMAE. The DataModule makes the pairs (`data.sampling` GapPairs, `data.crops` PairCrops).

    Papers: SiamMAE (Gupta et al., NeurIPS 2023), arXiv 2305.14344; CropMAE (Eymaël et al., ECCV 2024), arXiv
    2403.17823. Where papers differ, the module follows CropMAE's code
    (alexandre-eymael/CropMAE, with a reproduction of SiamMAE). Deliberate differences: the learning rate is set before
    a step (CropMAE's code sets it afterwards, so its first step has the full rate), and positions for another size are
    interpolated as in benchmarks.

    Args:
        backbone: a ViT of timm with a class token, `timm:NAME` or `package.module:callable`; or a checkpoint to start
            from. A fresh network of timm starts with MAE's Xavier weights. Positions are sines and cosines, also for
            a callable with other positions, unless the backbone is a checkpoint; they are never trained.
        mask_ratio: fraction of the second picture's patches that are masked, in (0, 1).
        pairs_per_video: pairs in a clip of `2 · pairs_per_video` frames, "repeated sampling".
        decoder_width: channels of the decoder.
        decoder_depth: blocks of the decoder.
        decoder_heads: heads of its attentions.
        dropout: dropout in the decoder.
        base_lr: learning rate for a global batch of 256 pairs, scaled linearly.
        warmup: fraction of the run in which the rate rises; it then falls to 0 by a half cosine.
        weight_decay: of all weights with several dimensions, including the class and mask token.
        seed: seed of masks and dropout; None: the run's.

    Raises:
        ValueError: if the backbone is not a ViT with a class token, or a number is out of range; in
            training, if a clip has another number of frames.
    """

    samples = "pairs"

    def __init__(
        self,
        backbone: NetworkName = "timm:vit_small_patch16_224",
        mask_ratio: float = 0.95,
        pairs_per_video: int = 1,
        decoder_width: int = 256,
        decoder_depth: int = 4,
        decoder_heads: int = 8,
        dropout: float = 0.1,
        base_lr: float = 1e-4,
        warmup: float = 0.05,
        weight_decay: float = 0.05,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_fractions(warmup=warmup)
        if not 0 < mask_ratio < 1:
            raise ValueError(f"mask_ratio must be in (0, 1), got {mask_ratio}")
        self.mask_ratio = mask_ratio
        self.pairs_per_video = pairs_per_video
        self.base_lr = base_lr
        self.warmup = warmup
        self.weight_decay = weight_decay
        network: Any = self.network_to_train(backbone)
        if not (is_vit(network) and _has_class_position(network)):
            kind = type(network).__name__
            raise ValueError(f"SiameseMAE trains a ViT of timm with a class token and positions, not a {kind}")
        self.backbone: Any = network
        self.patch: int = network.patch_embed.feat_ratio()
        # names of the layers are those of CropMAE's code
        self.decoder_embed = nn.Linear(network.embed_dim, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        blocks = (DecoderBlock(decoder_width, decoder_heads, dropout) for _ in range(decoder_depth))
        self.decoder_blocks = nn.ModuleList(blocks)
        self.decoder_norm = nn.LayerNorm(decoder_width, NORM_EPSILON)
        self.decoder_pred = nn.Linear(decoder_width, 3 * self.patch**2)
        # a backbone from a checkpoint keeps its positions; a dict is given where this module is built from its own
        # checkpoint, whose weights are loaded afterwards
        if isinstance(backbone, str) and not is_checkpoint(backbone):
            is_random = self.described is not None and not self.described.loaded
            # random weights are drawn anew as in MAE's code, except a user's callable's, which has drawn its own
            if is_random and str(backbone).startswith(LIBRARIES):
                _initialise_encoder(network)
            # the positions are MAE's fixed ones in any case, also beside trained weights
            rows, columns = network.patch_embed.grid_size
            network.pos_embed.data.copy_(sine_cosine_positions(rows, columns, network.embed_dim))
        network.pos_embed.requires_grad_(False)
        # the decoder is drawn as in MAE's code
        nn.init.normal_(self.mask_token, std=0.02)
        for part in (self.decoder_embed, self.decoder_blocks, self.decoder_pred):
            part.apply(start_linear)

    def encode(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode patches of normalised images `(B, 3, H, W)`.

        Args:
            images: normalised images.
            keep: `(B, K)` long, the patches that are seen; None for all.

        Returns:
            `(B, 1 + K, D)` after the final norm: the class token, then the patches in the order of `keep`.
        """
        network = self.backbone
        tokens = network._pos_embed(network.patch_embed(images))
        if keep is not None:
            seen = tokens[:, 1:].gather(1, keep[..., None].expand(-1, -1, tokens.shape[2]))
            tokens = torch.cat([tokens[:, :1], seen], dim=1)
        tokens = network.norm_pre(tokens)
        saves_memory = getattr(network, "grad_checkpointing", False)
        for block in network.blocks:
            tokens = checkpoint(block, tokens, use_reentrant=False) if saves_memory else block(tokens)
        return network.norm(tokens)

    def decode(self, memory: Tensor, visible: Tensor, keep: Tensor, grid: tuple[int, int]) -> Tensor:
        """Predict all patches of the second picture.

        Args:
            memory: `(B, 1 + N, D)`, the first picture's tokens.
            visible: `(B, 1 + K, D)`, the second picture's class token and visible tokens.
            keep: `(B, K)` long, the patches of the visible tokens.
            grid: rows and columns of the patches.

        Returns:
            Pixels of the N patches, each of side P: `(B, N, 3 P²)`.
        """
        # under autocast layers return half precision: positions and mask token are added in the type of the weights
        exact = self.mask_token.dtype
        first = self.decoder_embed(memory).to(exact)
        seen = self.decoder_embed(visible).to(exact)
        patches = self.mask_token.repeat(len(memory), grid[0] * grid[1], 1)
        # visible tokens take their places; the masked patches keep the mask token
        patches = patches.scatter(1, keep[..., None].expand(-1, -1, seen.shape[2]), seen[:, 1:])
        positions = to_device(sine_cosine_positions(*grid, seen.shape[2]), seen.device).to(exact)
        tokens = torch.cat([seen[:, :1], patches], dim=1) + positions
        for block in self.decoder_blocks:
            tokens = block(tokens, first)
        with_class_token: Tensor = self.decoder_pred(self.decoder_norm(tokens))
        return with_class_token[:, 1:]

    def losses(self, first: Tensor, second: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return the `loss` of pairs: the error of the predicted pixels of masked patches, each patch normalised.

        Args:
            first: first pictures, `(B, 3, H, W)`, normalised as the encoder needs them.
            second: second pictures, the same.
            noise: `(B, N)` in [0, 1): the patches of the second picture with the smallest noise stay visible.
        """
        keep = kept_patches(noise, self.mask_ratio)
        grid = (second.shape[2] // self.patch, second.shape[3] // self.patch)
        patches = rearrange(second, "b c (h p) (w q) -> b (h w) (p q c)", p=self.patch, q=self.patch)
        target = normalised_patches(patches)
        memory = self.encode(first)
        visible = self.encode(second, keep)
        return {"loss": masked_error(self.decode(memory, visible, keep, grid), target, keep)}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss; masks and dropout are functions of seed, epoch, batch and rank.

        Raises:
            ValueError: if a clip has another number of frames than `2 · pairs_per_video`, or a picture is not made of
                whole patches.
        """
        pairs = self.pairs_per_video
        clip = batch["clip"]
        frames = clip.shape[1]
        if frames != 2 * pairs:
            raise ValueError(f"clips of {frames} frames do not hold {pairs} pair(s): set data.frames {2 * pairs}")
        height, width = clip.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(f"pictures of {height} × {width} px: set data.size to a multiple of {self.patch}, a patch")
        # frames 0, 2, … of a clip are the first pictures of its pairs, frames 1, 3, … the second ones
        first, second = rearrange(clip, "b (r v) c h w -> v (b r) c h w", v=2)
        rank = world_size_and_rank()[1]
        patches = (height // self.patch) * (width // self.patch)
        noise = torch.rand(len(first), patches, generator=self.generator(rank))
        with random_state_kept():
            # of the dropout; 1: not the masks' seed
            torch.manual_seed(self.generator(rank, 1).initial_seed())
            return self.losses(self.normalise(first), self.normalise(second), to_device(noise, first.device))

    def samples_per_device(self) -> int:
        """Return the number of pairs that a device sees at a time."""
        return super().samples_per_device() * self.pairs_per_video

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with betas 0.9 and 0.95, a linear warm-up and a half cosine to 0 by step."""
        return self.adamw_with_warmup(self.base_lr, self.weight_decay, self.warmup)


def _has_class_position(network: Any) -> bool:
    positions = getattr(network, "pos_embed", None)
    rows, columns = network.patch_embed.grid_size
    return positions is not None and network.num_prefix_tokens == 1 and positions.shape[1] == 1 + rows * columns


@torch.no_grad()
def _initialise_encoder(network: Any) -> None:
    """Draw the weights of a ViT of timm anew, in place, as MAE's code does."""
    network.apply(start_linear)
    # Xavier's range for a convolution is another one: draw as for a linear layer over the pixels of a patch
    filters = network.patch_embed.proj.weight
    filters.copy_(nn.init.xavier_uniform_(torch.empty(len(filters), filters[0].numel())).view(filters.shape))
    nn.init.normal_(network.cls_token, std=0.02)
