"""Checkpoints of this project read as data: no code in a file runs, and its size bounds the memory."""

import pickletools
import re
import shlex
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from pickletools import markobject
from typing import Any, BinaryIO

import torch
from torch import Tensor, strided

from .trust import Recipe, check_fit_of, load_into, pass_gate, quoted, reason
from .weights import check_digest

SUFFIXES = (".ckpt", ".pt", ".pth")
METADATA_KEY = "vidcorr"
FORMAT = 1
"""Format of checkpoints written by this release; it grows when arguments or weights change their names."""

PLAIN = re.compile(
    r"collections\.(Counter|OrderedDict)|torch\._utils\._rebuild_(parameter|tensor_v2)"
    r"|torch\.(Size|device|bool|[a-z]+\d+\w*|(cuda\.)?[A-Z]\w+Storage)"
)
"""Functions, classes and types that the pickle of a checkpoint may name: fewer than torch's reader allows."""
REUSE_LIMIT = 4
"""Largest total size of all tensors, as a multiple of the file's size: tied weights are stored once."""
SMALL = 2**20
"""Bytes that tensors may take in addition, for small files."""
TUPLE_LIMIT = 1_000
"""Largest number of values in nested tuples; the state of Python's generator has 629."""


class ForeignCheckpoint(ValueError):
    """A checkpoint that was not written by this project."""


class UnsafeContent(ValueError):
    """A file that names a function or class outside the list of plain types."""


def read_content(path: str | Path, mapped: bool = True, checksums: bool = True) -> Any:
    """Read a file of `torch.save` that holds tensors and plain types only.

    Args:
        path: the file.
        mapped: leave the tensors in the file until they are used.
        checksums: verify the checksums of all parts, which reads the complete file.

    Raises:
        ForeignCheckpoint: if it holds other types.
        ValueError: if it is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        return load_plain(path, mapped=mapped, checksums=checksums)
    except UnsafeContent as error:
        raise ForeignCheckpoint(f"{path}: no checkpoint of vidcorr ({error}); {convert_line(path)}") from error
    except PermissionError:
        raise
    except Exception as error:  # torch raises errors of many types for a senseless pickle
        raise ValueError(f"{path}: damaged, or foreign ({reason(error)}); {convert_line(path)}") from error


def load_plain(path: Path, names: Collection[str] = (), mapped: bool = True, checksums: bool = True) -> Any:
    """Load a file of `torch.save`, in the present form or the form of torch up to 1.5, without running code.

    torch's reader (`weights_only`) calls no code and refuses tensors that exceed the file. This function also refuses
    names that can allocate any size (`bytearray`), compressed parts, and wrong checksums.

    Args:
        path: the file.
        names: names that the pickle may hold in addition to `PLAIN`; torch must know them as safe.
        mapped: see `read_content`.
        checksums: see `read_content`.

    Raises:
        UnsafeContent: if it holds any other name.
        Exception: of any type, if it is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\3\4"  # torch decides by the same bytes
        file.seek(0)
        # the older form: magic number, protocol, system, content and keys of the storages
        pickles = [BytesIO(_pickle_in_zip(path, checksums))] if zipped else [file] * 5
        named = {argument.replace(" ", ".") for pickle in pickles for argument in _names_in(pickle)}
    if foreign := sorted(name for name in named if not PLAIN.fullmatch(name) and name not in names):
        raise UnsafeContent(f"it holds {ascii(foreign[0])[1:-1][:100]}, and loading that may run code")
    content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped and zipped)
    if sum(tensor.nbytes for tensor in _tensors(content)) > REUSE_LIMIT * size + SMALL:
        raise ValueError("its tensors together are much larger than the file")
    return content


def _names_in(pickled: BinaryIO) -> Iterator[str]:
    """Yield `module name` of all names in a pickle, and bound the sizes of its tuples.

    A tuple that holds another tuple twice, and so on, is short in the file but endless to hash or print. torch hashes
    the keys of dictionaries, and prints a called value that is no name.

    Raises:
        ValueError: for a large tuple, or a call of a value that is no name.
    """
    stack: list[int] = []  # values in a tuple, 0 for a name, 1 for anything else
    marks: list[int] = []
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        before = opcode.stack_before
        if opcode.name == "GLOBAL":  # the only instruction with names that torch's reader knows
            yield str(argument)
            stack.append(0)
        elif opcode.name == "MARK":
            marks.append(len(stack))
        elif "GET" in opcode.name:
            stack.append(memo[argument])
        elif "PUT" in opcode.name:
            memo[argument] = stack[-1]
        else:
            start = marks.pop() - before.index(markobject) if markobject in before else len(stack) - len(before)
            taken = stack[start:]
            del stack[start:]
            size = 1 + sum(taken) if "TUPLE" in opcode.name else 1
            if size > TUPLE_LIMIT or (opcode.name in ("REDUCE", "NEWOBJ") and taken[0] != 0):
                raise ValueError("its values repeat each other endlessly")
            stack.extend([size] * len(opcode.stack_after))


def _pickle_in_zip(path: Path, checksums: bool) -> bytes:
    """Return the pickle of a zip file; Python and torch look for its directory differently, and must find the same.

    Raises:
        ValueError: if they find different pickles, a part is compressed, or a checksum is wrong.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed, which torch.save never does")
        if checksums and (broken := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {broken!r} does not hold")
        pickled = archive.read(next(member for member in members if re.fullmatch("[^/]*/data.pkl", member.filename)))
    if pickled != torch._C.PyTorchFileReader(str(path)).get_record("data.pkl"):
        raise ValueError("its directory does not describe it")
    return pickled


def _tensors(content: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested containers, without repetitions."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def is_state(content: Any) -> bool:
    """Return whether a value is a mapping of names to dense tensors."""
    return isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == strided
        for name, value in content.items()
    )


def check_metadata(checkpoint: Any, source: str | Path) -> None:
    """Refuse content that is no checkpoint of ours, or has weights or arguments in another form.

    Args:
        checkpoint: the content of a file.
        source: the file, for messages.

    Raises:
        ForeignCheckpoint: if it has no metadata of this project.
        ValueError: if it is of a newer format, or damaged.
    """
    metadata = checkpoint.get(METADATA_KEY) if isinstance(checkpoint, dict) else None
    if metadata is None:
        raise ForeignCheckpoint(f"{source}: no checkpoint of vidcorr; {convert_line(source)}")
    form = metadata.get("format", 1) if isinstance(metadata, dict) else None
    if type(form) is int and form > FORMAT:
        theirs, ours = quoted(metadata.get("version"), quotes=False), version("vidcorr")
        raise ValueError(f"{source}: written by vidcorr {theirs} in format {form}; this is vidcorr {ours}: update it")
    whole = type(form) is int and form >= 1 and "class_path" in metadata and is_state(checkpoint.get("state_dict"))
    if not (whole and isinstance(checkpoint.get("hyper_parameters", {}), dict)):
        raise ValueError(f"{source}: is damaged: class, format, weights or arguments are missing or of another type")


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

    Args:
        checkpoint: content of a file that `check_metadata` has passed.
        source: the file, for messages.

    Raises:
        ValueError: if the gate refuses them, see `pass_gate`.
    """
    noted = checkpoint.get("hyper_parameters", {})  # Lightning leaves out an empty dict
    arguments = {name: value for name, value in noted.items() if not str(name).startswith("_")}
    return pass_gate(checkpoint[METADATA_KEY]["class_path"], arguments, source)


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
    module = load_into(replace(recipe, arguments=recipe.arguments | overrides), checkpoint["state_dict"], path)
    check_digest(checkpoint["state_dict"], checkpoint[METADATA_KEY].get("digest"), path)
    module.weights_origin = f"weights of {Path(path).name}"  # type: ignore[assignment]
    return module.eval()


def saved_model(path: str | Path) -> Recipe | None:
    """Return class and arguments of a checkpoint's model, as defaults for the parser of a command line.

    They have passed the gate (see `pass_gate`), and the shapes of the weights fit. Checksums and digest are verified
    later, when the weights are loaded.

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
        raise FileNotFoundError(f"--ckpt_path: there is no file {path}")
    content = read_content(path, checksums=False)
    try:
        check_metadata(content, path)
    except ForeignCheckpoint:
        if isinstance(content, dict) and "pytorch-lightning_version" in content:
            return None
        raise
    recipe = recipe_of(content, path)
    check_fit_of(recipe, content["state_dict"], path)
    return recipe
