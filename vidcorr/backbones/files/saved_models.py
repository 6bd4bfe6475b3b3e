"""Checkpoints of this project, written and read as data."""

import json
import re
import shlex
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from .trust import LONGEST, Recipe, check_recipe, reason

METADATA_KEY = "vidcorr"
MOST_NAMES = 1000


class Inert:
    """Stand-in for an object of numpy, whose state could reach raw memory: it keeps nothing of the file."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


class Emptied:
    """Stand-in for any other class or function that a file names: its objects become plain dicts of their items."""

    def __new__(cls, *arguments: object) -> Any:
        """Return an empty `OrderedDict`, which torch's reader fills; a plain dict takes no saved attributes."""
        return OrderedDict()


PATHS: dict[str, type] = {}
for _module in ("pathlib", "pathlib._local"):  # Python 3.13 has them in the second
    for _name in ("PosixPath", "PurePosixPath"):
        PATHS[f"{_module}.{_name}"] = PurePosixPath
    for _name in ("WindowsPath", "PureWindowsPath"):
        PATHS[f"{_module}.{_name}"] = PureWindowsPath
FORMS = {
    rb"version https://git-lfs": "a pointer of git-lfs in place of the file: run git lfs pull",
    rb"\s*<": "a web page in place of the file: download it again",
    rb"\s*[{\[][^\0]{3}": "JSON, no weights",
    rb"[\x81-\x8f\xde].{0,2}[\xa1-\xbf\xd9]": "msgpack, as Flax writes it, no weights of torch",
    rb"\x08[\x01-\x20][\x12\x3a]": "ONNX, no weights of torch",
    rb"\x93NUMPY|PK\x03\x04.{26}[^/\0]+\.npyPK|PK\x03\x04.{26}[\w./-]+\.npy": "arrays of numpy, no weights of torch",
    rb"$": "an empty file: download it again",
}
"""Pattern of a file's first bytes → what people often have in place of weights."""
BEFORE_TABLE = re.compile(rb"(?s).{5}\0{3}\{")
"""Start of safetensors: the length of a JSON table in eight bytes, the lowest first, and its brace."""
FLAW = (
    f"torch {torch.__version__}: its reader of checkpoints has a flaw (CVE-2026-24747), mended in 2.10: read only "
    "files that you trust, or safetensors"
)
UNKNOWN = re.compile(r"GLOBAL ([\w.]+) (?:was not|whose)")


def read_content(path: str | Path, whole: bool = True) -> Any:
    """Read safetensors, or a file of `torch.save`; no code in it runs.

    The content decides, not the suffix. Objects of other classes than tensors and plain types, such as an optimiser or
    a library's settings, become dicts of their items or empty stand-ins; paths stay paths.

    Args:
        whole: read all tensors, and check their checksums, which torch does not. False: tensors of `torch.save` are
            mapped to the file, and tensors of safetensors are left out, so that `state_dict` is empty.

    Returns:
        The object that was saved. For safetensors a dict: the weights as `state_dict`, and the metadata that
        `vidcorr export` wrote, None if another program wrote the file.

    Raises:
        ValueError: if the file is missing, damaged or of another form; common forms are named by their first bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'a folder' if path.is_dir() else 'no such checkpoint'}")
    try:
        if _is_safetensors(path):
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get(METADATA_KEY, "null"))
                weights = {name: file.get_tensor(name) for name in (file.keys() if whole else ())}
            return {METADATA_KEY: about, "state_dict": weights}
        can_be_mapped = zipfile.is_zipfile(path) and _check_archive(path, whole)
        if torch.__version__ < (2, 10):  # type: ignore[operator]  # a TorchVersion, which compares with tuples too
            warnings.warn(FLAW, stacklevel=2)  # of older readers of `torch.save`; Python shows it once
        return _without_code(path, mmap=can_be_mapped)
    except Exception as error:
        raise ValueError(f"{path}: damaged or foreign: {reason(error)}") from error


def _check_archive(path: Path, whole: bool) -> bool:
    """Check an archive of `torch.save`, and return whether its tensors may be mapped to the file."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):  # a file of `torch.jit.save` has it
            raise ValueError("a program of TorchScript: give the module, torch.jit.load(FILE), in Python")
        damaged = archive.testzip() if whole else None
    if damaged:
        raise ValueError(f"{damaged} has another sum than when it was saved")
    return not whole and all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _without_code(path: Path, mmap: bool) -> Any:
    """Read a file of `torch.save`, with stand-ins for all classes and functions that torch does not know.

    torch's error states the first unknown name in the file. So the file is read again, with a stand-in for this name
    too, until all names are known.
    """
    known: dict[str, Any] = dict(PATHS)
    while True:
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in known.items()]):
                return torch.load(path, "cpu", weights_only=True, mmap=mmap)
        except UnpicklingError as error:
            unknown = UNKNOWN.search(str(error))
            if unknown is None or len(known) > MOST_NAMES:
                raise
            name = unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"  # torch leaves this module out
            if name in known:  # torch's reader blocks its module in spite of the stand-in
                raise ValueError(f"it holds {name}, which is code and is not run") from error
            known[name] = Inert if name.startswith("numpy.") else Emptied


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(64)
    if BEFORE_TABLE.match(head):
        return True
    for pattern, what in FORMS.items():
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            raise ValueError(what)
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):  # an archive's list of members is at its end
        raise ValueError("a part of an archive: download it again")
    return False


def is_foreign(content: object) -> bool:
    """Return whether the content of a file is not a checkpoint of this project."""
    return not isinstance(content, dict) or content.get(METADATA_KEY) is None


def check_metadata(checkpoint: Any, source: str | Path) -> None:
    """Refuse the content of a file that is not a checkpoint of this project.

    Raises:
        ValueError: if the checkpoint has no metadata of this project, or lacks a part.

    Example:
        >>> check_metadata({"state_dict": {}}, "a b.pth")
        Traceback (most recent call last):
            ...
        ValueError: a b.pth: not a checkpoint of vidcorr; weights alone are a network: --model 'a b.pth' or ...
        >>> check_metadata({"vidcorr": ["my.Method"], "state_dict": {}}, "x.ckpt")
        Traceback (most recent call last):
            ...
        ValueError: x.ckpt: is damaged: it lacks its weights or their description
    """
    if is_foreign(checkpoint):
        file = shlex.quote(str(source))
        network = f"--model {file} or --model.backbone {file}"
        raise ValueError(f"{source}: not a checkpoint of vidcorr; weights alone are a network: {network}")
    state = checkpoint.get("state_dict")
    has_names = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not isinstance(checkpoint[METADATA_KEY], dict) or not has_names:
        raise ValueError(f"{source}: is damaged: it lacks its weights or their description")


def recipe_of(checkpoint: Any, source: str | Path) -> Recipe:
    """Return the class and arguments of a checkpoint's module, if the checkpoint may name them.

    Raises:
        ValueError: if the content is no checkpoint of ours, lacks a part, or names code that is not allowed.
    """
    check_metadata(checkpoint, source)
    arguments = checkpoint.get("hyper_parameters", {})  # Lightning leaves out an empty dict
    return check_recipe({"class_path": checkpoint[METADATA_KEY].get("class_path"), "init_args": arguments}, source)


def saved_model(path: str | Path) -> Recipe | None:
    """Return class and arguments of the model in the checkpoint of a command.

    Args:
        path: the value of `--ckpt_path`.

    Returns:
        None for Lightning's words ("last", "best", "hpc"), for addresses (`s3://…`), and for a checkpoint of Lightning
        with a module from outside this project: the command line must name its model.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is damaged or of another project, or names code that is not allowed.

    Example:
        >>> [saved_model(path) for path in ("last", "best", "hpc", "s3://bucket/own.ckpt")]
        [None, None, None, None]
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


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


INNER_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Names of wrappers that torch.compile, FSDP and activation checkpointing insert into the names of weights."""


def named_as_in(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names in a module's state dict; names of wrappers (`INNER_WRAPPERS`) may differ.

    Weights that the module lacks keep their names.
    """
    own = {INNER_WRAPPERS.sub("", name): name for name in module.state_dict()}
    return {own.get(INNER_WRAPPERS.sub("", name), name): tensor for name, tensor in state.items()}


def load_weights(module: nn.Module, state: Mapping[str, Tensor], source: str | Path, strict: bool = True) -> None:
    """Load weights into a module; names of `INNER_WRAPPERS` do not matter.

    Args:
        strict: refuse missing and unexpected names.

    Raises:
        ValueError: one line, if names or shapes differ, or integers or flags stand for a weight of another type.

    Example:
        >>> network = nn.Linear(1, 1)
        >>> load_weights(network, nn.Linear(1, 1).half().state_dict(), "own.pth")  # rounded weights are taken
        >>> load_weights(network, network.state_dict() | {"bias": torch.ones(1, dtype=torch.int8)}, "own.pth")
        Traceback (most recent call last):
            ...
        ValueError: own.pth: bias is of torch.int8, of Linear of torch.float32
    """
    named = named_as_in(module, state)
    for name, own in module.state_dict().items():
        of_file = named.get(name, own)
        are_weights = isinstance(of_file, Tensor) and isinstance(own, Tensor)
        # torch would convert these without a word; floats of another precision are welcome
        if are_weights and not of_file.is_floating_point() and of_file.dtype != own.dtype:
            raise ValueError(f"{source}: {name} is of {of_file.dtype}, of {type(module).__name__} of {own.dtype}")
    try:
        module.load_state_dict(named, strict=strict)
    except RuntimeError as error:
        kind = type(module).__name__
        said = " ".join(str(error).partition(":")[2].split())
        raise ValueError(f"{source}: does not fit {kind}: {said[:LONGEST]}") from error
