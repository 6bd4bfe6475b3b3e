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
"""First names of the places where projects store their network in a file, such as MoCo, BYOL and DINO; best first."""
EXTRA_STATE = "_extra_state"
"""End of the name under which torch keeps what a module holds besides its weights; left out unless it is a tensor."""
CLASSIFIER = re.compile(r"(?:fc|heads?|classifier)\..+")
"""Names of the weights of a classifier."""


def weights_in(content: object, path: str | Path, part: str = "") -> State:
    """Return the weights in the content of a file, under names without those of wrappers (`module.`).

    Of several networks it takes the one that `preferred` chooses, which prints the choice.

    Args:
        content: content of the file.
        path: the file, for messages.
        part: PART of `FILE#PART`: the dotted name of an entry of the file, or the first part of the names of weights;
            empty for the whole file.

    Raises:
        ValueError: one line, if the file or the part holds no weights, or if `preferred` finds several networks equally
            good.

    Example:
        >>> import torch
        >>> content = {"state_dict": {"module.encoder_q.bias": torch.ones(1), "module.encoder_k.bias": torch.zeros(1)}}
        >>> list(weights_in(content, "moco.pth")), weights_in(content, "moco.pth", part="encoder_k")
        (['encoder_q.bias', 'encoder_k.bias'], {'bias': tensor([0.])})
        >>> weights_in(content, "moco.pth", part="decoder")
        Traceback (most recent call last):
            ...
        ValueError: moco.pth: has no weights under decoder; it has encoder_q, encoder_k
        >>> weights_in({"student": {"bias": torch.ones(1)}, "teacher": {"bias": torch.zeros(1)}}, "dino.pth", "student")
        {'bias': tensor([1.])}
        >>> weights_in({"epoch": 3}, "own.pth")
        Traceback (most recent call last):
            ...
        ValueError: own.pth: holds no weights, a mapping of names to tensors, perhaps code, which is not run: ...
    """
    require_small(content, path, (Mapping,))
    states = states_in(content)
    if not states:
        remedy = "save the weights alone, torch.save(network.state_dict(), FILE)"
        what = "a mapping of names to tensors, perhaps code, which is not run"
        raise ValueError(f"{path}: holds no weights, {what}: {remedy}")
    if part in states:  # PART is an entry of the file
        return without_wrappers(states[part])
    state = without_wrappers(states[preferred(states, path)])  # in it, PART begins the names of weights
    if not part:
        return state
    weights = without_wrappers(without_prefix(state, f"{part}."))
    if not weights:
        first_names = dict.fromkeys(name.partition(".")[0] for name in state)
        raise ValueError(f"{path}: has no weights under {part}; it has {', '.join(first_names)[:LONGEST]}")
    return weights


def preferred(places: Collection[str], path: str | Path) -> str:
    """Return the place of the network in a file; of several places the best by `PREFERRED`, and print the choice.

    Args:
        places: dotted names of entries of the file, or beginnings of the names of its weights.
        path: the file, for messages.

    Raises:
        ValueError: if several places are equally good.

    Example:
        >>> preferred(["student", "teacher"], "dino.pth")
        dino.pth: takes teacher of student, teacher; dino.pth#NAME takes another
        'teacher'
        >>> preferred(["trunk", "decoder"], "own.pth")
        Traceback (most recent call last):
            ...
        ValueError: own.pth: holds several networks, below trunk, decoder; name one, own.pth#trunk
    """
    best = list(places)
    for name in reversed(PREFERRED):  # from the worst name to the best, so that the best one wins
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
        content: the content, or an entry of it.
        place: dotted name of the entry; empty for the whole content.

    Example:
        >>> import torch
        >>> weights = {"conv1.weight": torch.ones(1)}
        >>> list(states_in({"epoch": 3, "nets": {"student": weights, "teacher": weights}}))
        ['nets.student', 'nets.teacher']
        >>> list(states_in(weights)), list(states_in({"optimizer": {0: weights}}))
        ([''], [])
    """
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}  # as an optimiser's state, whose keys are numbers
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    others = [name for name in content if name not in tensors and name.rpartition(".")[2] != EXTRA_STATE]
    if tensors and not others:  # else weights may lie deeper
        has_numbers = any(tensor.is_floating_point() for tensor in tensors.values())  # not the state of a generator
        return {place: tensors} if has_numbers else {}
    states: dict[str, State] = {}
    for name, value in content.items():
        states |= states_in(value, f"{place}.{name}" if place else name)
    return states


def without_wrappers(state: State) -> State:
    """Return weights under names without `INNER_WRAPPERS`, and without the `module.` of DataParallel or an average.

    Example:
        >>> import torch
        >>> list(without_wrappers({"module.conv1.weight": torch.ones(1), "n_averaged": torch.tensor(3)}))
        ['conv1.weight']
        >>> list(without_wrappers({"module.layer1._orig_mod.0.weight": torch.ones(1)}))
        ['layer1.0.weight']
        >>> list(without_wrappers({"module.conv1.weight": torch.ones(1), "queue": torch.ones(1)}))  # no wrapper
        ['module.conv1.weight', 'queue']
    """
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
        drop_classifier: leave out a classifier's weights, for a network made without classifier. If the weights lie
            behind a prefix, the classifier's are left out in any case. False: they stay, so that loading refuses
            weights that a user's own class lacks.

    Raises:
        ValueError: if the network fits behind several prefixes, and none is preferred.

    Example:
        >>> import torch
        >>> state = dict.fromkeys(["encoder.weight", "encoder.bias", "encoder.fc.weight", "head.bias"], torch.ones(1))
        >>> list(under_own_names(state, nn.Linear(1, 1), "own.pth"))
        own.pth: takes the weights below encoder
        ['weight', 'bias']
        >>> state = dict.fromkeys(["a.weight", "a.bias", "b.weight", "b.bias"], torch.ones(1))
        >>> under_own_names(state, nn.Linear(1, 1), "two.pth")
        Traceback (most recent call last):
            ...
        ValueError: two.pth: holds several networks, below a, b; name one, two.pth#a
    """
    own = network.state_dict().keys()
    if not own or state.keys() == own:
        return state
    # candidates: prefixes behind which the first name of the network occurs; places: those behind which all names occur
    first_name = f".{next(iter(own))}"
    candidates = sorted(name.removesuffix(first_name) for name in state if name.endswith(first_name))
    places = [place for place in candidates if own <= without_prefix(state, f"{place}.").keys()]
    if places and not own <= state.keys():  # names that are there without a prefix need none
        prefix = preferred(places, source)
        print(f"{source}: takes the weights below {prefix}", flush=True)
        state = without_prefix(state, f"{prefix}.")
        drop_classifier = True  # behind the prefix it is of the file's own network
    if not drop_classifier:
        return state
    return {name: tensor for name, tensor in state.items() if name in own or not CLASSIFIER.fullmatch(name)}


def positions_resampled(state: State, network: nn.Module, source: str | Path) -> State:
    """Return weights with position embeddings of the network's grid; those of another grid are resampled by timm.

    Each resampling prints a line. An embedding whose patches form no square grid stays as it is.

    Args:
        state: weights under the network's names.
        network: a transformer of timm, or a module that holds one.

    Example:
        >>> import timm, torch
        >>> network = timm.create_model("test_vit", num_classes=0)  # of 10 x 10 patches and a class token
        >>> own = torch.rand(1, 1 + 6 * 6, 64)
        >>> found = positions_resampled({"pos_embed": own}, network, "own.pth")["pos_embed"]
        own.pth: positions of 6 x 6 patches, resampled by timm to 10 x 10
        >>> found.shape, found[:, :1].equal(own[:, :1])
        (torch.Size([1, 101, 64]), True)
        >>> found.equal(timm.layers.resample_abs_pos_embed(own, [10, 10], num_prefix_tokens=1))
        True
        >>> for own in (torch.rand(1, 1 + 6 * 8, 64), torch.rand(64), torch.rand(1, 0, 64)):  # of no square
        ...     print(positions_resampled({"pos_embed": own}, network, "own.pth")["pos_embed"] is own)
        True
        True
        True
        >>> network = nn.ParameterDict({"pos_embed": torch.rand(1, 4, 8)})  # of no known grid
        >>> own = torch.rand(1, 4 + 9, 8)
        >>> positions_resampled({"pos_embed": own}, network, "own.pth")["pos_embed"] is own
        True
    """
    for name, own in network.state_dict().items():
        of_file = state.get(name, own)
        place, _, last = name.rpartition(".")  # of the module that holds the weight; its own name
        # embeddings are 1 x tokens x C; what is no embedding, or fits, stays
        if last != "pos_embed" or (own.ndim, of_file.ndim) != (3, 3) or of_file.shape == own.shape:
            continue
        grid = getattr(getattr(network.get_submodule(place), "patch_embed", None), "grid_size", (0, 0))
        leading = own.shape[1] - grid[0] * grid[1]  # of class and register tokens
        side = math.isqrt(max(of_file.shape[1] - leading, 0))
        if leading + side**2 != of_file.shape[1] or grid == (0, 0):  # no square grid: loading will refuse the shape
            continue
        from timm.layers import resample_abs_pos_embed

        resampled = resample_abs_pos_embed(state[name], list(grid), [side, side], num_prefix_tokens=leading)
        state = state | {name: resampled}
        print(f"{source}: positions of {side} x {side} patches, resampled by timm to {grid[0]} x {grid[1]}", flush=True)
    return state
