"""Video encoders of the library `transformers` (an extra): V-JEPA 2 and VideoMAE."""

from __future__ import annotations

import types
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .trust import reason
from .video import CLIP_FAMILIES, Clips


def from_transformers(name: str) -> Clips:
    """Load a model of the library's hub, or of a local folder, as a video encoder.

    Weights come from safetensors only, and no code of the hub runs.

    Args:
        name: name on the hub, or path of a folder with config.json and model.safetensors.

    Raises:
        ValueError: without the extra, for a model that cannot be loaded, or a model of another kind.
    """
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ValueError(
            f"backbone transformers:{name}: needs transformers: pip install 'vidcorr[transformers]'"
        ) from error
    try:
        kind = AutoConfig.from_pretrained(name, trust_remote_code=False).model_type
        model = AutoModel.from_pretrained(name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"backbone transformers:{name}: cannot be loaded: {reason(error)}") from error
    model.eval()
    if kind == "vjepa2":
        # windows of 16 frames as in RVM's notebook, although it was trained on 64
        return Clips(VJepa2(model), tubelet=model.config.tubelet_size, **CLIP_FAMILIES["v-jepa-2"])
    if kind == "videomae":
        if model.config.use_mean_pooling:
            raise ValueError(
                f"backbone transformers:{name}: its last norm lies in its classifier; take pre-trained weights"
            )
        return Clips(VideoMae(model), tubelet=model.config.tubelet_size, layout="TCHW", **CLIP_FAMILIES["videomae"])
    raise ValueError(f"backbone transformers:{name}: a {kind}; known are vjepa2 and videomae")


class VJepa2(nn.Module):
    """V-JEPA 2's encoder, without its predictor, at any size: `(1, T, 3, H, W)` to `(1, C, T / tubelet, h, w)`.

    The library counts positions as if all tubelets had the trained grid: at another size it mixes rows, columns and
    time, without an error. Here rows and columns of the map cover the trained grid evenly.
    Source: google-deepmind/representations4d, `rvm_evaluation_demo.ipynb`, cells 56 and 57.

    Args:
        model: `VJEPA2Model`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.stride = int(model.config.patch_size)
        for layer in model.encoder.layer:  # bound methods: a copy of the network gets copies of them
            layer.attention.get_position_ids = types.MethodType(_positions, layer.attention)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the maps of the tubelets."""
        size = clip.shape[3] // self.stride, clip.shape[4] // self.stride
        for layer in self.model.encoder.layer:
            layer.attention.map_size = size
        tokens = self.model(pixel_values_videos=clip, skip_predictor=True).last_hidden_state
        return tokens.unflatten(1, (-1, *size)).permute(0, 4, 1, 2, 3)


def _positions(attention: Any, tokens: Tensor, masks: Any = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return time, row and column of all tokens; it replaces a method of V-JEPA 2's attention."""
    height, width = attention.map_size
    tubelets = tokens.shape[1] // (height * width)
    rows = _places_on_grid(attention.grid_size, height, tokens.device)
    columns = _places_on_grid(attention.grid_size, width, tokens.device)
    time = torch.arange(tubelets, device=tokens.device, dtype=rows.dtype)
    return (
        time.repeat_interleave(height * width),
        rows.repeat_interleave(width).repeat(tubelets),
        columns.repeat(height * tubelets),
    )


class VideoMae(nn.Module):
    """VideoMAE's encoder at any size: `(1, T, 3, H, W)` to `(1, C, T / tubelet, h, w)`.

    The library refuses other sizes than the trained size. Here the planes of the position table are resized bicubically
    (a = −0.75, without smoothing). Source: as for `VJepa2`, cells 29 and 30.

    Args:
        model: `VideoMAEModel`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self.model = model
        self.stride = int(config.patch_size)
        self.tubelet = int(config.tubelet_size)
        grid = config.image_size // config.patch_size
        table = model.embeddings.position_embeddings.detach()
        planes = table.view(-1, grid, grid, table.shape[-1]).permute(0, 3, 1, 2)
        self.register_buffer("table", planes, persistent=False)

    table: Tensor

    def forward(self, clip: Tensor) -> Tensor:
        """Return the maps of the tubelets."""
        size = clip.shape[3] // self.stride, clip.shape[4] // self.stride
        planes = self.table
        if size != planes.shape[2:]:
            planes = F.interpolate(planes, size=size, mode="bicubic")
        embeddings = self.model.embeddings
        embeddings.position_embeddings = planes.permute(0, 2, 3, 1).flatten(0, 2)[None]
        embeddings.patch_embeddings.image_size = clip.shape[3:]
        tokens = self.model(pixel_values=clip).last_hidden_state
        return tokens.unflatten(1, (-1, *size)).permute(0, 4, 1, 2, 3)


def _places_on_grid(grid: int, cells: int, device: torch.device) -> Tensor:
    """Return the positions of cells on a trained grid: 0 … grid − 1, resized bilinearly."""
    places = (torch.arange(cells, device=device, dtype=torch.float32) + 0.5) * grid / cells - 0.5
    return places.clamp(0, grid - 1)
