"""A call of a network, and the outputs of its parts in this call."""

import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .extractor import attribute_set, is_sharded, parts_of

KEY = "view"


class Reached(BaseException):
    """Ends a network's call once all wanted outputs are there; no Exception, so that no network catches it."""


def outputs_in_call(
    network: nn.Module, paths: Collection[str], call: Callable[[Tensor], Any], images: Tensor, ends: bool = True
) -> dict[str, Any]:
    """Return the outputs of parts of a network in a call of it, each behind all hooks of the user.

    Args:
        paths: of modules (`layer3.0`) or methods (`forward_features`); "" is the output of the call itself.
        call: calls the network, with `images`.
        images: what the network gets.
        ends: end the call once all outputs are there. Where torch compiles or shards a part it runs to its end.

    Returns:
        path → output, of the parts that the call reaches; of a part that is called twice, the first output.

    Raises:
        ValueError: for a part within a reentrant checkpoint, whose outputs have no graph.
    """
    parts = list(parts_of(network))
    is_exporting = torch.compiler.is_exporting()
    if not is_exporting and (torch.compiler.is_compiling() or any(part._compiled_call_impl for part in parts)):
        return _traced_outputs(network, paths, call, images)
    ends = ends and not is_exporting and not any(map(is_sharded, map(type, parts)))
    kept: dict[str, Any] = {}
    thread, has_graph, end = threading.get_ident(), torch.is_grad_enabled(), Reached()

    def keep(path: str, module: object, inputs: object, output: object) -> None:
        if path in kept or threading.get_ident() != thread:
            return
        if torch.is_grad_enabled() is not has_graph:
            remedy = "set use_reentrant=False"
            raise ValueError(f"{path}: computed without its graph, as within a reentrant checkpoint: {remedy}")
        kept[path] = output
        if ends and len(kept) == len(paths):
            raise end
        kept[path] = _cloned(output)

    with ExitStack() as stack:
        for path in filter(None, paths):
            part, hook = part_at(network, path), partial(keep, path)
            if isinstance(part, nn.Module):
                stack.callback(part.register_forward_hook(hook).remove)
            else:
                holder, _, name = path.rpartition(".")
                stack.enter_context(attribute_set(network.get_submodule(holder), name, _watching(part, hook)))
        try:
            output = call(images)
        except Reached as reached:
            if reached is not end:  # that of another view, in whose call this one is made
                raise
        else:
            if "" in paths:
                kept[""] = output
    return kept


def _traced_outputs(
    network: nn.Module, paths: Collection[str], call: Callable[[Tensor], object], images: Tensor
) -> dict[str, Any]:
    """Return what `outputs_in_call` returns, in a form that torch.compile traces as one graph."""
    kept: dict[str, Any] = {}
    tables: list[Any] = []

    def hook_at(path: str) -> Callable[..., None]:
        def hook(module: object, inputs: object, output: object) -> None:
            kept.setdefault(path, _cloned(output))

        return hook

    for path in filter(None, paths):
        part = part_at(network, path)
        if isinstance(part, nn.Module):
            part._forward_hooks[KEY] = hook_at(path)  # type: ignore[index]  # a fixed key: torch compiles once
            tables.append((part._forward_hooks, KEY))
        elif torch.compiler.is_compiling():  # a method of the network, which the call would call with the images
            kept[path] = part(images)
        else:
            holder, _, name = path.rpartition(".")
            own = vars(network.get_submodule(holder))
            own[name] = _watching(part, hook_at(path))
            tables.append((own, name))
    try:
        if tables or "" in paths:
            kept |= {"": call(images)}
    finally:
        for table, key in tables:
            del table[key]
    return kept


def _watching(method: Callable[..., object], hook: Callable[..., None]) -> Callable[..., Any]:
    def watching(*arguments: object, **options: object) -> Any:
        output = method(*arguments, **options)
        hook(None, arguments, output)
        return output

    return watching


def part_at(network: nn.Module, path: str) -> Any:
    """Return the module or method at a path; None if a network has none there, or runs as TorchScript."""
    holder, _, name = path.rpartition(".")
    if isinstance(network, torch.jit.ScriptModule):
        return None
    try:
        part = getattr(network.get_submodule(holder), name)
    except AttributeError:
        return None
    return part if callable(part) else None


def _cloned(output: object) -> Any:
    if isinstance(output, list | tuple):
        return [_cloned(each) for each in output]
    return output.clone() if isinstance(output, Tensor) else output
