"""Writing of checkpoints, and a module's checks on loading."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn

from .reading import FORMAT, METADATA_KEY, SUFFIXES, check_metadata, module_from_checkpoint
from .trust import NETWORK_ARGUMENTS, allow, import_path
from .weights import check_digest, check_fit, digest_of


@contextmanager
def written_completely(path: Path) -> Iterator[Path]:
    """Give a temporary name next to a file; the temporary file replaces it when the block ends without an error.

    Args:
        path: the file; its folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_checkpoint(module: pl.LightningModule, output: Path) -> None:
    """Write a module as Lightning's checkpoint, without the state of a run.

    Args:
        module: a module of this project.
        output: the file, written atomically.
    """
    checkpoint = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": pl.__version__,
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
    }
    module.on_save_checkpoint(checkpoint)
    with written_completely(output) as unfinished:
        torch.save(checkpoint, unfinished)


class SavedModule(pl.LightningModule):
    """Base of all modules that checkpoints of this project hold."""

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, map_location: Any = None, **overrides: Any) -> Any:  # type: ignore[override]
        """Load a checkpoint of this class; in place of Lightning's, which calls whatever the file names.

        Args:
            checkpoint_path: the file.
            map_location: device; None is the CPU.
            overrides: arguments that override the saved arguments. Lightning's `strict`, `weights_only` and
                `hparams_file` do not exist: a checkpoint holds its arguments and loads strictly, as data.

        Raises:
            ValueError: if the file cannot be loaded, see `module_from_checkpoint`, or holds another class.
        """
        module = module_from_checkpoint(checkpoint_path, **overrides)
        if not isinstance(module, cls):
            raise ValueError(f"{checkpoint_path}: holds {type(module).__name__}, not {cls.__name__}")
        return module if map_location is None else module.to(map_location)

    weights_origin: str | None = None
    """Source of the weights, "weights of FILE", once they are loaded."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record class, version, format and the digest of the weights: a checkpoint can be loaded by its path alone."""
        class_path, digest = import_path(type(self)), digest_of(checkpoint.get("state_dict", {}))
        allow(class_path)  # this process runs the class, so the user has named it
        about = {"class_path": class_path, "version": version("vidcorr"), "format": FORMAT, "digest": digest}
        checkpoint[METADATA_KEY] = about

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a checkpoint is ours, fits this module, and is undamaged.

        Raises:
            ValueError: if it is not.

        Warns:
            If its weights fit but it names another network: strides or padding may differ.
        """
        try:
            trainer = self.trainer
        except RuntimeError:  # no Trainer has taken the module
            trainer = None
        source = str(getattr(trainer, "ckpt_path", None) or "the checkpoint")
        check_metadata(checkpoint, source)
        networks = _networks(self.hparams, checkpoint.get("hyper_parameters", {}))
        try:
            check_fit(self, checkpoint["state_dict"], source)
        except ValueError as error:
            raise ValueError(f"{error}{networks}") from error
        if networks:
            rank_zero_warn(f"{source}: its weights fit, but its strides or padding may be others{networks}")
        check_digest(checkpoint["state_dict"], checkpoint[METADATA_KEY].get("digest"), source)
        if trainer is None or trainer.state.fn != "fit":  # a resumed training counts its own steps
            self.weights_origin = f"weights of {Path(source).name}"


def _networks(own: Mapping[str, Any], saved: Mapping[str, Any]) -> str:
    """Name both networks if a checkpoint is of another network, which says more than a list of weights."""
    for name in NETWORK_ARGUMENTS:
        ours, theirs = str(own.get(name)), str(saved.get(name))
        # the path of a checkpoint says nothing: the same file may lie elsewhere
        is_path = ours.endswith(SUFFIXES) or theirs.endswith(SUFFIXES)
        if own.get(name) and saved.get(name) and ours != theirs and not is_path:
            return f"; it is of {theirs[:80]}, this model of {ours}: say --model.{name} {theirs[:80]}"
    return ""
