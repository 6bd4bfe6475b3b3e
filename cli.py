"""The door: `fit`, `validate` and `predict` by LightningCLI; `python cli.py` and the command `vidcorr` are the same."""

import logging
import re
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from jsonargparse import set_parsing_settings
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

# Imported so that a config may say `class_path: VFSSimSiam` without the package.
import callbacks
import datamodules
import lightning_modules
from lightning_modules.checkpoints import allow_named, saved_model

USER_MISTAKES = (ValueError, OSError, MisconfigurationException, callbacks.BenchmarkError, callbacks.TrainingStopped)
PARTS = (callbacks, datamodules, lightning_modules)
TOOLS = {
    "check-data": "datamodules.tools.check_data",
    "compare": "callbacks.tools.compare",
    "convert": "lightning_modules.tools.convert",
    "export": "lightning_modules.tools.export",
    "figure": "callbacks.tools.figure",
    "report": "callbacks.report",
    "shard": "datamodules.reading.shards",
    "transcode": "datamodules.tools.transcode",
}
"""First word → module whose `command` takes the words after it."""
RUNS = {
    "fit": "Train a model, with benchmarks along the way.",
    "validate": "Measure a checkpoint, or any backbone, on benchmarks.",
    "predict": "Carry a mask, a box or points through a video of your own.",
}
"""What Lightning's Trainer does, by LightningCLI."""
USAGE = "vidcorr WORD [--config FILE ...] [--model ...] [--data ...] [--trainer.OPTION ...] [--ckpt_path FILE]"


TRIED = (
    r"(Does not validate against|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Not a valid subclass of|"
    r"Subclass types expect|a class path \(str\)|a dict with|Expected an? <class '\w+'>$)"
)
"""Lines of jsonargparse's messages that only say which types it has tried."""


class UsageError(Exception):
    """A command line that cannot be understood."""


class Parser(LightningArgumentParser):
    """Says in one line what it cannot understand, and which name was perhaps meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises `UsageError` in place of a page of usage."""
        raise UsageError(explain(message, self)) from ex


class VidcorrCLI(LightningCLI):
    """LightningCLI with our defaults; a checkpoint's model counts where no flag and no file says otherwise."""

    def __init__(self, args: list[str] | None = None, run: bool = True) -> None:
        self._checkpoint = _option(sys.argv[1:] if args is None else args, "--ckpt_path")
        self._model = saved_model(self._checkpoint) if self._checkpoint else None
        super().__init__(
            LightningModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            trainer_defaults={"default_root_dir": "runs", "callbacks": callbacks.Safeguards()},
            save_config_kwargs={"overwrite": True},
            parser_class=Parser,
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
        parser.usage = USAGE
        if self._model:
            parser.set_defaults({"model": self._model.defaults()})

    def before_instantiate_classes(self) -> None:
        """A model over an encoder from a checkpoint is made by what its own checkpoint notes of it."""
        if self.subcommand is None:
            return
        config = self.config[self.subcommand]
        if self._checkpoint == "last" and (last := callbacks.newest_checkpoint(config.trainer.default_root_dir)):
            self._model = saved_model(last)
        if self._model and config.get("model"):
            self._model.reconcile(config.model)

    def before_fit(self) -> None:
        """Take a folder; `--ckpt_path last` is where the newest run was left, and where there is none one begins."""
        if self.trainer.is_global_zero:
            for logger in self.trainer.loggers:
                callbacks.claim_version(logger)
        self._find_last("fit")

    def before_validate(self) -> None:
        """`--ckpt_path last`, which has to be there; and something to measure."""
        measured = any(isinstance(callback, callbacks.BenchmarkCallback) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        if self.datamodule is None and not measured:
            raise ValueError("nothing to measure: add a benchmark, for example --config configs/benchmarks/davis.yaml")
        self._find_last("validate")

    def before_predict(self) -> None:
        """`--ckpt_path last`, which has to be there."""
        self._find_last("predict")

    def _find_last(self, word: str) -> None:
        given = self.config_init[word]
        if given.get("ckpt_path") != "last":
            return
        folders = [getattr(callback, "dirpath", None) for callback in self.trainer.checkpoint_callbacks]
        path = callbacks.newest_checkpoint(self.trainer.default_root_dir, filter(None, folders))
        given["ckpt_path"] = path
        if path is not None:
            rank_zero_info(f"going on from {path}")
        elif word == "fit":
            rank_zero_info(f"no last.ckpt in {self.trainer.default_root_dir}: beginning")
        else:
            raise ValueError(f"--ckpt_path last: no last.ckpt in {self.trainer.default_root_dir}")

    def _parse_ckpt_path(self) -> None:
        """Lightning would let the checkpoint win over flags; here it gave the defaults already."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: words after `vidcorr`; None takes those of the process.

    Raises:
        SystemExit: with one line for a user's mistake (`--debug` shows the traceback instead): status 2 where the words
            cannot be understood, 1 where what they ask for cannot be done; 130 after Ctrl-C, 143 after SIGTERM.
    """
    words = sys.argv if args is None else ["vidcorr", *args]
    debug = "--debug" in words
    words[:] = [word for word in words if word != "--debug"]
    _quiet()
    set_parsing_settings(add_print_completion_argument=True)
    try:
        words[1:] = allow_named(words[1:])
        if words[1:] in ([], ["-h"], ["--help"]):
            print(overview())
        elif words[1:] == ["--version"]:
            parts = ", ".join(f"{name} {version(name)}" for name in ("torch", "pytorch-lightning", "av", "timm"))
            print(f"vidcorr {version('vidcorr')} ({parts}, Python {sys.version.split()[0]})")
        elif words[1] in TOOLS:
            import_module(TOOLS[words[1]]).command(words[2:])
        else:
            VidcorrCLI(None if args is None else words[1:])
    except KeyboardInterrupt:
        if debug:
            raise
        print("vidcorr: interrupted", file=sys.stderr)
        sys.exit(130)
    except SIGTERMException:
        sys.exit(143)  # as a shell has it: 128 + the signal's number
    except UsageError as error:
        if debug:
            raise
        print(f"vidcorr: {error}", file=sys.stderr)
        sys.exit(2)
    except USER_MISTAKES as error:
        if debug:
            raise
        sys.exit(f"vidcorr: {_one_line(error)} (--debug shows where)")
    except RuntimeError as error:
        if debug or "stateful callback" not in str(error):
            raise
        same = str(error).partition("`")[2].partition("`")[0]
        sys.exit(f"vidcorr: two {same} have the same settings; leave one out or give it another monitor")


def overview() -> str:
    """What `vidcorr --help` shows."""
    tools = {word: (import_module(TOOLS[word]).__doc__ or "").partition("\n")[0] for word in TOOLS}
    width = max(map(len, RUNS | tools)) + 2
    lines = [f"  {word:{width}}{text}" for word, text in (RUNS | tools).items()]
    return "\n".join(
        (
            "usage: vidcorr WORD [options]       (python cli.py WORD is the same)",
            "",
            *lines,
            "",
            "vidcorr WORD --help shows the options of a word; vidcorr fit --model.help VFSSimSiam those of a class.",
            "Files add up, later ones and flags win: --config METHOD.yaml --config TRAINER.yaml --config DATA.yaml.",
            "--print_config shows what they come to. --debug shows where an error was raised. --version.",
            "Completion: pip install shtab; vidcorr --print_completion shtab-bash (or -zsh, -tcsh).",
        )
    )


def explain(message: str, parser: LightningArgumentParser) -> str:
    """What a parser's message comes to, in one line, and the nearest name that exists.

    Args:
        message: of jsonargparse; it may have a line for each type that was tried.
        parser: that knows the options.
    """
    lines = [_plain(line.strip().removeprefix("- ")) for line in message.splitlines()]
    repeated = {line for line in lines for other in lines if other != line and other.startswith(line)}
    if any("must be " in line for line in lines):  # then the name was right
        repeated |= {line for line in lines if "there is no option" in line}
    text = " ".join(line for line in dict.fromkeys(lines) if line not in repeated)
    unknown = re.search(r"(no class|no word|no option|unrecognized arguments:) '?(?:--)?([\w.-]+)", text)
    if unknown is None or "did you mean" in text:
        return text
    near = get_close_matches(unknown[2], _known_names(unknown[1], parser), 1)
    return text + (f"; did you mean {near[0]}?" if near else "")


def _plain(line: str) -> str:
    """One line of jsonargparse's messages in plain words; empty where it only says which types were tried."""
    if re.match(TRIED, line):
        return ""
    for pattern, plain in (
        (r'Parser key "([^"]+)":', r"\1:"),
        (r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:"),
        (r"Expected a path but \S+ either not accessible or invalid", ""),
        (r"Expected a dot import path string: (\S+)", r"there is no class '\1'"),
        (r"Option '(\S+)' is not accepted", r"there is no option '\1'"),
        (r"Expected an? <class '(\w+)'>\. Got value: (\S+)", r"must be \1, got '\2'"),
        (r"Expected an? typing.Literal\[(.*)\]", r"must be one of \1"),
        (r"(.*)arguments are required: (\w+\.)?model\b", "give --model, a --config with a model, or --ckpt_path FILE"),
        (r"the following arguments are required:", "needs"),
        (r"argument subcommand: invalid choice: ('\S+') .*", r"there is no word \1"),
    ):
        line = re.sub(pattern, plain, line)
    return line


def _known_names(kind: str, parser: LightningArgumentParser) -> list[str]:
    """What could have been meant where something of this kind does not exist."""
    if kind == "no word":
        return [*RUNS, *TOOLS]
    if kind == "no class":
        return [name for part in PARTS for name in part.__all__]
    choices = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    parsers = [parser, *(chosen for group in choices for chosen in group.values())]
    options = [option for one in parsers for option in one._option_string_actions]
    return options if kind != "no option" else [option.removeprefix("--") for option in options]


def _one_line(error: BaseException) -> str:
    """What a user has to know; the parser wraps a constructor's error in pages of its own."""
    if "\nOriginal Traceback" in str(error):  # raised in a worker of a loader: after the last indented line it is named
        lines = str(error).strip().splitlines()
        said = " ".join(lines[max(number for number, line in enumerate(lines) if line.startswith(" ")) + 1 :])
        return said.partition(": ")[2] or said
    while "\n" in str(error) and (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(str(error).split())


def _quiet() -> None:
    """Leave out what Lightning says of other products and of its own deprecated calls."""
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    warnings.filterwarnings("ignore", message=".*recommended to use .self.log.*/.* sync_dist=True.*")
    warnings.filterwarnings("ignore", message=".*module.s. in eval mode at the start of training.*")
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
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


if __name__ == "__main__":
    main()
