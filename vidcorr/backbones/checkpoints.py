"""Checkpoints of this project: written, read as data, and made into the module that they hold."""

import shlex
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..videos.files import unfinished
from .trust import Recipe, allow, import_path, make, pass_gate, reason

SUFFIXES = (".ckpt", ".pt", ".pth")
METADATA_KEY = "vidcorr"
FORMAT = 1
"""Format of checkpoints written by this release; it grows when arguments or weights change their names."""


class ForeignCheckpoint(ValueError):
    """A checkpoint that was not written by this project."""


def read_content(path: str | Path, whole: bool = True) -> Any:
    """Read a file of `torch.save` that holds tensors and plain types only; no code in it runs.

    Args:
        path: the file.
        whole: read all tensors, and check the file's sums, which torch does not; False: leave the tensors in the file.

    Raises:
        ValueError: if it is missing or damaged, or holds other types.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        if not (is_archive := zipfile.is_zipfile(path)) or not whole:
            return torch.load(path, "cpu", weights_only=True, mmap=is_archive)
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} has another sum than when it was saved")
        return torch.load(path, "cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # torch raises errors of many types for a senseless file
        raise ValueError(f"{path}: damaged or foreign: {reason(error)}; {convert_line(path)}") from error


def check_metadata(checkpoint: object, source: str | Path) -> None:
    """Refuse content that is no checkpoint of ours, or is of a newer format.

    Args:
        checkpoint: the content of a file.
        source: the file, for messages.

    Raises:
        ForeignCheckpoint: if it has no metadata of this project.
        ValueError: if it is of a newer format, or lacks a part.
    """
    if not isinstance(checkpoint, dict) or (metadata := checkpoint.get(METADATA_KEY)) is None:
        raise ForeignCheckpoint(f"{source}: not a checkpoint of vidcorr; {convert_line(source)}")
    if not isinstance(metadata, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{source}: is damaged: it lacks its weights or their description")
    if (form := metadata.get("format")) != FORMAT:
        theirs, ours = metadata.get("version"), version("vidcorr")
        raise ValueError(f"{source}: written by vidcorr {theirs} in format {form}; this is vidcorr {ours}: update it")


def convert_line(source: str | Path) -> str:
    """Return the advice for weights of another project, with the command."""
    output = shlex.quote(f"{Path(source).stem}_converted.ckpt")
    return (
        f"if these are weights of another project, convert them first: vidcorr convert {shlex.quote(str(source))} "
        f"{output}, with --architecture timm:NAME or torchvision:NAME if their names do not tell it; then give "
        f"{output}"
    )


def recipe_of(checkpoint: Mapping[str, Any], source: str | Path) -> Recipe:
    """Return the class and arguments that a checkpoint names, after the gate has checked them.

    Raises:
        ValueError: if the gate refuses them, see `pass_gate`.
    """
    # Lightning leaves out an empty dict
    return pass_gate(checkpoint[METADATA_KEY].get("class_path"), checkpoint.get("hyper_parameters", {}), source)


def module_from_checkpoint(path: str | Path, **overrides: Any) -> Any:
    """Load the LightningModule that a checkpoint holds.

    Args:
        path: a checkpoint written by this project.
        overrides: arguments that override the saved arguments.

    Returns:
        The module on the CPU, in eval mode.

    Raises:
        ForeignCheckpoint: if another project wrote the file.
        ValueError: if the file is missing, damaged or of a newer format, names code that is not allowed, or does not
            fit its class.
    """
    checkpoint = read_content(path)
    check_metadata(checkpoint, path)
    recipe = recipe_of(checkpoint, path)
    module: Any = make(recipe._replace(arguments=recipe.arguments | overrides), path)
    load_weights(module, checkpoint["state_dict"], path)
    module.weights_origin = f"weights of {Path(path).name}"
    return module.eval()


def saved_model(path: str | Path) -> Recipe | None:
    """Return class and arguments of a checkpoint's model, as defaults for the parser of a command line.

    Args:
        path: the value of `--ckpt_path`.

    Returns:
        None for Lightning's words ("last", "best", "hpc"), for addresses (`s3://…`), and for a checkpoint of Lightning
        with a module from outside this project: the command line must name its model.

    Raises:
        FileNotFoundError: if the file does not exist.
        ForeignCheckpoint: if another project wrote it; the message has the command that converts it.
        ValueError: if it is damaged, or names code that is not allowed.
    """
    path = str(path)
    if not Path(path).is_file():
        if path in ("last", "best", "hpc") or "://" in path:
            return None
        raise FileNotFoundError(f"ckpt_path: there is no file {path}")
    content = read_content(path, whole=False)
    if isinstance(content, dict) and METADATA_KEY not in content and "pytorch-lightning_version" in content:
        return None
    check_metadata(content, path)
    return recipe_of(content, path)


def load_weights(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights, which must fit exactly.

    Raises:
        ValueError: one line, if names or shapes differ.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        fault = reason(error).removeprefix(f"Error(s) in loading state_dict for {type(module).__name__}: ")
        raise ValueError(f"{source}: does not fit {type(module).__name__}: {fault}") from error


def describe(kind: type) -> dict[str, Any]:
    """Return the metadata of a checkpoint: a module can be loaded by the path of its checkpoint alone."""
    class_path = import_path(kind)
    allow(class_path)  # this process runs the class, so the user has named it
    return {"class_path": class_path, "version": version("vidcorr"), "format": FORMAT}


def write_checkpoint(module: Any, output: Path) -> None:
    """Write a LightningModule of this project as Lightning's checkpoint, without the state of a run.

    Args:
        module: the module.
        output: the file, written atomically.
    """
    checkpoint = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": version("pytorch-lightning"),
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
    }
    module.on_save_checkpoint(checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(output) as temporary:
        torch.save(checkpoint, temporary)
