"""Weights of other projects by the names in their files; `families.yaml` is the table of families."""

import functools
import importlib
import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input
from ..errors import printable
from ..videos.files import require_one_of
from .files.saved_models import INNER_WRAPPERS, without_prefix
from .files.trust import LONGEST, require_small
from .hub_models import CONFIG
from .networks import EncoderSpec, build

State = dict[str, Tensor]
PREFERRED = (
    *("state_dict", "base_encoder", "encoder_q", "online_encoder", "online_network", "teacher"),
    *("encoder", "backbone", "model", "model_state_dict", "module", "network", "net"),
)
"""First names of the places where projects store their network in a file, such as MoCo, BYOL and DINO; best first."""
EXTRA_STATE = "_extra_state"
CLASSIFIER = re.compile(r"(?:fc|heads?|classifier)\..+")
NAMED = "named"
"""Entry of `families.yaml` for weights of no family, whose names are those of a network that the user names."""
LIIR = "vidcorr.backbones:LiirEncoder"
PLACES = "backbone.position.places"
SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge", 1536: "giant"}
"""Width of a vision transformer → timm's word for its size."""
RESNETS = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}
"""Blocks of res4, and whether a block has three convolutions → layers of torchvision's ResNet."""


def converted(family: str, state: State, source: str | Path, spec: str | None = None) -> tuple[dict[str, Any], State]:
    """Convert the weights of a family to the names of the network that vidcorr builds for the family.

    Every tensor gets a name, or a rule of the family states why it is left out: a line for each reason is printed.

    Args:
        spec: name of the network; None: find it by the family's table and the weights' shapes.

    Returns:
        Fields of `EncoderSpec.to_dict` that make the network or, if the family's table has `module`, this class of
        vidcorr with the network in it; and the weights under the names of what the fields make.

    Raises:
        ValueError: if the family is unknown, no rule covers a key, the network has no place for a weight, or no network
            has these shapes.

    Example:
        >>> state = {"encoder_q.conv1.weight": torch.ones(1), "queue": torch.ones(1)}
        >>> converted("moco", state, "moco.pth", "torchvision:resnet18")[1]
        moco.pth: not used: negatives: 1 tensors
        {'conv1.weight': tensor([1.])}
    """
    require_one_of(FAMILIES, family=family)
    try:
        renamed, unused = renamed_by(FAMILIES[family], state)
        found = as_network(FAMILIES[family], renamed, spec)
    except (AttributeError, KeyError, ValueError) as error:  # timm's raises them for another form
        raise ValueError(f"{source}: taken for {family}: {error}") from error
    for why, count in Counter(unused.values()).items():
        print(printable(f"{source}: not used: {why}: {count} tensors"), flush=True)
    return found


def family_of(state: State, spec: str | None, source: str | Path) -> str:
    """Return the name of the family of weights: the first of `FAMILIES` whose signs all match the weights' names.

    Args:
        spec: name of the network, whose weights of no family are `NAMED`; None if it is unknown.

    Raises:
        ValueError: for weights of no family if the network is unknown.

    Example:
        >>> family_of({"encoder_q.conv1.weight": torch.ones(1), "queue": torch.ones(1)}, None, "moco.pth")
        'moco'
    """
    if spec is None and any(".embeddings." in f".{name}" for name in state):
        raise ValueError(f"{source}: of a model of transformers: name its folder, with its {CONFIG}")
    for name, table in FAMILIES.items():
        matched = [any(map(re.compile(sign).fullmatch, state)) for sign in table.get("signs", ())]
        if matched and all(matched):
            return name
    if spec is not None:
        return NAMED
    names = ", ".join(list(state)[:4])
    raise ValueError(
        f"{source}: weights of no known family, such as {names}; name their network, torchvision:resnet18={source}, "
        f"timm:NAME={source} or my_module:my_network={source}, or their family, family:NAME={source}"
    )


def fitted_to_library(state: State, family: str, network: nn.Module, spec: str, source: str | Path) -> State:
    """Return weights under the names of a library's network: as they are if they fit, else by their family's table.

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
    # the table of a family with a `module` gives the names of this module, not those of a library's network
    if network.state_dict().keys() == as_they_are.keys() or family == NAMED or "module" in FAMILIES[family]:
        return as_they_are
    return converted(family, state, source, spec)[1]


def input_of_family(family: str) -> Input | None:
    """Return ImageNet's mean and deviation of RGB for a family that was trained with them; None for other families."""
    if "imagenet" not in FAMILIES[family]:
        return None
    return Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source=f"of the family {family}")


def renamed_by(table: Mapping[str, Any], state: State) -> tuple[State, dict[str, str]]:
    """Rename weights by the rules of a family's table: the first pattern that matches a whole name counts.

    Returns:
        The weights under their new names; and, of the weights that the table leaves out, key → reason.

    Raises:
        ValueError: if no rule covers a key, or two keys get the same name.
    """
    renamed: State = {}
    unused: dict[str, str] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        reasons = [why for pattern, why in table.get("left_out", {}).items() if re.fullmatch(pattern, key)]
        rules = [(re.fullmatch(pattern, key), target) for pattern, target in table["names"].items()]
        names = [match.expand(target) for match, target in rules if match]
        if reasons:
            unused[key] = reasons[0]
        elif not names:
            unknown.append(key)
        elif names[0] in renamed:
            raise ValueError(f"two tensors, one of them {key}, would both become {names[0]}; name one, FILE#NAME")
        else:
            renamed[names[0]] = tensor
    if unknown:
        raise ValueError(f"no rule covers {len(unknown)} tensors, such as {', '.join(sorted(unknown)[:3])}")
    return renamed, unused


def as_network(table: Mapping[str, Any], state: State, spec: str | None = None) -> tuple[dict[str, Any], State]:
    """Return what `converted` returns, of weights under the names of the table.

    Raises:
        ValueError: for a transformer of a width that no family has.
    """
    if PLACES in state:
        state = state | {PLACES: state[PLACES][0]}
    state = _with_biases_of_timm(state) if "storage_tokens" in state else state
    name = spec or architecture_of(state, table)
    if table.get("by_timm"):
        network = _without_weights(name)
        # timm recognises DINOv2's files by this key
        marked = state | {"mask_token": torch.empty(0)}
        state = importlib.import_module(type(network).__module__).checkpoint_filter_fn(marked, network)
    encoder: dict[str, Any] = {"spec": name}
    if table.get("imagenet"):
        encoder |= {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if "module" not in table:
        return encoder, state
    arguments = dict(table.get("arguments", {}))
    if name != LIIR:  # a module around an encoder; Liir makes its encoder from its own arguments
        arguments["backbone"] = encoder
    elif PLACES in state:
        arguments["position_size"] = state[PLACES].shape[-1]
    return {"spec": table["module"], "arguments": arguments}, state


def architecture_of(state: State, table: Mapping[str, Any]) -> str:
    """Return the name of the network of weights: the table's `architecture`, with size, patch and kind filled in.

    Without an `architecture`, or for weights of no transformer where it has something to fill in (DINO's authors
    published both), it is torchvision's ResNet with these blocks.

    Raises:
        ValueError: for blocks or a width that no network of the family has.

    Example:
        >>> architecture_of({"patch_embed.proj.weight": torch.empty(384, 3, 8, 8)}, FAMILIES["dino"])
        'timm:vit_small_patch8_224.dino'
        >>> architecture_of({"patch_embed.proj.weight": torch.empty(385, 3, 8, 8)}, FAMILIES["dino"])
        Traceback (most recent call last):
            ...
        ValueError: no transformer of the family has width 385; name it, timm:NAME=FILE
    """
    architecture: str = table.get("architecture", "{resnet}")
    patches = [tensor for name, tensor in state.items() if name.endswith("patch_embed.proj.weight")]
    if "{" not in architecture:
        return architecture
    if not patches:
        blocks = len({name.split(".")[1] for name in state if name.startswith("layer3.")})
        layers = RESNETS.get((blocks, "layer1.0.conv3.weight" in state))
        if layers is None:
            raise ValueError(f"no ResNet of torchvision has {blocks} such blocks in layer3; name it, NAME=FILE")
        return f"torchvision:resnet{layers}"
    width, _, patch, _ = patches[0].shape
    if width not in SIZES:
        raise ValueError(f"no transformer of the family has width {width}; name it, timm:NAME=FILE")
    # timm's endings of names: the number of registers, and biases of queries and values
    registers = f"_reg{state['register_tokens'].shape[1]}" if "register_tokens" in state else ""
    biases = "_qkvb" if any(name.endswith("attn.q_bias") for name in state) else ""
    return architecture.format(size=SIZES[width], patch=patch, registers=registers, biases=biases)


@functools.cache
def _without_weights(spec: str) -> Any:
    import torchvision  # noqa: F401 - its import computes, which fails on the meta device with torch 2.8

    with torch.device("meta"):
        return build(EncoderSpec(spec))[0]


def _with_biases_of_timm(state: State) -> State:
    """Return weights with DINOv3's biases of attention under timm's names; without these biases if all are zero.

    timm's networks of such sizes have none, and timm's own conversion would drop those of every size.
    """
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("attn.qkv.bias")}
    biases: State = {}
    for name in state.keys() - kept.keys():
        query, _, value = state[name].chunk(3)  # DINOv3 masks the biases of the keys
        biases |= {name.replace("qkv.", "q_"): query, name.replace("qkv.", "v_"): value}
    return kept | biases if any(tensor.any() for tensor in biases.values()) else kept


def weights_in(content: object, path: str | Path, part: str = "") -> State:
    """Return the weights in the content of a file, under names without those of wrappers (`module.`).

    Of several networks it takes the one that `preferred` chooses, which prints the choice.

    Args:
        part: PART of `FILE#PART`: the dotted name of an entry of the file, or the first part of the names of weights;
            empty for the whole file.

    Raises:
        ValueError: if the file or the part holds no weights, or if `preferred` finds several networks equally good.

    Example:
        >>> content = {"state_dict": {"module.encoder_q.bias": torch.ones(1), "module.encoder_k.bias": torch.zeros(1)}}
        >>> list(weights_in(content, "moco.pth")), weights_in(content, "moco.pth", part="encoder_k")
        (['encoder_q.bias', 'encoder_k.bias'], {'bias': tensor([0.])})
    """
    require_small(content, path, (Mapping,))
    states = states_in(content)
    if not states:
        remedy = "save the weights alone, torch.save(network.state_dict(), FILE)"
        what = "a mapping of names to tensors, perhaps code, which is not run"
        raise ValueError(f"{path}: holds no weights, {what}: {remedy}")
    if part in states:
        return without_wrappers(states[part])
    state = without_wrappers(states[preferred(states, path)])
    if not part:
        return state
    weights = without_wrappers(without_prefix(state, f"{part}."))
    if not weights:
        first_names = dict.fromkeys(name.partition(".")[0] for name in state)
        raise ValueError(f"{path}: has no weights under {part}; it has {', '.join(first_names)[:LONGEST]}")
    return weights


def preferred(places: Collection[str], path: str | Path) -> str:
    """Return the best of several places of a network in a file, by `PREFERRED`, and print the choice.

    Raises:
        ValueError: if several places are equally good.
    """
    best = list(places)
    for name in reversed(PREFERRED):
        best = [place for place in places if place.partition(".")[0] == name] or best
    names = ", ".join(places)[:LONGEST]
    if len(best) > 1:
        raise ValueError(f"{path}: holds several networks, below {names}; name one, {path}#{best[0]}")
    if len(places) > 1:
        print(printable(f"{path}: takes {best[0]} of {names}; {path}#NAME takes another"), flush=True)
    return best[0]


def states_in(content: object, place: str = "") -> dict[str, State]:
    """Return place → weights, for all dicts of tensors that are nested in a file's content.

    Args:
        place: dotted name of `content`, if it is an entry of a file.
    """
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    others = [name for name in content if name not in tensors and name.rpartition(".")[2] != EXTRA_STATE]
    if tensors and not others:
        has_numbers = any(tensor.is_floating_point() for tensor in tensors.values())  # not the state of a generator
        return {place: tensors} if has_numbers else {}
    states: dict[str, State] = {}
    for name, value in content.items():
        states |= states_in(value, f"{place}.{name}" if place else name)
    return states


def without_wrappers(state: State) -> State:
    """Return weights under names without `INNER_WRAPPERS`, and without the `module.` of DataParallel or an average."""
    named = {INNER_WRAPPERS.sub("", name): tensor for name, tensor in state.items()}
    wrapped = without_prefix(named, "module.")
    other_names = [name for name in named if not name.startswith("module.")]
    is_wrapped = wrapped and other_names in ([], ["n_averaged"])  # AveragedModel's counter lies beside its module
    return wrapped if is_wrapped else named


def under_own_names(state: State, network: nn.Module, source: str | Path, drop_classifier: bool = False) -> State:
    """Return a file's weights under the names of a network.

    If all names of the network occur behind a common prefix, such as `backbone.`, only the weights behind the prefix
    are returned, without it, and a line is printed. Other weights belong to heads or other networks. Without a common
    prefix names stay as they are.

    Args:
        drop_classifier: leave out a classifier's weights, for a network made without classifier. False: only behind a
            prefix, so that loading refuses weights that a user's own class lacks.

    Raises:
        ValueError: if the network fits behind several prefixes, and none is preferred.
    """
    own = network.state_dict().keys()
    if not own or state.keys() == own:
        return state
    # candidates: prefixes behind which the first name of the network occurs; places: those behind which all names occur
    first_name = f".{next(iter(own))}"
    candidates = sorted(name.removesuffix(first_name) for name in state if name.endswith(first_name))
    places = [place for place in candidates if own <= without_prefix(state, f"{place}.").keys()]
    if places and not own <= state.keys():
        prefix = preferred(places, source)
        print(f"{source}: takes the weights below {prefix}", flush=True)
        state = without_prefix(state, f"{prefix}.")
        drop_classifier = True
    if not drop_classifier:
        return state
    return {name: tensor for name, tensor in state.items() if name in own or not CLASSIFIER.fullmatch(name)}


FAMILIES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("families.yaml").read_text("utf-8"))
