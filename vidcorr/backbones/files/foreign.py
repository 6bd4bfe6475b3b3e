"""Weights in files of other projects; no code in a file runs."""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from ...errors import printable
from .checkpoints import INNER_WRAPPERS, without_prefix
from .trust import LONGEST, require_small

State = dict[str, Tensor]
PREFERRED = (
    *("state_dict", "base_encoder", "encoder_q", "online_encoder", "online_network", "teacher"),
    *("encoder", "backbone", "model", "model_state_dict", "module", "network", "net"),
)
"""First names of the place of a network in a file, of several the first: so do MoCo, BYOL and DINO name it."""
EXTRA_STATE = "_extra_state"
"""End of the name under which torch keeps what a module holds besides its weights; left out unless it is a tensor."""
CLASSIFIER = re.compile(r"(?:fc|heads?|classifier)\..+")
"""Names of the weights of a classifier."""


def weights_in(content: object, path: str | Path, part: str = "") -> State:
    """Return the weights in the content of a file, without names of wrappers; of several sets those of `preferred`.

    Args:
        content: content of the file.
        path: the file, for messages.
        part: `FILE#PART` names an entry of the file, or the beginning of names, up to a dot.

    Raises:
        ValueError: one line, if there are none, none of the part, or as `preferred`.
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
    """Return the place of the network in a file: of several the first by `PREFERRED`, which is printed.

    Args:
        places: dotted names of entries of the file, or beginnings of the names of its weights.
        path: the file, for messages.

    Raises:
        ValueError: if several are equal.
    """
    best = list(places)
    for name in reversed(PREFERRED):  # the last one that is tried, the first of the names, wins
        best = [place for place in places if place.partition(".")[0] == name] or best
    held = ", ".join(places)[:LONGEST]
    if len(best) > 1:
        raise ValueError(f"{path}: holds several networks, below {held}; name one, {path}#{best[0]}")
    if len(places) > 1:
        print(printable(f"{path}: takes {best[0]} of {held}; {path}#NAME takes another"), flush=True)
    return best[0]


def states_in(content: object, place: str = "") -> dict[str, State]:
    """Return place → weights, of all mappings of names to tensors in a file's content."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}  # an optimiser's state has numbers
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    others = [name for name in content if name not in tensors and name.rpartition(".")[2] != EXTRA_STATE]
    if tensors and not others:
        has_numbers = any(tensor.is_floating_point() for tensor in tensors.values())  # not the state of a generator
        return {place: tensors} if has_numbers else {}
    found: dict[str, State] = {}
    for name, value in content.items():
        found |= states_in(value, f"{place}.{name}" if place else name)
    return found


def without_wrappers(state: State) -> State:
    """Return weights without the names of wrappers: of torch.compile, FSDP, checkpointing, DataParallel, averages."""
    named = {INNER_WRAPPERS.sub("", name): tensor for name, tensor in state.items()}
    wrapped = without_prefix(named, "module.")
    other_names = [name for name in named if not name.startswith("module.")]
    is_wrapped = wrapped and other_names in ([], ["n_averaged"])  # AveragedModel's counter lies beside its module
    return wrapped if is_wrapped else named


def under_own_names(state: State, network: nn.Module, source: str | Path, drop_classifier: bool = False) -> State:
    """Return the weights of a network under its own names.

    If all of them occur below a common prefix, the weights are those below it. The others belong to heads and other
    networks, and are left out; a line says so. Without such a prefix names stay as they are.

    Args:
        state: weights of a file.
        network: the network.
        source: the file, for messages.
        drop_classifier: leave out a classifier's weights, for a network made without classifier. By default those that
            lie below no prefix stay, so that loading refuses weights that a user's own class lacks.

    Raises:
        ValueError: if the network fits below several prefixes.
    """
    own = network.state_dict().keys()
    if not own or state.keys() == own:
        return state
    probe = f".{next(iter(own))}"  # the end of a name below each place of the network
    ends = sorted(name.removesuffix(probe) for name in state if name.endswith(probe))
    places = [place for place in ends if own <= without_prefix(state, f"{place}.").keys()]
    if places and not own <= state.keys():
        prefix = preferred(places, source)
        print(f"{source}: takes the weights below {prefix}", flush=True)
        state = without_prefix(state, f"{prefix}.")
        drop_classifier = True  # of the file's own network
    if not drop_classifier:
        return state
    return {name: tensor for name, tensor in state.items() if name in own or not CLASSIFIER.fullmatch(name)}


def positions_resampled(state: State, network: nn.Module, source: str | Path) -> State:
    """Return weights whose positions have the network's grid: of another size by timm's function, which a line says.

    Args:
        state: weights under the network's names.
        network: a transformer of timm, or a module that holds one.
        source: the file, for messages.
    """
    for name, own in network.state_dict().items():
        of_file = state.get(name, own)
        place, _, last = name.rpartition(".")
        if last != "pos_embed" or own.ndim != 3 or of_file.shape == own.shape:
            continue
        grid = getattr(getattr(network.get_submodule(place), "patch_embed", None), "grid_size", (0, 0))
        leading = own.shape[1] - grid[0] * grid[1]  # of class and register tokens
        side = math.isqrt(of_file.shape[1] - leading)
        if leading + side**2 != of_file.shape[1] or grid == (0, 0):  # loading refuses the shape
            continue
        from timm.layers import resample_abs_pos_embed

        resampled = resample_abs_pos_embed(state[name], list(grid), [side, side], leading)
        state = state | {name: resampled}
        print(f"{source}: positions of {side} x {side} patches, resampled by timm to {grid[0]} x {grid[1]}", flush=True)
    return state
