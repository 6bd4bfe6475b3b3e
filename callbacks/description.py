"""The description of a module in a result: its name, weights, seed and recipe."""

import json
import os
import re
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.cli import SaveConfigCallback

from vidcorr.results.result import Network
from vidcorr.videos.digests import text_digest

OF_A_RUN = ("callbacks", "default_root_dir", "logger", "enable_progress_bar", "enable_model_summary")
"""Arguments of the Trainer that no weights depend on."""


def network_of(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Network:
    """Return the description of a module in training or validation; a training has the seed of Lightning.

    In a validation of a checkpoint, `weights` names the file from which the module was built, then the checkpoint with
    its folder, because many runs have a `last.ckpt`. `loaded` says that the weights are not random.
    """
    network = Network.of(pl_module)
    kind = type(pl_module).__name__
    known: dict[str, Any] = {"name": kind if network.name == kind else f"{kind}, {network.name}"}
    if trainer.state.fn == "fit":
        seed = os.environ.get("PL_GLOBAL_SEED")
        known |= {"seed": seed and int(seed), "recipe": recipe_of(trainer)}
    elif trainer.ckpt_path:
        weights = ", ".join(filter(None, (network.weights, str(trainer.ckpt_path))))
        known |= {"weights": weights, "loaded": True}
    return network.model_copy(update=known)


def recipe_of(trainer: pl.Trainer) -> str:
    """Return a digest of a training's configuration without seeds, folders and callbacks; "" outside the command line.

    Runs that differ in their seed alone have the same recipe.
    """
    configs = [each.config for each in trainer.callbacks if isinstance(each, SaveConfigCallback)]  # type: ignore[attr-defined]
    if not configs:
        return ""
    config = configs[-1].as_dict()
    for name in OF_A_RUN:
        config["trainer"].pop(name, None)
    parts = [config.get(part) for part in ("trainer", "model", "data")]
    text = re.sub(r'"seed": -?\w+', "", json.dumps(parts, sort_keys=True, default=str))
    return text_digest(text)
