"""The door: `fit`, `validate` and `predict` by LightningCLI; `python cli.py` and the command `vidcorr` are the same."""

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException

# Imported so that a config may say `class_path: VFSSimSiam` without the package.
import callbacks
import datamodules
import lightning_modules

USER_MISTAKES = (ValueError, OSError, MisconfigurationException, callbacks.BenchmarkError)
PARTS = (callbacks, datamodules, lightning_modules)
TOOLS = {
    "compare": "callbacks.compare",
    "figure": "callbacks.figure",
    "shard": "datamodules.shards",
}
"""First word → module whose `command` takes the words after it."""


class VidcorrCLI(LightningCLI):
    """LightningCLI with our defaults; a checkpoint's model counts where no flag and no file says otherwise."""

    def __init__(self, args: list[str] | None = None, run: bool = True) -> None:
        self._checkpoint = _option(sys.argv[1:] if args is None else args, "--ckpt_path")
        super().__init__(
            LightningModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            trainer_defaults={"default_root_dir": "runs"},
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "prog": "vidcorr",
                "description": __doc__,
                "predict": {"default_config_files": [str(Path(__file__).with_name("configs") / "predict.yaml")]},
            },
            args=args,
            run=run,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Make the checkpoint's model the default."""
        if self._checkpoint and (model := _model_of(self._checkpoint)):
            parser.set_defaults({"model": model})

    def _parse_ckpt_path(self) -> None:
        """Lightning would let the checkpoint win over flags; here it gave the defaults already."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: words after `vidcorr`; None takes those of the process.

    Raises:
        SystemExit: with status 1 and one line for a user's mistake (`--debug` shows the traceback instead).
    """
    words = sys.argv if args is None else ["vidcorr", *args]
    debug = "--debug" in words
    words[:] = [word for word in words if word != "--debug"]
    _quiet()
    try:
        if len(words) > 1 and words[1] in TOOLS:
            import_module(TOOLS[words[1]]).command(words[2:])
        else:
            VidcorrCLI(None if args is None else words[1:])
    except USER_MISTAKES as error:
        if debug:
            raise
        sys.exit(f"vidcorr: {_one_line(error)} (--debug shows where)")


def _one_line(error: BaseException) -> str:
    """What a user has to know; the parser wraps a constructor's error in pages of its own."""
    while "\n" in str(error) and (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(str(error).split())


def _quiet() -> None:
    """Leave out what Lightning says of other products and of its own deprecated calls."""
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    warnings.filterwarnings("ignore", message=".*module.s. in eval mode at the start of training.*")
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).addFilter(
            lambda record: "litlogger" not in record.msg and "litmodels" not in record.msg
        )


def _option(arguments: Sequence[str], name: str) -> str | None:
    """Value of an option given as `--name value` or `--name=value`."""
    for number, argument in enumerate(arguments):
        if argument == name:
            return arguments[number + 1] if number + 1 < len(arguments) else None
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def _model_of(checkpoint: str) -> dict[str, Any] | None:
    """Class and hyper-parameters that a checkpoint of ours was made with."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        # Lightning keeps notes of its own among the hyper-parameters, under names with an underscore.
        given = {name: value for name, value in content["hyper_parameters"].items() if not name.startswith("_")}
        return {"class_path": content["vidcorr"]["class_path"], "init_args": given}
    except (OSError, KeyError, TypeError, RuntimeError):
        return None  # Lightning says what is wrong with the path when it loads it


if __name__ == "__main__":
    main()
