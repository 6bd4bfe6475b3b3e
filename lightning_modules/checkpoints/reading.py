"""Checkpoints of this project read as data: nothing that a file names runs, and its size bounds what is allocated."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .metadata import METADATA_KEY, ForeignCheckpoint, check_metadata, convert_line
from .screening import ZIP, DamagedFile, UnsafeContent, screen
from .trust import Recipe, check_fit_of, make, pass_gate
from .weights import check_digest, load_strictly

SUFFIXES = (".ckpt", ".pt", ".pth")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of ours.

    Args:
        path: the file.

    Returns:
        Its content, tensors on the CPU (mapped from the file, not read).

    Raises:
        ForeignCheckpoint: if another project wrote the file.
        ValueError: if the file is missing, damaged, or of a newer format.
    """
    content = read_content(path)
    check_metadata(content, path)
    checkpoint: dict[str, Any] = content
    return checkpoint


def read_content(path: str | Path, mapped: bool = True, checksums: bool = True) -> Any:
    """Read a file of `torch.save` that holds tensors and plain types only, after `screen`.

    Args:
        path: the file.
        mapped: leave the tensors in the file until they are used.
        checksums: verify those of the tensors too, which reads the complete file.

    Raises:
        ForeignCheckpoint: if it holds other types.
        ValueError: if it is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        screen(path, checksums=checksums)
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped and _is_zip(path))
    except UnsafeContent as error:
        raise ForeignCheckpoint(f"{path}: no checkpoint of vidcorr ({error}); {convert_line(path)}") from error
    except PermissionError:
        raise
    except DamagedFile as error:
        raise ValueError(f"{path}: damaged, or foreign ({error}); {convert_line(path)}") from error
    except Exception as error:  # torch raises whatever its reader meets in a pickle that makes no sense
        raise ValueError(f"{path}: damaged, or foreign; {convert_line(path)}") from error


def recipe_of(checkpoint: Mapping[str, Any], source: str | Path) -> Recipe:
    """Return the class and arguments that a checkpoint names, after the gate has checked them.

    Args:
        checkpoint: result of `read_checkpoint`.
        source: the file, for messages.

    Raises:
        ValueError: if the gate refuses them, see `pass_gate`.
    """
    noted = checkpoint.get("hyper_parameters", {})  # Lightning leaves them out where there are none
    arguments = {name: value for name, value in noted.items() if not str(name).startswith("_")}
    return pass_gate(checkpoint[METADATA_KEY]["class_path"], arguments, source)


def module_from_checkpoint(path: str | Path, **overrides: Any) -> Any:
    """Load the LightningModule that a checkpoint holds, of whatever class it is.

    Args:
        path: a checkpoint written by this project.
        overrides: the caller's arguments, which override the saved ones.

    Returns:
        The module on the CPU, in eval mode.

    Raises:
        ValueError: if the file is missing, damaged or foreign, names code that is not allowed, or does not fit the
            class that it names.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    recipe = recipe_of(checkpoint, path)
    recipe = replace(recipe, arguments=recipe.arguments | overrides)
    check_fit_of(recipe, state, path)
    module: nn.Module = make(recipe, path)
    load_strictly(module, state, path)
    check_digest(state, checkpoint[METADATA_KEY].get("digest"), path)
    module.weights_origin = f"weights of {Path(path).name}"  # type: ignore[assignment]
    return module.eval()


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == ZIP
