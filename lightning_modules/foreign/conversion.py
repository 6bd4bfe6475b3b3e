"""The weights of another project as a checkpoint of this one."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import SUFFIXES, allow, write_checkpoint
from ..checkpoints.trust import load_into, pass_gate
from .families import FAMILIES, family_of
from .foreign_file import State, read_foreign


def convert(
    foreign: str | Path, output: str | Path, kind: str = "auto", architecture: str | None = None, trust: bool = False
) -> dict[str, Any]:
    """Convert a foreign checkpoint to one of ours.

    Every tensor of the file is mapped, or a rule states why it is not needed; every tensor of our module is
    found in the file.

    Args:
        foreign: `.safetensors`, or what `torch.save` wrote.
        output: the checkpoint to write, `.ckpt`.
        kind: a family of `FAMILIES`, or "auto" to go by the keys.
        architecture: `torchvision:NAME` or `timm:NAME`, where the keys do not determine it.
        trust: unpickle whatever the file holds, which may run code.

    Returns:
        `family`; `class_path` and `init_args` of the module; `parts`: part of the module → its tensors and their
        numbers; `unused`: foreign key → reason to leave it out; `beside`: what the file held with the weights; `note`;
        and `measure`, the command that comes closest to the source's own evaluation.

    Raises:
        ValueError: if the family is not known, a key is not covered, or a weight is missing or of another shape.
    """
    output = Path(output)
    if output.suffix not in SUFFIXES:
        raise ValueError(f"{output}: the name of a checkpoint ends with {' or '.join(SUFFIXES)}")
    if output.resolve() == Path(foreign).resolve():
        raise ValueError(f"{output}: would replace the foreign checkpoint itself; give another name")
    if architecture is not None:
        allow(architecture)
    file = read_foreign(foreign, trust)
    family = family_of(file, kind, architecture)
    try:
        converted = FAMILIES[family].convert(file.state, architecture or file.architecture)
    except KeyError as error:
        raise ValueError(f"{foreign}: taken for {family}, it lacks {error}") from error
    except ValueError as error:
        raise ValueError(f"{foreign}: taken for {family}: {error}") from error
    converted = replace(converted, init_args=converted.init_args | file.normalisation)
    recipe = pass_gate(converted.class_path, converted.init_args, foreign)
    state = _with_counts(converted.state)
    module: Any = load_into(recipe, state, f"{foreign}, taken for {family}")
    write_checkpoint(module, output)
    return {
        "family": family,
        "class_path": converted.class_path,
        "init_args": converted.init_args,
        "parts": _parts(state),
        "unused": converted.unused,
        "beside": file.beside,
        "note": converted.note,
        "measure": f"python cli.py validate --ckpt_path {output} {converted.measured_by}",
    }


def account(report: Mapping[str, Any]) -> str:
    """Return a result of `convert` as lines for people."""
    arguments = ", ".join(f"{name}={value}" for name, value in report["init_args"].items())
    rows = [("family", report["family"]), ("made", f"{report['class_path'].rpartition('.')[2]}({arguments})")]
    rows += [(part, f"{tensors} tensors, {n / 1e6:.2f} M numbers") for part, (tensors, n) in report["parts"].items()]
    rows += [("not used", f"{names} ({why})") for why, names in _unused(report["unused"]).items()]
    rows.append(("not used", f"{', '.join(report['beside'])} (stored with the weights)" if report["beside"] else ""))
    rows += [(name, report[name]) for name in ("note", "measure")]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in rows if text)


def _with_counts(state: State) -> State:
    """Add each BatchNorm's number of batches, which torch before 0.4.1 did not save; nothing uses it."""
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms} | state


def _parts(state: State) -> dict[str, tuple[int, int]]:
    parts: dict[str, tuple[int, int]] = {}
    for name, tensor in state.items():
        part = name.partition(".")[0]
        tensors, numbers = parts.get(part, (0, 0))
        parts[part] = tensors + 1, numbers + tensor.numel()
    return parts


def _unused(unused: dict[str, str]) -> dict[str, str]:
    """Return reason → keys, as `prefix.* (count)`."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for key, why in unused.items():
        groups[why][".".join(key.split(".")[: 2 if key.count(".") > 1 else 1])] += 1
    return {
        why: ", ".join(f"{name}.* × {n}" if n > 1 else name for name, n in names.items())
        for why, names in groups.items()
    }
