"""The start of a run of `fit` or `validate` in its folder."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, SaveConfigCallback

from vidcorr.benchmarks.ranks import Ranks
from vidcorr.experiments.runs.runs import Run

from .benchmark import seed_and_recipe
from .checkpoints import last_checkpoints


class RunStart(SaveConfigCallback):
    """Hold the run of a command, and begin it in its folder with its `config.yaml`, once no callback refuses it.

    The command puts it before all other callbacks, which find the run by `run_folder.run_of`. `config.yaml` of a
    training has no `ckpt_path`: a training that begins by the file resumes nothing.

    Args:
        parser: the parser of the command.
        config: its configuration.
        run: the run that begins.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any, run: Run) -> None:
        super().__init__(parser, config)
        self.run = run

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing, where Lightning's class writes the configuration: other callbacks may still refuse the run."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Begin the run before the first batch of a training."""
        self._begin_once(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the run at the start of `validate` or `test`; in `fit`, do nothing."""
        if trainer.state.fn != "fit":
            self._begin_once(trainer)

    on_test_start = on_validation_start

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record in a checkpoint which run wrote it, and the training with its seed and recipe."""
        checkpoint["run"] = self.run.record.model_dump(include={"id", "training"}) | seed_and_recipe(trainer)

    def _begin_once(self, trainer: Trainer) -> None:
        if self.already_saved:
            return
        self.already_saved = True
        with Ranks() as ranks, ranks.together():
            if trainer.is_global_zero and self.run.folder is not None:
                savers = last_checkpoints(trainer)
                checkpoints = Path(str(savers[0].dirpath)) if savers else None
                self.run.begin(checkpoints, torch.get_num_threads())
                config = self.config.clone()
                if trainer.state.fn == "fit":
                    # a later `fit --config config.yaml` trains from the beginning
                    config.ckpt_path = None
                path = self.run.folder / self.config_filename
                # a single file, without a second check of the parsed values
                self.parser.save(config, path, skip_unset=False, skip_validation=True, overwrite=True, multifile=False)
