"""Eval mode for the time of a block, for networks in any form."""

import functools
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.module_copies import functions_of


@contextmanager
def eval_mode(encoder: object) -> Iterator[None]:
    """Set all networks of an encoder to eval mode during a block, and restore the mode of every submodule.

    BatchNorm then takes its running statistics and does not update them, so weights and buffers stay as they were.
    Networks that functions in attributes and hooks name (`net.forward = lambda x: net.layer3(x)`) are set too.

    Args:
        encoder: a module, an extractor, or a video encoder that is not a module.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout().eval())
        >>> with eval_mode(network):
        ...     print(network[0].training)
        False
        >>> network[0].training, network[1].training
        (True, False)
    """
    networks = networks_of(encoder)
    for network in list(networks):
        networks += _named_in_functions(network)
    modes = {part: part.training for network in networks for part in network.modules()}
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        # calls `train`, which a user may have overridden; parents come before their parts
        for part, was_training in modes.items():
            if part.training != was_training:
                part.train(was_training)
        for part, was_training in modes.items():
            part.training = was_training


@contextmanager
def on_trial(network: nn.Module) -> Iterator[None]:
    """Set a network to eval mode, without gradients, for a pass of a blank image; restore its mode."""
    with eval_mode(network), torch.no_grad():
        yield


def networks_of(encoder: object) -> list[nn.Module]:
    """Return the networks of an encoder: itself, if it is a module, else all that it holds.

    A video encoder may hold networks in its attributes, in lists and dicts, in bound methods, partial functions, and in
    the variables of functions.

    Args:
        encoder: a module, an extractor, or a video encoder that is not a module.
    """
    found: dict[nn.Module, None] = {}
    waiting: list[object] = [encoder]
    seen: dict[int, object] = {}  # keeps the objects, so that no other gets the number of one
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, nn.Module):
            found[item] = None
        else:
            waiting += _parts_of(item)
    return list(found)


def _parts_of(item: Any) -> Iterable[object]:
    """Return the objects that an object holds and that may be or hold a network."""
    if isinstance(item, str | bytes | int | float | Tensor | type) or inspect.ismodule(item) or item is None:
        return ()
    if isinstance(item, dict):
        return item.values()
    if isinstance(item, list | tuple | set):
        return item
    if isinstance(item, functools.partial):
        return [item.func, *item.args, *item.keywords.values()]
    if isinstance(item, MethodType):
        return [item.__self__, item.__func__]
    if inspect.isfunction(item):
        variables = inspect.getclosurevars(item)
        named_networks = [value for value in variables.globals.values() if isinstance(value, nn.Module)]
        return [*variables.nonlocals.values(), *named_networks]
    return vars(item).values() if hasattr(item, "__dict__") else ()


def _named_in_functions(network: nn.Module) -> list[nn.Module]:
    """Return the networks that functions in the attributes and hooks of a network name."""
    found: list[nn.Module] = []
    for part in network.modules():
        for function in functions_of(part):
            variables = inspect.getclosurevars(function)
            for value in (*variables.nonlocals.values(), *variables.globals.values()):
                if isinstance(value, nn.Module):
                    found.append(value)
    return found
