"""Copies of modules: new objects over given tensors, whose hooks and functions refer to the copy."""

import copy
import copyreg
from collections.abc import Iterator, Mapping
from types import CellType, FunctionType, MethodType
from typing import Any, TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def copied_over(module: M, tensors: Mapping[int, Tensor]) -> M:
    """Return new module objects, as `copy.deepcopy`, for modules of any make.

    A function in an attribute or a hook (`lambda module, inputs, output: self.keep(output)`) gets the copies of the
    objects that it refers to. The copy shares what cannot be copied, for example locks and open files. A computed
    tensor, such as a kept activation or a weight under `weight_norm`, is copied without its graph.

    Args:
        module: any module.
        tensors: `id` of a tensor in it → the tensor of the copy; other tensors are copied.
    """
    copies: dict[int, Any] = dict(tensors)
    for item in _held_objects(module):
        if id(item) in copies:
            continue
        if isinstance(item, Tensor):
            if not item.is_leaf:
                copies[id(item)] = item.detach().clone()
        elif _state_of(item) is None:
            copies[id(item)] = item
    copied = copy.deepcopy(module, copies)
    for part in copied.modules():
        for place in _places_of_functions(part):
            for name, function in list(place.items()):
                if isinstance(function, FunctionType):
                    place[name] = _bound_anew(function, copies)
    return copied


def functions_of(module: nn.Module) -> Iterator[FunctionType]:
    """Yield the functions in the attributes and hooks of a module, without those of its parts."""
    for place in _places_of_functions(module):
        for value in place.values():
            if isinstance(value, FunctionType):
                yield value


def _places_of_functions(module: nn.Module) -> list[dict[Any, Any]]:
    """Return the dictionaries in which a module keeps functions: its attributes, and dictionaries in them (hooks)."""
    attributes = vars(module)
    return [attributes, *(value for value in attributes.values() if isinstance(value, dict))]


def _held_objects(module: nn.Module) -> Iterator[object]:
    """Yield all objects that `copy.deepcopy` of a module would visit, each once."""
    waiting: list[object] = [module]
    seen: dict[int, object] = {}  # keeps the objects, so that no other gets the number of one
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        yield item
        waiting += _state_of(item) or []


def _state_of(item: Any) -> list[object] | None:
    """Return the objects that a copy of an object is made of; None if the object cannot be copied."""
    kind = type(item)
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, list | tuple | set | frozenset):
        return list(item)
    if isinstance(item, MethodType):
        return [item.__self__]
    is_atom = isinstance(item, type | FunctionType | str | bytes | int | float | complex) or item is None
    if is_atom or hasattr(kind, "__deepcopy__") or kind in copyreg.dispatch_table:
        return []
    try:
        reduced = item.__reduce_ex__(4)
    except Exception:  # any type, because the object may be anybody's
        return None
    return [] if isinstance(reduced, str) else list(reduced[1:3])


def _bound_anew(function: FunctionType, copies: Mapping[int, Any]) -> FunctionType:
    """Return a function over the copies of the objects in its variables and defaults; itself if nothing was copied."""
    cells = function.__closure__ or ()
    defaults = function.__defaults__ or ()
    variables = [_content(cell) for cell in cells]
    if not any(id(value) in copies for value in (*variables, *defaults)):
        return function
    new_cells = [CellType(copies.get(id(value), value)) for value in variables]
    new_defaults = [copies.get(id(value), value) for value in defaults]
    anew = FunctionType(function.__code__, function.__globals__, function.__name__, closure=tuple(new_cells))
    anew.__defaults__ = tuple(new_defaults) or None
    anew.__kwdefaults__ = function.__kwdefaults__
    return anew


def _content(cell: CellType) -> object:
    """Return the value of a function's outer variable; None if it is not set yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
