"""Convert checkpoints of other projects to ours, without running code from the file."""

import argparse
import codecs
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import LiirEncoder
from ..checkpoints import METADATA_KEY, SUFFIXES, load_weights, write_checkpoint
from ..trust import allow, import_path, make, pass_gate, reason
from .families import FAMILIES, FROZEN, State, family_of, without_prefix

ENTRIES = ("state_dict", "teacher", "model")
"""Entries with the weights in official files: mm-style, MoCo and MAST; DINO (the evaluated network); CRW."""
SCALAR = np.float64(0).__reduce__()[0]
"""The function by which a pickle makes a scalar of numpy."""
HARMLESS: dict[str, Any] = {
    "argparse.Namespace": argparse.Namespace,
    "numpy.core.multiarray.scalar": SCALAR,
    "numpy._core.multiarray.scalar": SCALAR,  # its home since numpy 2
    "numpy.dtype": np.dtype,
    "_codecs.encode": codecs.encode,
}
"""Name in a pickle → type, for types that official files hold beside the weights; none of them runs code."""
for _name in ("bool", "int32", "int64", "float16", "float32", "float64", "U"):
    HARMLESS[import_path(type(np.dtype(_name)))] = type(np.dtype(_name))


def read_foreign(path: str | Path) -> tuple[State, Mapping[str, str]]:
    """Read a `.safetensors` file or a file of `torch.save`.

    Plain types are read, and the types in official files: `argparse.Namespace` and numpy's scalars.

    Args:
        path: the file.

    Returns:
        Original name → tensor, without DataParallel's `module.` and torch.compile's `_orig_mod.`; and the metadata of a
        safetensors file, in which `vidcorr export` writes `architecture`, `mean` and `std`, with `taken`: the entry of
        the weights, if the file holds several.

    Raises:
        ValueError: if the file is missing or damaged, holds other types, or no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            content, about = _read_safetensors(path)
        else:
            pairs: list[Any] = [(kind, name) for name, kind in HARMLESS.items()]
            about = {}
            with torch.serialization.safe_globals(pairs):
                content = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types for a senseless file
        advice = "is the download complete, and not a web page?"
        if "Unsupported global" in str(error):
            advice = "if you trust its source, save its weights alone: torch.load(FILE, weights_only=False), torch.save"
        raise ValueError(f"{path}: cannot be read; {advice} ({reason(error)})") from error
    entries: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    place = next((name for name in ENTRIES if is_state(entries.get(name))), "")
    state: Mapping[str, Any] = entries[place] if place else entries
    if not state or not is_state(state):
        held = ", ".join(map(str, entries)) or type(content).__name__
        raise ValueError(f"{path}: no weights under {', '.join(ENTRIES)} or at the top; it holds {held}")
    others = [str(name) for name, value in entries.items() if name != place and is_state(value) and len(value)]
    if place and others:
        about = {**about, "taken": f"weights of {place}; the file also holds {', '.join(others)}"}
    weights = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    if all(name.startswith("module.") for name in weights):
        weights = without_prefix(weights, "module.")
    if METADATA_KEY in entries:
        raise ValueError(f"{path}: already a checkpoint of vidcorr, no conversion is needed")
    return weights, about


def is_state(content: object) -> bool:
    """Return whether a value is a mapping of names to tensors."""
    return isinstance(content, Mapping) and all(isinstance(value, torch.Tensor) for value in content.values())


def _read_safetensors(path: Path) -> tuple[State, Mapping[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118, no mapping


def convert(
    foreign: str | Path, output: str | Path, kind: str = "auto", architecture: str | None = None
) -> dict[str, Any]:
    """Convert a foreign checkpoint to one of ours.

    Every tensor of the file is mapped, or a rule states why it is not needed. Every tensor of our module is found in
    the file.

    Args:
        foreign: `.safetensors`, or a file of `torch.save`.
        output: the checkpoint to write, `.ckpt`.
        kind: a family of `FAMILIES`, or "auto" to choose by the keys.
        architecture: `torchvision:NAME` or `timm:NAME`, if the keys do not determine it.

    Returns:
        `family`; `class_path` and `init_args` of the module; `unused`: foreign key → reason to leave it out; `note`;
        and `measure`, the command closest to the source's evaluation.

    Raises:
        ValueError: if the family is unknown, no rule covers a key, or a weight is missing or has another shape.
    """
    output = Path(output)
    if output.suffix not in SUFFIXES:
        raise ValueError(f"{output}: the name of a checkpoint ends with {' or '.join(SUFFIXES)}")
    if output.resolve() == Path(foreign).resolve():
        raise ValueError(f"{output}: would replace the foreign checkpoint itself; give another name")
    weights, about = read_foreign(foreign)
    spec = architecture or about.get("architecture")
    if spec == LiirEncoder.described.spec:
        raise ValueError(
            f"{foreign}: Liir's encoder without its arguments; use the checkpoint that it was exported from"
        )
    if architecture is not None:
        allow(architecture)
    elif spec is not None:
        pass_gate(FROZEN, {"spec": spec}, foreign)
    family = family_of(weights, spec, foreign) if kind == "auto" else kind
    try:
        converted = FAMILIES[family].convert(weights, spec)
        normalisation: dict[str, Any] = {}
        for name in ("mean", "std"):
            if name in about:
                normalisation[name] = tuple(map(float, about[name].split(",")))
    except KeyError as error:
        raise ValueError(f"{foreign}: taken for {family}, it lacks {error}; name another family by --kind") from error
    except ValueError as error:
        raise ValueError(f"{foreign}: taken for {family}: {error}") from error
    recipe = pass_gate(converted.class_path, converted.init_args | normalisation, foreign)
    batches: State = {}  # numbers of batches that BatchNorms lack in files of torch before 0.4.1; they are not used
    for name in converted.state:
        if name.endswith("running_mean"):
            norm = name.removesuffix("running_mean")
            batches[f"{norm}num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    module = make(recipe, foreign)
    load_weights(module, batches | converted.state, f"{foreign}, taken for {family} ({spec or converted.init_args})")
    write_checkpoint(module, output)
    benchmark, _, flags = converted.benchmark.partition(" ")
    measure = f"vidcorr validate --ckpt_path {shlex.quote(str(output))} --on {benchmark}=FOLDER {flags}"
    return {
        "family": family,
        "class_path": converted.class_path,
        "init_args": recipe.arguments,
        "unused": converted.unused,
        "note": "; ".join(filter(None, (about.get("taken", ""), converted.note))),
        "measure": measure.strip(),
    }


def account(report: Mapping[str, Any]) -> str:
    """Return a result of `convert` as printed lines."""
    arguments = ", ".join(f"{name}={value}" for name, value in report["init_args"].items())
    kind = report["class_path"].rpartition(".")[2]
    rows = [("family", report["family"]), ("made", f"{kind}({arguments})")]
    for why, count in Counter(report["unused"].values()).items():
        rows.append(("not used", f"{why}: {count} tensors"))
    rows.append(("note", report["note"]))
    rows.append(("measure", report["measure"]))
    return "\n".join(f"  {name:<10}  {text}" for name, text in rows if text)
