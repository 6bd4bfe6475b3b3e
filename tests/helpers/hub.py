"""Small models of `transformers` with random weights, in folders; a test file that imports this needs the library."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

hub = pytest.importorskip("transformers", reason="the extra transformers is not installed")
FIELDS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())["families"]
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
