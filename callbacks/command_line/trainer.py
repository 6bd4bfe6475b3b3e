"""Lightning's Trainer with `precision: auto`, without the options that do nothing here."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.utilities import rank_zero_info

from lightning_modules.functional.device import bfloat16_cost, fastest_precision

MIXED = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


class Trainer(pl.Trainer):
    """Lightning's Trainer, which may choose the precision itself.

    Args:
        accelerator: see Lightning's Trainer.
        precision: one of Lightning's, or "auto": bfloat16 where the processor computes it faster, else float32 on a CPU
            and float16 on a GPU. What was chosen, and why, stands in the plan that is printed before training.
        **kwargs: all other arguments of Lightning's Trainer but the limits on test and prediction batches, which do
            nothing here: benchmarks run in `validate`, and a video is one batch.
    """

    def __init__(
        self, *, accelerator: str | Accelerator = "auto", precision: str | int | None = None, **kwargs: Any
    ) -> None:
        cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
        device = "cpu" if cpu else "cuda" if accelerator in ("auto", "gpu", "cuda") else str(accelerator)
        self.precision_reason = ""
        if precision == "auto":
            chosen, reason = fastest_precision(device)
            precision, self.precision_reason = MIXED[chosen], f" (auto: {reason})"
        elif str(precision).startswith("bf16") and device == "cpu" and fastest_precision("cpu")[0] == "float32":
            rank_zero_info(
                f"trainer.precision {precision}: on this CPU a convolution takes {bfloat16_cost():.1f} times as long "
                "as in float32; auto takes the faster one"
            )
        super().__init__(
            accelerator=accelerator,
            precision=precision,  # type: ignore[arg-type]  # Lightning checks it
            limit_test_batches=None,
            limit_predict_batches=None,
            **kwargs,
        )
