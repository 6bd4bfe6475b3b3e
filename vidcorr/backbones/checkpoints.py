"""Checkpoints of this project, written and read as data."""

import json
import re
import shlex
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..videos.files import unfinished
from .description import Network
from .trust import Recipe, check_names, reason, whole_names

METADATA_KEY = "vidcorr"


def read_content(path: str | Path, whole: bool = True) -> Any:
    """Read a file of `torch.save` that holds tensors and plain types only, or safetensors; no code in it runs.

    Args:
        path: the file.
        whole: read all tensors, and check their checksums, which torch does not; False: leave the tensors in the file.

    Returns:
        What was saved. Of safetensors the weights as `state_dict`, and the metadata of `vidcorr export`, None in a file
        of others.

    Raises:
        ValueError: if the file is missing or damaged, or holds other types.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path, whole)
        is_archive = zipfile.is_zipfile(path)
        if whole and is_archive:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise ValueError(f"{damaged} has another sum than when it was saved")
        # only an archive, not torch's older form, can leave its tensors in the file
        return torch.load(path, "cpu", weights_only=True, mmap=is_archive and not whole)
    except Exception as error:  # torch raises errors of many types for a senseless file
        fault = reason(error)
        code = re.search(r"(?:GLOBAL|class) ([\w.]+)", fault)
        if code is not None:
            remedy = "save the weights alone, torch.save(network.state_dict(), FILE)"
            fault = f"it holds {code[1]}, which is code and is not run: {remedy}"
        raise ValueError(f"{path}: damaged or foreign: {fault}") from error


def _read_safetensors(path: Path, whole: bool) -> dict[str, Any]:
    """Read safetensors as a checkpoint."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
        names = file.keys() if whole else ()
        weights = {name: file.get_tensor(name) for name in names}
    return {METADATA_KEY: json.loads(about.get(METADATA_KEY, "null")), "state_dict": weights}


def check_metadata(checkpoint: object, source: str | Path) -> None:
    """Refuse content that is no checkpoint of ours.

    Args:
        checkpoint: the content of a file.
        source: the file, for messages.

    Raises:
        ValueError: if the checkpoint has no metadata of this project, or lacks a part.
    """
    if not isinstance(checkpoint, dict) or checkpoint.get(METADATA_KEY) is None:
        advice = f"weights of another project are converted first: vidcorr convert {shlex.quote(str(source))} OUT.ckpt"
        advice_on_class = "weights of a class of yours are named with it, my_module:MyClass=FILE"
        raise ValueError(f"{source}: not a checkpoint of vidcorr; {advice_on_class}; {advice}")
    if not isinstance(checkpoint[METADATA_KEY], dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{source}: is damaged: it lacks its weights or their description")


def recipe_of(checkpoint: Any, source: str | Path) -> Recipe:
    """Return the class and arguments of a checkpoint's module, if the checkpoint may name them.

    Raises:
        ValueError: if the content is no checkpoint of ours, lacks a part, or names code that is not allowed.
    """
    check_metadata(checkpoint, source)
    arguments = checkpoint.get("hyper_parameters", {})  # Lightning leaves out an empty dict
    return check_names({"class_path": checkpoint[METADATA_KEY].get("class_path"), "init_args": arguments}, source)


def saved_model(path: str | Path) -> Recipe | None:
    """Return class and arguments of a checkpoint's model, as defaults for the parser of a command line.

    Args:
        path: the value of `--ckpt_path`.

    Returns:
        None for Lightning's words ("last", "best", "hpc"), for addresses (`s3://…`), and for a checkpoint of Lightning
        with a module from outside this project: the command line must name its model.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is damaged or of another project, or names code that is not allowed.
    """
    path = str(path)
    if not Path(path).is_file():
        if path in ("last", "best", "hpc") or "://" in path:
            return None
        raise FileNotFoundError(f"ckpt_path: there is no file {path}")
    content = read_content(path, whole=False)
    if isinstance(content, dict) and METADATA_KEY not in content and "pytorch-lightning_version" in content:
        return None
    return recipe_of(content, path)


def loaded(module: Any, state: Mapping[str, Tensor], source: str | Path) -> Any:
    """Return a module in eval mode with the weights of a file, which its description names.

    Raises:
        ValueError: one line, if names or shapes differ.
    """
    load_weights(module, state, source)
    module.described = Network.of(module).with_weights_of(source)
    return module.eval()


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def load_weights(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights, which must fit exactly.

    Raises:
        ValueError: one line, if names or shapes differ.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        kind = type(module).__name__
        raise ValueError(f"{source}: does not fit {kind}: {_differences(module, state) or reason(error)}") from error


def _differences(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Return how weights differ from those of a module: missing and unexpected names, or else up to three shapes."""
    own = module.state_dict()
    missing = own.keys() - state.keys()
    unexpected = state.keys() - own.keys()
    faults = []
    if missing:
        faults.append(f"Missing keys: {whole_names(sorted(missing))}")
    if unexpected:
        faults.append(f"Unexpected keys: {whole_names(sorted(unexpected))}")
    if faults:
        return "; ".join(faults)
    for name in own:
        if own[name].shape != state[name].shape:
            faults.append(f"{name} has shape {tuple(state[name].shape)}, not {tuple(own[name].shape)}")
    return "; ".join(sorted(faults)[:3])


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
    }
    module.on_save_checkpoint(checkpoint)  # adds class and arguments
    output.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(output) as temporary:
        torch.save(checkpoint, temporary)
