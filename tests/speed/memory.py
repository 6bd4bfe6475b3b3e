"""Estimate the GPU memory of a training step by method, frame size and batch, without a GPU.

python -m tests.speed.memory --only VFSSimSiam VFSMoCo

Runs forward, backward and optimiser of each method on tensors without values (`FakeTensorMode`; Liir with values) and
prints the peak of what is alive at once: parameters, gradients, optimiser state, activations. CUDA's context (about 0.5
GB), workspaces of convolutions and fragmentation come on top.
"""

import copy
import logging
import warnings
import weakref
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_modules import Liir
from tests.speed.timing import flags
from tests.speed.training_step import SCALES, Method, methods


class Alive(TorchDispatchMode):
    """Count the bytes of all storages that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.peak = 0

    def add(self, *tensors: Any) -> None:
        """Count storages that are not counted yet, until they are freed."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata in self.known:
                continue
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count its results."""
        found = function(*args, **kwargs or {})
        self.add(*(leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)))
        return found


def peak(method: Method, precision: torch.dtype) -> int:
    """Return the peak of bytes alive in a step of SGD with momentum."""
    module, mode = method.module(), FakeTensorMode(allow_non_fake_inputs=True)
    has_values = isinstance(module, Liir)  # its compactness chooses windows by their values
    if not has_values:
        with FakeCopyMode(mode):
            module = copy.deepcopy(module)
    with nullcontext() if has_values else mode:
        module.log = module.log_dict = lambda *words, **options: None
        module._trainer = SimpleNamespace(accumulate_grad_batches=1, current_epoch=0, global_step=0, world_size=1)
        learned = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learned, 0.1, momentum=0.9)
        for parameter in learned:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # makes the momentum
        optimizer.zero_grad()
        momentum = (state["momentum_buffer"] for state in optimizer.state.values())
        inputs = {name: item.float() if item.ndim > 1 else item for name, item in method.batch.items()}
        with Alive() as alive:
            alive.add(*module.parameters(), *module.buffers(), *momentum, *inputs.values())
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = module.step(inputs)["loss"]
            loss.backward()
            optimizer.step()
    return alive.peak


def main() -> None:
    """Print one Markdown table."""
    parser = flags(__doc__)
    parser.add_argument("--scale", choices=list(SCALES), default="paper")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="names of the first column")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print("| step on one GPU | float32 | bfloat16 |\n|---|---:|---:|")
    for name, method in methods(given.scale).items():
        if name not in (given.only or [name]):
            continue
        found = [peak(method, kind) / 1e9 for kind in (torch.float32, torch.bfloat16)]
        shape = " × ".join(map(str, next(iter(method.batch.values())).shape))
        print(f"| {name}, {shape} | {found[0]:.2f} GB | {found[1]:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
