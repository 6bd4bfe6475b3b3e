"""RVM's network in a few lines of torch, over the arrays of its files: one step of its recurrent state.

Source: google-deepmind/representations4d @ 75aca30, `rvm_evaluation_demo.ipynb`, cell 119.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.backbones.video import upsampling_weights


def rvm_step(params: Mapping[str, Any], grid: int) -> Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]:
    """Return the step of a network, for `Recurrent`.

    Args:
        params: name → array, as in the released files.
        grid: rows and columns of the position code before it is resized.
    """
    p = {name.removeprefix("params/"): torch.as_tensor(array) for name, array in params.items()}

    def norm(x: Tensor, name: str, eps: float = 1e-6) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], p[f"{name}/scale"], p.get(f"{name}/bias"), eps)

    def attention(queries: Tensor, keys: Tensor, name: str) -> Tensor:
        def heads(x: Tensor, part: str) -> Tensor:
            return torch.einsum("nc,chd->hnd", x, p[f"{name}/{part}/kernel"]) + p[f"{name}/{part}/bias"][:, None]

        mixed = F.scaled_dot_product_attention(heads(queries, "query"), heads(keys, "key"), heads(keys, "value"))
        return torch.einsum("hnd,hdc->nc", mixed, p[f"{name}/out/kernel"]) + p[f"{name}/out/bias"]

    def mlp(x: Tensor, name: str) -> Tensor:
        hidden = F.gelu(x @ p[f"{name}/dense_in/kernel"] + p[f"{name}/dense_in/bias"], approximate="tanh")
        return hidden @ p[f"{name}/dense_out/kernel"] + p[f"{name}/dense_out/bias"]

    def positions(size: torch.Size, width: int) -> Tensor:
        rate = 10_000 ** (-2 * (torch.arange(width, dtype=torch.float64) // 2) / width)
        angle = torch.arange(grid * grid)[:, None] * rate
        even = torch.arange(width) % 2 == 0
        table = torch.where(even, angle.sin(), angle.cos()).float().view(grid, grid, width)
        rows, columns = (upsampling_weights(grid, side, "cubic") for side in size)
        return torch.einsum("hr,wc,rcd->hwd", rows, columns, table)

    def step(frame: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        kernel = p["tokenizer/patch_embedding/Conv_0/kernel"][0].permute(3, 2, 0, 1)
        patches = F.conv2d(frame[None], kernel, p["tokenizer/patch_embedding/Conv_0/bias"], stride=kernel.shape[-1])[0]
        size, patches = patches.shape[1:], patches.permute(1, 2, 0)
        x = torch.cat([p["cls_token"], (patches + positions(size, patches.shape[-1])).flatten(0, 1)])
        for layer in sorted({name.split("/")[1] for name in p if name.startswith("encoder/layers_")}):
            normed = norm(x, f"encoder/{layer}/attention_norm")
            x = x + attention(normed, normed, f"encoder/{layer}/attention")
            x = x + mlp(norm(x, f"encoder/{layer}/mlp_norm"), f"encoder/{layer}/mlp")
        x = norm(x, "encoder/LayerNorm_0")
        state = torch.zeros_like(x) if state is None else state
        update, reset = (
            torch.sigmoid(x @ p[f"rnn_core/input_{gate}/kernel"] + state @ p[f"rnn_core/state_{gate}/kernel"])
            for gate in ("update", "reset")
        )
        memory = reset * norm(state, "rnn_core/state_layer_norm", 1e-4)
        for layer in sorted({name.split("/")[2] for name in p if "/xa_blocks_" in name}):
            block = f"rnn_core/transformer/{layer}"
            x = x + attention(norm(x, f"{block}/ca_attention_norm"), memory, f"{block}/ca_attention")
            x = x + mlp(norm(x, f"{block}/mlp_norm"), f"{block}/mlp")
            normed = norm(x, f"{block}/attention_norm")
            x = x + attention(normed, normed, f"{block}/attention")
        state = (1 - update) * state + update * norm(x, "rnn_core/transformer/output_norm")
        return state[1:].T.unflatten(1, size), state

    return step
