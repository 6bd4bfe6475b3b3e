"""A GPU that computes shapes only: what would wait for it, or stand on the wrong device, raises `Waits` there.

Tensors of the CPU keep their values. Those of the device have none (torch's `FakeTensorMode`), so an operation that
needs one, such as `.item()` or `if tensor.any()`, cannot continue; on a GPU it waits until all queued work is done. So
do copies that are not `non_blocking`, in either direction, and indexing by a mask or by numbers of the CPU.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch.autograd import Function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vidcorr.functional.device import PendingCopy

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
NO_KERNELS = {aten.empty, aten.empty_like, aten.new_empty, aten._unsafe_view, torch.ops.prim.device}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class Waits(AssertionError):
    """An operation for which the CPU waits until the GPU has done all that it has been given."""


class NoWaits(TorchDispatchMode):
    """Operations on the CPU as they are; those on the device without values, and none that waits.

    Attributes:
        kernels: number of the operations for which a kernel or a copy starts.
    """

    kernels = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        fake = [leaf for leaf in leaves if isinstance(leaf, fake_tensor.FakeTensor)]
        if not fake and not any(isinstance(leaf, torch.device) and leaf.type == "cuda" for leaf in leaves):
            with fake_tensor.unset_fake_temporarily():
                return function(*args, **kwargs)
        self._refuse(function, args, kwargs, leaves)
        self.kernels += not function.is_view and function.overloadpacket not in NO_KERNELS
        try:
            return function(*args, **kwargs)
        except (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException) as error:
            raise Waits(f"{function} needs values of the device") from error

    def _refuse(self, function: Any, args: Any, kwargs: Any, leaves: list[Any]) -> None:
        kinds = {leaf.device.type for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim}
        kinds |= {leaf.type for leaf in leaves if isinstance(leaf, torch.device)}
        if function in COPIES and len(kinds) == 2:
            if not (kwargs.get("non_blocking") or (function is aten.copy_.default and len(args) > 2 and args[2])):
                raise Waits(f"{function} between {' and '.join(sorted(kinds))} is not non_blocking")
        elif function in INDEXED:
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                raise Waits(f"{function} by a mask: how many it holds is asked of the device")
            if any(index.device.type != args[0].device.type for index in indices):
                raise Waits(f"{function} of a tensor of the {args[0].device.type} by numbers of another device")


MEMORY = 24 * 2**30
"""Bytes of memory that the device says it has."""

nothing = Mock(return_value=Mock(**{"elapsed_time.return_value": 0.0}))
"""Makes events and streams of a device that has none: all that they are asked to do is done, in 0 ms."""


def forward_and_backward(function: Any, *inputs: Any) -> Any:
    """`Function.apply` of our functions: a backward pass with gradients of 1 follows at once, and no graph remains.

    Autograd itself needs a real device.
    """
    if not function.__module__.startswith("vidcorr"):
        return apply.__func__(function, *inputs)
    context = SimpleNamespace(needs_input_grad=[isinstance(item, Tensor) and item.requires_grad for item in inputs])
    context.save_for_backward = lambda *tensors: vars(context).update(saved_tensors=tensors)
    with torch.no_grad():
        found = function.forward(context, *inputs)
        if any(context.needs_input_grad):
            outputs = [found] if isinstance(found, Tensor) else list(found)
            function.backward(context, *map(torch.ones_like, outputs))
            for output in outputs:
                output.requires_grad_(output.is_floating_point())
    return found


apply = Function.apply


@contextmanager
def fake_gpu() -> Iterator[SimpleNamespace]:
    """Compute on a GPU that need not exist; inference mode, which knows no such tensors, is `no_grad` there.

    Yields:
        `device`, CUDA's; `reads`, the number of tensors that were waited for by `PendingCopy`, the one way to values:
        each is 1; and `operations`, which has the number of kernels.
    """
    if torch.__version__ < (2, 12):
        pytest.skip("torch's fake tensors ask for a driver of CUDA before 2.12")
    gpu = SimpleNamespace(device=torch.device("cuda"), reads=0, operations=NoWaits())

    def wait(arriving: Any) -> Tensor:
        if isinstance(found := arriving._tensor, fake_tensor.FakeTensor):
            gpu.reads += 1
            with fake_tensor.unset_fake_temporarily():
                return torch.ones(found.shape, dtype=found.dtype)
        return found

    with ExitStack() as stack:
        for name, stand_in in {
            "torch._C._InferenceMode": lambda mode: torch.set_grad_enabled(not mode),
            "torch.cuda.Event": nothing,
            "torch.cuda.current_stream": nothing,
            "torch.Tensor.pin_memory": lambda tensor, *device: tensor,
            "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,  # else autocast is off
            "torch.cuda.get_device_properties": lambda device: SimpleNamespace(total_memory=MEMORY),
            "torch.cuda.is_available": lambda: True,
            "torch.cuda.device_count": lambda: 1,
            "torch.cuda.get_device_name": lambda *device: "fake GPU",
            "torch.cuda.get_device_capability": lambda *device: (8, 0),
            "torch.cuda.is_bf16_supported": lambda *options: True,
            "torch.nn.Module._apply": _apply,
            "torch.autograd.Function.apply": classmethod(forward_and_backward),
        }.items():
            stack.enter_context(patch(name, stand_in))
        stack.enter_context(patch.object(PendingCopy, "wait", wait))
        stack.enter_context(patch.object(fake_tensor.FakeTensorMode, "avoid_device_init", True))
        stack.enter_context(fake_tensor.FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(gpu.operations)
        yield gpu


@contextmanager
def training_on(gpu: SimpleNamespace) -> Iterator[None]:
    """Let Lightning train on the fake device: gradients are 0, and what it does once a run may wait."""

    def no_gradients(module: nn.Module, loss: Tensor) -> None:
        assert loss.device.type == gpu.device.type
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)

    with ExitStack() as stack:
        for name, stand_in in {
            "torch.cuda.set_device": lambda device: None,
            "torch.cuda.empty_cache": lambda: None,
            "pytorch_lightning.LightningModule.backward": no_gradients,
            "pytorch_lightning.loops.fit_loop.has_len_all_ranks": lambda *loader: True,
            "pytorch_lightning.strategies.SingleDeviceStrategy.model_to_device": lambda strategy: strategy.model.to(
                strategy.root_device, non_blocking=True
            ),
            "pytorch_lightning.strategies.SingleDeviceStrategy.teardown": lambda strategy: None,
            "pytorch_lightning.trainer.connectors.logger_connector.result._ResultCollection.cpu": lambda found: found,
        }.items():
            stack.enter_context(patch(name, stand_in))
        yield


def _apply(module: nn.Module, function: Any, recurse: bool = True) -> nn.Module:
    """`Module._apply`, which swaps tensors in place, where they cannot be swapped."""
    for part in module.children() if recurse else ():
        part._apply(function)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(function(parameter.detach()), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


def moved(module: nn.Module, device: torch.device) -> nn.Module:
    """Bring a module to the device as `Module.to` does, whose copies wait; return it."""
    return module._apply(lambda tensor: tensor.to(device, non_blocking=True))
