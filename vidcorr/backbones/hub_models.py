"""Image models of the library `transformers`, by a name on the hub or a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..description import Input
from .files.trust import reason

CONFIG = "config.json"


@contextmanager
def one_line_errors(what: str, how: str = "") -> Iterator[None]:
    """Turn any error of a block, which calls a library, into a ValueError of one line.

    Args:
        what: begins the line: the network, and what is fetched for it.
        how: the command that fetches it on a machine with internet; empty for a local folder.

    Raises:
        ValueError: for any error of the block.
    """
    try:
        yield
    except Exception as error:
        remedy = f"; where there is a network, {how}" if how else ""
        raise ValueError(f"{what}: {reason(error)}{remedy}") from error


def image_model(name: str) -> nn.Module:
    """Return the image model of a name on the hub or of a folder; its `pretrained_cfg` states its input, if known.

    Its call gives its last hidden state, tokens of patches or a map. Weights come from safetensors only, and no code of
    the hub runs. A model of images and texts gives its part for images.

    Raises:
        OSError: if a file is missing.
        ValueError: if weights are missing, or the model takes BGR.
    """
    installed = version("transformers")
    if tuple(map(int, installed.split(".")[:2])) < (5, 5):
        flaw = "runs code of a model's folder (CVE-2026-5241)"
        raise ValueError(f"transformers {installed} {flaw}: install 5.5 or newer")
    from transformers import AutoImageProcessor, AutoModel

    options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    model, report = AutoModel.from_pretrained(name, trust_remote_code=False, **options)
    missing = [key for key in report["missing_keys"] if "pooler." not in key and "mask_token" not in key]
    if missing:
        raise ValueError(f"lacks {len(missing)} weights of {type(model).__name__}, such as {sorted(missing)[0]}")
    network: Any = getattr(model, "vision_model", model)
    try:
        processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):
        return network.eval()
    if getattr(processor, "do_flip_channel_order", False):
        raise ValueError(f"{name}: takes BGR: give a module that swaps the channels")
    largest = 255 * processor.rescale_factor if processor.do_rescale else 255.0
    stated = processor if processor.do_normalize else Input()
    mean, std = getattr(stated, "image_mean", (0.0,) * 3), getattr(stated, "image_std", (1.0,) * 3)
    of_unit = {"mean": [each / largest for each in mean], "std": [each / largest for each in std]}
    network.pretrained_cfg = {**of_unit, "file": f"preprocessor_config.json of {Path(name).name}"}
    return network.eval()


def is_folder_of_model(text: str | Path) -> bool:
    """Return whether a text is the path of a folder with the configuration of a model of `transformers`."""
    return Path(text, CONFIG).is_file()
