"""Weights of other projects by the names in their files; `families.yaml` is the table of families."""

import functools
import importlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input
from ..errors import printable
from ..videos.files import require_one_of
from .files.foreign import State, under_own_names
from .hub_models import CONFIG
from .networks import EncoderSpec, build, torchvision_resnets

NAMED = "named"
"""Entry of `families.yaml` for weights of no family, whose names are those of a network that the user names."""
LIIR = "vidcorr.backbones:LiirEncoder"
PLACES = "backbone.position.places"
"""Name of the weights of Liir's position map."""
SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge", 1536: "giant"}
"""Width of a vision transformer → timm's word for its size."""


def converted(family: str, state: State, source: str | Path) -> tuple[dict[str, Any], State]:
    """Convert the weights of a family to the names of the network that vidcorr builds for the family.

    Every tensor gets a name, or a rule of the family states why the tensor is left out; such reasons are printed.

    Args:
        family: a family of `FAMILIES`.

    Returns:
        Fields of `EncoderSpec.to_dict` that make the network or, if the family's table has `module`, this class of
        vidcorr with the network in it; and the weights under the names of what the fields make.

    Raises:
        ValueError: if the family is unknown, no rule covers a key, or the network has no place for a weight.
    """
    require_one_of(FAMILIES, family=family)
    # `spec` is the network's name alone: `_spec_of` adds the stated input, and the class of vidcorr around the network
    spec, weights = spec_and_weights(family, state, spec=None, source=source)
    return _spec_of(FAMILIES[family], spec, weights), weights


def family_of(state: State, spec: str | None, source: str | Path) -> str:
    """Return the name of the family of weights: the first of `FAMILIES` whose signs all match the weights' names.

    Args:
        spec: name of the network; None if it is unknown.

    Returns:
        A family, or `NAMED` for weights of no family if the network is known.

    Raises:
        ValueError: for weights of no family if the network is unknown.

    Example:
        >>> one = torch.ones(1)
        >>> family_of({"encoder_q.conv1.weight": one, "queue": one}, None, "moco.pth")
        'moco'
        >>> family_of({"conv1.weight": one}, "torchvision:resnet18", "own.pth")
        'named'
        >>> family_of({"patch_embed.proj.weight": torch.ones(8, 3, 2, 16, 16)}, None, "vitl.pt")
        Traceback (most recent call last):
            ...
        ValueError: vitl.pt: of a transformer of clips, as V-JEPA 2's: name the model with these weights, such as ...
        >>> family_of({"embeddings.cls_token": one}, None, "own.pth")
        Traceback (most recent call last):
            ...
        ValueError: own.pth: of a model of transformers: name its folder, with its config.json
    """
    for name, table in FAMILIES.items():
        # signs are patterns: each sign of a family has to match the name of a weight
        matched = [any(map(re.compile(sign).fullmatch, state)) for sign in table.get("signs", ())]
        if matched and all(matched):  # a family without signs is never recognised
            return name
    if spec is not None:
        return NAMED
    if any(name.endswith("patch_embed.proj.weight") and tensor.ndim == 5 for name, tensor in state.items()):
        remedy = "name the model with these weights, such as transformers:facebook/vjepa2-vitl-fpc64-256"
        raise ValueError(f"{source}: of a transformer of clips, as V-JEPA 2's: {remedy}")
    if any(name.startswith("embeddings.") for name in state):
        raise ValueError(f"{source}: of a model of transformers: name its folder, with its {CONFIG}")
    names = ", ".join(list(state)[:4])
    raise ValueError(
        f"{source}: weights of no known family, such as {names}; name their network, torchvision:resnet18={source}, "
        f"timm:NAME={source} or my_module:my_network={source}, or their family, family:NAME={source}"
    )


def fitted_to_library(state: State, family: str, network: nn.Module, spec: str, source: str | Path) -> State:
    """Return weights under the names of a library's network: as they are if they fit, else by their family's table.

    Weights that the table leaves out, such as a decoder's, are printed.

    Args:
        family: family of the weights.
        network: the network, without classifier.
        spec: name of the network.

    Raises:
        ValueError: if the network fits behind several prefixes, has another number of heads than the family states, or
            has no place for some weights.

    Example:
        >>> spec = "timm:vit_small_patch16_224"
        >>> fitted_to_library({}, "moco_v3", _without_weights(spec), spec, "vit-s.pth")
        Traceback (most recent call last):
            ...
        ValueError: vit-s.pth: of moco_v3, with 12 heads; timm:vit_small_patch16_224 has 6: give the file alone
    """
    heads = FAMILIES[family].get("heads")
    own_heads = [part.num_heads for part in network.modules() if hasattr(part, "num_heads")]
    # another number of heads changes the maps, but no shape of a weight
    if heads and own_heads and own_heads[-1] != heads:
        raise ValueError(f"{source}: of {family}, with {heads} heads; {spec} has {own_heads[-1]}: give the file alone")
    as_they_are = under_own_names(state, network, source, drop_classifier=True)
    # the table of NAMED, for weights of no family, keeps their names; that of a family with a `module` gives the names
    # of this module, not those of a library's network
    if network.state_dict().keys() == as_they_are.keys() or family == NAMED or "module" in FAMILIES[family]:
        return as_they_are
    return spec_and_weights(family, state, spec, source)[1]


def input_of_family(family: str) -> Input | None:
    """Return ImageNet's mean and deviation of RGB for a family that was trained with them; None for other families.

    Example:
        >>> input_of_family("dino").mean, input_of_family("torchvision")
        ((0.485, 0.456, 0.406), None)
    """
    if "imagenet" not in FAMILIES[family]:
        return None
    return Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source=f"of the family {family}")


def spec_and_weights(family: str, state: State, spec: str | None, source: str | Path) -> tuple[str, State]:
    """Return the name of the network of foreign weights, and the weights under this network's names.

    For each reason to leave weights out, a line with their number is printed.

    Args:
        family: a name in `FAMILIES`.
        spec: name of the network; None: find it by the family's table and the weights' shapes.

    Raises:
        ValueError: if no rule covers a key, the network has no place for a weight, or no network has these shapes.

    Example:
        >>> state = {"encoder_q.conv1.weight": torch.ones(1), "queue": torch.ones(1)}
        >>> spec_and_weights("moco", state, "torchvision:resnet18", "moco.pth")
        moco.pth: not used: negatives: 1 tensors
        ('torchvision:resnet18', {'conv1.weight': tensor([1.])})
        >>> spec_and_weights("moco", {"x": torch.ones(1)}, "torchvision:resnet18", "moco.pth")
        Traceback (most recent call last):
            ...
        ValueError: moco.pth: taken for moco: no rule covers 1 tensors, such as x
    """
    table = FAMILIES[family]
    try:
        renamed, unused = renamed_by(table, state)
        spec, state = in_form_of_network(table, renamed, spec)
    except (AttributeError, KeyError, ValueError) as error:  # timm's raises them for another form
        raise ValueError(f"{source}: taken for {family}: {error}") from error
    for why, count in Counter(unused.values()).items():
        print(printable(f"{source}: not used: {why}: {count} tensors"), flush=True)
    return spec, state


def _spec_of(table: Mapping[str, Any], name: str, state: State) -> dict[str, Any]:
    """Return the fields of `EncoderSpec.to_dict` that make a family's network `name`.

    If the table names a module, these are the fields of the module, with the network as its backbone.
    """
    encoder: dict[str, Any] = {"spec": name}
    if table.get("imagenet"):
        encoder |= {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if "module" not in table:
        return encoder
    arguments = dict(table.get("arguments", {}))
    if name != LIIR:  # a module around an encoder; Liir makes its encoder from its own arguments
        arguments["backbone"] = encoder
    elif PLACES in state:  # Liir's learned position map, whose size the weights tell
        arguments["position_size"] = state[PLACES].shape[-1]
    return {"spec": table["module"], "arguments": arguments}


def renamed_by(table: Mapping[str, Any], state: State) -> tuple[State, dict[str, str]]:
    """Rename weights by the rules of a family's table.

    Returns:
        The weights under their new names; and, of the weights that the table leaves out, key → reason.

    Raises:
        ValueError: if no rule covers a key, or two keys get the same name.

    Example:
        >>> renamed_by(FAMILIES["moco"], {"encoder_q.conv1.weight": torch.ones(1), "queue": torch.ones(1)})
        ({'conv1.weight': tensor([1.])}, {'queue': 'negatives'})
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
            # the file holds two networks; the user names one of them, NAME, by FILE#NAME
            raise ValueError(f"two tensors, one of them {key}, would both become {name}; name one, FILE#NAME")
        else:
            renamed[name] = tensor
    if unknown:
        raise ValueError(f"no rule covers {len(unknown)} tensors, such as {', '.join(sorted(unknown)[:3])}")
    return renamed, unused


def _by_first_rule(rules: Mapping[str, str], key: str) -> str | None:
    """Return the target of the first rule whose pattern matches a whole key, with its groups filled in; else None."""
    for pattern, target in rules.items():
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(target)
    return None


def architecture_of(state: State, table: Mapping[str, Any]) -> str:
    """Return the name of the network of weights: the table's `architecture`, with size, patch and kind filled in.

    Without an `architecture` the network is torchvision's ResNet with the nearest shapes (`resnet_of`). An
    `architecture` with something to fill in is of transformers. Weights without a projection of patches then have that
    ResNet too, because DINO's authors published transformers and ResNets.

    Raises:
        ValueError: for a transformer of a width that no family has.

    Example:
        >>> weights = {"patch_embed.proj.weight": torch.empty(384, 3, 8, 8)}
        >>> architecture_of(weights, FAMILIES["dino"])
        'timm:vit_small_patch8_224.dino'
        >>> architecture_of(weights, FAMILIES["moco_v3"])
        'vidcorr.backbones:moco_v3_vit_small'
        >>> architecture_of({"conv1.weight": torch.empty(64, 3, 7, 7)}, FAMILIES["crw"])
        'vidcorr.backbones:crw_resnet18'
        >>> architecture_of({"patch_embed.proj.weight": torch.empty(385, 3, 8, 8)}, FAMILIES["dino"])
        Traceback (most recent call last):
            ...
        ValueError: no transformer of the family has width 385; name it, timm:NAME=FILE
    """
    architecture: str = table.get("architecture", "")
    patches = [tensor for name, tensor in state.items() if name.endswith("patch_embed.proj.weight")]
    if not architecture:
        return resnet_of(state)
    if not patches:  # of no transformer
        return resnet_of(state) if "{" in architecture else architecture
    width, _, patch, _ = patches[0].shape  # of a convolution: width x 3 x patch x patch
    if width not in SIZES:
        raise ValueError(f"no transformer of the family has width {width}; name it, timm:NAME=FILE")
    # timm's endings of names: the number of registers, and biases of queries and values
    registers = f"_reg{state['register_tokens'].shape[1]}" if "register_tokens" in state else ""
    biases = "_qkvb" if any(name.endswith("attn.q_bias") for name in state) else ""
    return architecture.format(size=SIZES[width], patch=patch, registers=registers, biases=biases)


def resnet_of(state: State) -> str:
    """Return the name of torchvision's ResNet whose weights differ from these in the fewest names and shapes.

    Example:
        >>> from torchvision.models import resnet50
        >>> with torch.device("meta"):
        ...     state = resnet50().state_dict()
        >>> resnet_of(state)
        'torchvision:resnet50'
    """
    shapes = _shapes_of(state)

    def difference(spec: str) -> int:
        """Return the number of weights, by name and shape, that only one of both has."""
        return len(_shapes_of(_without_weights(spec).state_dict()) ^ shapes)

    specs = [f"torchvision:{name}" for name in torchvision_resnets()]
    return min(specs, key=difference)


def _shapes_of(state: Mapping[str, Tensor]) -> set[tuple[str, torch.Size]]:
    """Return the names and shapes of weights."""
    return {(name, tensor.shape) for name, tensor in state.items()}


@functools.cache
def _without_weights(spec: str) -> Any:
    """Return a network by its name, on the meta device: its weights have names and shapes, but no numbers."""
    import torchvision  # noqa: F401 - its import computes, which fails on the meta device with torch 2.8

    with torch.device("meta"):
        network, _ = build(EncoderSpec(spec))
    return network


def in_form_of_network(table: Mapping[str, Any], state: State, spec: str | None = None) -> tuple[str, State]:
    """Return the name of the network of weights, and the weights under this network's own names and in its shapes.

    Args:
        table: table of a family. If it has `by_timm`, timm's function converts names and shapes.
        spec: name of the network; None: find it by `architecture_of`.

    Raises:
        ValueError: for a transformer of a width that no family has.

    Example:
        >>> name, state = in_form_of_network(FAMILIES["liir"], {PLACES: torch.zeros(1, 64, 8, 8)})
        >>> name, state[PLACES].shape
        ('vidcorr.backbones:LiirEncoder', torch.Size([64, 8, 8]))
    """
    if PLACES in state:  # Liir's position map
        state = state | {PLACES: state[PLACES][0]}  # without the axis of the batch
    if not table.get("by_timm"):
        return spec or architecture_of(state, table), state
    state = _with_biases_of_timm(state)
    spec = spec or architecture_of(state, table)
    network = _without_weights(spec)
    marked = state | {"mask_token": torch.empty(0)}  # timm recognises DINOv2's files by this key
    return spec, importlib.import_module(type(network).__module__).checkpoint_filter_fn(marked, network)


def _with_biases_of_timm(state: State) -> State:
    """Return weights with DINOv3's biases of attention under timm's names; without these biases if all are zero.

    In some sizes all are zero, and timm's networks of these sizes have no such biases. timm's own conversion would drop
    the biases of every size.
    """
    if "storage_tokens" not in state:
        return state
    kept: State = {}
    biases: State = {}
    for name, tensor in state.items():
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)  # DINOv3 masks the biases of the keys
            biases |= {name.replace("qkv.", "q_"): query, name.replace("qkv.", "v_"): value}
        else:
            kept[name] = tensor
    return kept | biases if any(tensor.any() for tensor in biases.values()) else kept


FAMILIES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("families.yaml").read_text("utf-8"))
"""Name of a family → its table: rules for the names of weights, architecture, and notes; in the order of trial."""
