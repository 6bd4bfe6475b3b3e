"""The weights of another project as a checkpoint of this one."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..backbones import LiirEncoder
from ..checkpoints import SUFFIXES, allow, write_checkpoint
from ..checkpoints.trust import check_network, load_into, pass_gate
from .families import FAMILIES, family_of
from .foreign_file import read_foreign


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
        `family`; `class_path` and `init_args` of the module; `unused`: foreign key → reason to leave it out; `beside`:
        what the file held with the weights; `note`; and `measure`, the command that comes closest to the source's own
        evaluation.

    Raises:
        ValueError: if the family is not known, a key is not covered, or a weight is missing or of another shape.
    """
    output = Path(output)
    if output.suffix not in SUFFIXES:
        raise ValueError(f"{output}: the name of a checkpoint ends with {' or '.join(SUFFIXES)}")
    if output.resolve() == Path(foreign).resolve():
        raise ValueError(f"{output}: would replace the foreign checkpoint itself; give another name")
    file = read_foreign(foreign, trust)
    spec = architecture or file.about.get("architecture")
    if "vidcorr" in file.beside:
        raise ValueError(f"{foreign}: already a checkpoint of vidcorr, no conversion is needed")
    if spec == LiirEncoder.architecture:
        raise ValueError(f"{foreign}: Liir's encoder without what it was made with; use the checkpoint it came from")
    if architecture is not None:
        allow(architecture)
    if spec is not None:
        check_network(spec, foreign)
    family = family_of(file.state, spec, foreign) if kind == "auto" else kind
    try:
        converted = FAMILIES[family].convert(file.state, spec)
        noted = {name: file.about[name].split(",") for name in ("mean", "std") if name in file.about}
        normalisation = {name: tuple(map(float, numbers)) for name, numbers in noted.items()}
    except KeyError as error:
        raise ValueError(f"{foreign}: taken for {family}, it lacks {error}") from error
    except ValueError as error:
        raise ValueError(f"{foreign}: taken for {family}: {error}") from error
    recipe = pass_gate(converted.class_path, converted.init_args | normalisation, foreign)
    state = converted.state
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    # torch before 0.4.1 did not save each BatchNorm's number of batches, which nothing uses
    state = {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms} | state
    module: Any = load_into(recipe, state, f"{foreign}, taken for {family} ({spec or converted.init_args})")
    write_checkpoint(module, output)
    return {
        "family": family,
        "class_path": converted.class_path,
        "init_args": recipe.arguments,
        "unused": converted.unused,
        "beside": file.beside,
        "note": FAMILIES[family].note,
        "measure": f"python cli.py validate --ckpt_path {output} --config configs/benchmarks/{converted.benchmark}",
    }


def account(report: Mapping[str, Any]) -> str:
    """Return a result of `convert` as lines for people."""
    arguments = ", ".join(f"{name}={value}" for name, value in report["init_args"].items())
    rows = [("family", report["family"]), ("made", f"{report['class_path'].rpartition('.')[2]}({arguments})")]
    rows += [("not used", f"{why}: {count} tensors") for why, count in Counter(report["unused"].values()).items()]
    rows.append(("not used", f"stored with the weights: {', '.join(report['beside'])}" if report["beside"] else ""))
    rows += [(name, report[name]) for name in ("note", "measure")]
    return "\n".join(f"  {name:<10}  {text}" for name, text in rows if text)
