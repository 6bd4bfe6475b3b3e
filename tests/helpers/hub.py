"""Small models of `transformers` with random weights, in folders; a test file that imports this needs the library."""

from pathlib import Path
from typing import Any

import pytest
import torch

hub = pytest.importorskip("transformers", reason="the extra transformers is not installed")
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 8,
}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4}
FIELDS: dict[str, dict[str, Any]] = {
    "Dinov2": SMALL,
    "Dinov2WithRegisters": SMALL,
    "DINOv3ViT": SMALL | {"num_register_tokens": 4},
    "DINOv3ConvNext": STAGES,
    "ViT": SMALL,
    "ViTMAE": SMALL,
    "IJepa": SMALL,
    "ConvNext": STAGES | {"num_stages": 2},
    "ResNet": STAGES | {"embedding_size": 8, "layer_type": "basic"},
    "Swin": SWIN,
    "Beit": SMALL | {"use_relative_position_bias": True},
    "CLIPVision": SMALL,
    "SiglipVision": SMALL,
    "VideoMAE": SMALL | {"num_frames": 16, "use_mean_pooling": False},
    "Hiera": {"image_size": [64, 64], "depths": [1, 1], "embed_dim": 8, "num_heads": [1, 2], "num_query_pool": 1},
    "Aimv2Vision": SMALL,
    "SamVision": SMALL | {"output_channels": 8},
}
"""Family → fields of its configuration."""


def saved(folder: Path, family: str, **fields: Any) -> Any:
    """Save a model of a family, small or with fields of its own, and return it."""
    torch.manual_seed(0)
    config = getattr(hub, f"{family}Config")(**fields or FIELDS[family])
    model = getattr(hub, f"{family}Model")(config).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.LayerNorm):  # a norm like no other
            torch.nn.init.normal_(part.weight)
    model.save_pretrained(folder)
    return model


def name_of(kind: str, folder: Path) -> str:
    """Return the name of a network; a model of a family here is saved in a folder, and named by it."""
    if kind not in FIELDS:
        return kind
    saved(folder / "model", kind)
    return str(folder / "model")
