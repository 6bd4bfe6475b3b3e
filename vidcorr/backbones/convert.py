"""Checkpoints of other projects to ours; no code in a file runs. `families.yaml` is the table of families."""

import functools
import importlib
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, REMEDY, Input
from ..errors import printable
from ..videos.files import require_one_of
from .checkpoints import METADATA_KEY, load_weights, read_content, write_checkpoint
from .encoder import Encoder
from .foreign import State, choice_rows, fitted, positions_resampled, weights_in, without_wrappers
from .networks import EncoderSpec, torchvision_resnets
from .trust import LONGEST, Recipe, allow, import_path, make

FROZEN = "vidcorr.lightning_modules.frozen_encoder.FrozenEncoder"
PLACES = "backbone.position.places"
"""Name of Liir's position map."""
SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge", 1536: "giant"}
"""Width of a vision transformer → timm's word for its size."""


def convert(
    foreign: str | Path,
    output: str | Path,
    kind: str = "auto",
    architecture: str | None = None,
    entry: str | None = None,
    stated: Input | None = None,
) -> dict[str, Any]:
    """Convert a foreign checkpoint to one of ours.

    Every tensor of the file is mapped, or a rule states why it is not needed. Every tensor of our module is found in
    the file.

    Args:
        foreign: `.safetensors`, or a file of `torch.save`.
        output: the checkpoint to write, `.ckpt`.
        kind: a family of `FAMILIES`, or "auto" to choose by the keys.
        architecture: `torchvision:NAME` or `timm:NAME`, if the keys do not determine it.
        entry: place of the weights in the file, such as `state_dict_ema`; None takes the file's only weights, or those
            that training goes on with (of DINO the teacher).
        stated: the RGB of the weights' training; None is that of the family.

    Returns:
        `family`; `input`, the RGB of its views in words; `entry`, and `others`, places of other weights in the file;
        `class_path` and `init_args` of the module; `unused`: foreign key → reason to leave it out; `note`; and
        `measure`, the command closest to the source's evaluation.

    Raises:
        ValueError: if the family is unknown, no rule covers a key, or a weight is missing or has another shape; for
            weights of no family whose input nobody states.
    """
    require_one_of(("auto", *FAMILIES), kind=kind)
    output = Path(output)
    if output.suffix != ".ckpt" or output.resolve() == Path(foreign).resolve():
        raise ValueError(f"{output}: the name of the checkpoint to write ends with .ckpt, and is not the source's")
    content = read_content(foreign)
    if isinstance(content, dict) and content.get(METADATA_KEY) is not None:
        raise ValueError(f"{foreign}: already a checkpoint of vidcorr, no conversion is needed")
    given, place, others = weights_in(content, foreign, entry)
    weights = without_wrappers(given)
    if architecture is not None:
        allow(architecture)
    elif kind == "named":
        raise ValueError(f"{foreign}: taken for named: name its network by --architecture")
    family = family_of(weights, architecture, foreign) if kind == "auto" else kind
    table = FAMILIES[family]
    spec, state, unused = named_as(family, weights, architecture, foreign)
    recipe = _recipe(table, spec, state)
    if stated is not None:
        recipe["init_args"] |= {"mean": stated.mean, "std": stated.std}
    module = make(recipe, foreign)
    if family == "named" and module.encoder.stated is None:
        raise ValueError(f"{foreign}: weights of no known family, whose input is not known: {REMEDY}")
    network = module if "module" in table else module.encoder.network
    state = positions_resampled(fitted(state, network, foreign, drop_classifier=True), network, foreign)
    load_weights(network, state, f"{foreign}, taken for {family} {recipe['init_args']}")
    write_checkpoint(module, output)
    benchmark, _, flags = table.get("benchmark", "davis").partition(" ")
    measure = f"vidcorr validate --ckpt_path {shlex.quote(str(output))} --on {benchmark}=FOLDER {flags}"
    return {
        "family": family,
        "entry": place,
        "others": others,
        **recipe,
        "input": module.feature_extractor().input.rgb,
        "unused": unused,
        "note": table.get("note", ""),
        "measure": measure.strip(),
    }


def report_lines(report: Mapping[str, Any]) -> str:
    """Return a result of `convert` as printed lines."""
    arguments = ", ".join(f"{name}={value}" for name, value in report["init_args"].items())
    kind = report["class_path"].rpartition(".")[2]
    rows = [("family", report["family"]), ("made", f"{kind}({arguments})"), ("input", report["input"])]
    rows += choice_rows(report["entry"], report["others"])
    rows += unused_rows(report["unused"])
    rows.append(("note", report["note"]))
    rows.append(("measure", report["measure"]))
    return printable("\n".join(f"  {name:<10}  {text[:LONGEST]}" for name, text in rows if text))


def family_of(state: State, spec: str | None, source: str | Path) -> str:
    """Return the name of the weights' family, by their keys.

    Args:
        state: foreign weights.
        spec: name of the network, if known; its names are expected if the keys show no family.
        source: the file, for messages.

    Raises:
        ValueError: if neither keys nor name decide.
    """
    for name, table in FAMILIES.items():
        if _has_signs(state, table.get("signs", ())):
            return name
    if spec is not None:
        return "named"
    held = ", ".join(list(state)[:4])
    raise ValueError(
        f"{source}: weights of no known family, such as {held}; name one by --kind ({', '.join(FAMILIES)}), a network "
        "by --architecture, or load them in a function of yours and name the network my_module:my_network"
    )


def fitted_to_library(state: State, network: nn.Module, spec: str, source: str | Path) -> State:
    """Return the weights of a library's network: as `fitted`, or from the names of a family in this network's form.

    What the family's table leaves out, such as a decoder, is said in a line.

    Args:
        state: weights of a file.
        network: the network, without classifier.
        spec: its name.
        source: the file, for messages.

    Raises:
        ValueError: if the network fits below several prefixes, or weights of a family have no place in this network.
    """
    fits = fitted(state, network, source, drop_classifier=True)
    state = without_wrappers(state)
    family = family_of(state, spec, source)
    if network.state_dict().keys() == fits.keys() or family == "named" or "module" in FAMILIES[family]:
        return fits
    _, state, unused = named_as(family, state, spec, source)
    for row, text in unused_rows(unused):
        print(printable(f"{source}: {row}: {text}"), flush=True)
    return state


def unused_rows(unused: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return how many weights of a file are left out, for each reason, as named lines."""
    return [("not used", f"{why}: {count} tensors") for why, count in Counter(unused.values()).items()]


def named_as(family: str, state: State, spec: str | None, source: str | Path) -> tuple[str, State, dict[str, str]]:
    """Return the weights of a family under the names of a network, or of a module of ours.

    Args:
        family: a name in `FAMILIES`.
        state: foreign weights.
        spec: name of the network, if known; None: as the family's table and the weights' shapes say.
        source: the file, for messages.

    Returns:
        The network's name; its weights; and foreign key → reason for those left out.

    Raises:
        ValueError: if no rule covers a key, the network has no place for a weight, or its name cannot be found out.
    """
    table = FAMILIES[family]
    try:
        renamed, unused = renamed_by(table, state)
        spec, state = placed(table, renamed, spec)
    except (AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"{source}: taken for {family}: {error}") from error
    return spec, state, unused


def _recipe(table: Mapping[str, Any], spec: str, state: State) -> Recipe:
    """Return class and arguments of the module for weights of a family: a `FrozenEncoder`, or that of its table."""
    stated = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} if table.get("imagenet") else {}
    arguments = dict(table.get("arguments", {}))
    if "module" not in table:
        arguments |= {"spec": spec} | stated
    elif stated:  # of a module around an encoder
        of_encoder = {"spec": spec} | {name: list(value) for name, value in stated.items()}
        arguments |= {"backbone": spec, "encoder": {"class_path": import_path(Encoder), "init_args": of_encoder}}
    elif PLACES in state:
        arguments["position_size"] = state[PLACES].shape[-1]
    return {"class_path": table.get("module", FROZEN), "init_args": arguments}


def renamed_by(table: Mapping[str, Any], state: State) -> tuple[State, dict[str, str]]:
    """Return the weights under the names of a family's table, and key → reason for those left out.

    Raises:
        ValueError: if no rule covers a key, or two keys get the same name.
    """
    renamed: State = {}
    unused: dict[str, str] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        why = _by_first_rule(table.get("left_out", {}), key)
        name = _by_first_rule(table["names"], key)
        if why:
            unused[key] = why
        elif not name:
            unknown.append(key)
        elif name in renamed:
            raise ValueError(f"two tensors, one of them {key}, would both become {name}; name a family by --kind")
        else:
            renamed[name] = tensor
    if unknown:
        raise ValueError(f"no rule covers {len(unknown)} tensors, such as {', '.join(sorted(unknown)[:3])}")
    return renamed, unused


def _by_first_rule(rules: Mapping[str, str], key: str) -> str | None:
    """Return the target of the first rule whose pattern matches a key; None if no rule does."""
    for pattern, target in rules.items():
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(target)
    return None


def _has_signs(state: State, signs: Sequence[str]) -> bool:
    """Return whether each sign of a family, a pattern, is the name of a weight; False without signs."""
    for sign in signs:
        if not any(map(re.compile(sign).fullmatch, state)):
            return False
    return bool(signs)


def architecture_of(state: State, table: Mapping[str, Any]) -> str:
    """Return the name of the network of weights: the family's architecture, with size, patch and kind filled in.

    Weights without patches are those of the architecture, if it has nothing to fill in; else of a ResNet, which is
    known by its shapes: DINO's are of both kinds.

    Raises:
        ValueError: for a transformer of a width that no family has.
    """
    architecture: str = table.get("architecture", "")
    patches = [tensor for name, tensor in state.items() if name.endswith("patch_embed.proj.weight")]
    if not patches or not architecture:
        return architecture if architecture and "{" not in architecture else resnet_of(state)
    width, _, patch, _ = patches[0].shape
    if width not in SIZES:
        raise ValueError(f"no transformer of the family has width {width}; name it by --architecture timm:NAME")
    registers = f"_reg{state['register_tokens'].shape[1]}" if "register_tokens" in state else ""
    biases = "_qkvb" if any(name.endswith("attn.q_bias") for name in state) else ""
    return architecture.format(size=SIZES[width], patch=patch, registers=registers, biases=biases)


def resnet_of(state: State) -> str:
    """Return the name of torchvision's ResNet with the names and shapes nearest to the weights'."""
    shapes = _shapes_of(state)

    def difference(spec: str) -> int:
        return len(_shapes_of(_without_weights(spec).state_dict()) ^ shapes)

    specs = [f"torchvision:{name}" for name in torchvision_resnets()]
    return min(specs, key=difference)


def _shapes_of(state: Mapping[str, Tensor]) -> set[tuple[str, torch.Size]]:
    return {(name, tensor.shape) for name, tensor in state.items()}


@functools.cache
def _without_weights(spec: str) -> Any:
    """Return a network by its name, on the meta device: with the names and shapes of its weights."""
    import torchvision  # noqa: F401 - its import computes, which fails on the meta device with torch 2.8

    with torch.device("meta"):
        network, _ = EncoderSpec(spec).build()
    return network


def placed(table: Mapping[str, Any], state: State, spec: str | None = None) -> tuple[str, State]:
    """Return the name of the network of weights, and the weights in its form.

    Args:
        table: of a family.
        state: weights under the names of the table.
        spec: name of the network, if known; None: as the table and the shapes say.

    Raises:
        ValueError: if the name is not known and cannot be found out.
    """
    if PLACES in state:
        state = state | {PLACES: state[PLACES][0]}  # without the axis of the batch
    if table.get("by_timm"):
        state = _with_biases_of_timm(_packed(state))
    spec = spec or architecture_of(state, table)
    if table.get("by_timm"):
        network = _without_weights(spec)
        marked = state | {"mask_token": torch.empty(0)}  # timm recognises DINOv2's files by this key
        state = importlib.import_module(type(network).__module__).checkpoint_filter_fn(marked, network)
    return spec, state


def _with_biases_of_timm(state: State) -> State:
    """Return weights with DINOv3's biases under timm's names; without them if all are zero, as of some sizes.

    timm's networks of these sizes have none, and timm's own function would leave others out too.
    """
    if "storage_tokens" not in state:
        return state
    kept: State = {}
    biases: State = {}
    for name, tensor in state.items():
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)  # the keys' are masked
            biases |= {name.replace("qkv.", "q_"): query, name.replace("qkv.", "v_"): value}
        else:
            kept[name] = tensor
    return kept | biases if any(tensor.any() for tensor in biases.values()) else kept


def _packed(state: State) -> State:
    """Return weights with queries, keys and values in one tensor, as their authors have them; keys may have no bias."""
    packed = dict(state)
    for name in state:
        place, query, kind = name.rpartition("q.")
        if not query or not place.endswith(".attn."):
            continue
        key = packed.pop(f"{place}k.{kind}", torch.zeros_like(state[name]))
        values = packed.pop(f"{place}v.{kind}")
        packed[f"{place}qkv.{kind}"] = torch.cat([packed.pop(name), key, values])
    return packed


FAMILIES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("families.yaml").read_text("utf-8"))
"""Name of a family → its table: rules for the names of weights, architecture, and notes; in the order of trial."""
