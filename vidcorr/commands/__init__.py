"""The command `vidcorr`: `fit`, `validate` and `test` by `cli.py`, and a file for every other command.

Only the chosen command imports torch and Lightning, so that `--help` is fast.
"""

import argparse
import atexit
import gc
import os
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import vidcorr

from .. import errors, signals
from ..experiments.runs.flags import RUN_FLAGS, Parser, add_flags, names_of, require_networks
from ..near_names import did_you_mean

HELP = ("-h", "--help")


class Command(NamedTuple):
    """A command of vidcorr.

    Attributes:
        name: the word of the command line, `check-data`.
        line: its line in `vidcorr --help`, and the first line of its own help.
    """

    name: str
    line: str

    @property
    def module(self) -> Any:
        """The command's module, imported at this access, with `FLAGS`, `run` and perhaps `require`."""
        return import_module(f"{__name__}.{self.name.replace('-', '_')}")

    def parser(self) -> Parser:
        """Return the parser of the command's flags; for a command of `RUNS`, of the flags that Lightning lacks."""
        parser = Parser(prog=f"vidcorr {self.name}", description=self.line)
        if self.name in RUNS:
            parser.epilog = OPTIONS_OF_RUN.format(self.name)
            add_flags(parser, RUN_FLAGS)
        else:
            add_flags(parser, self.module.FLAGS)
        return parser


RUNS = ("fit", "validate", "test")
"""Commands of Lightning's Trainer, by `cli.py`."""
OVERVIEW = """\
usage: vidcorr COMMAND [options]    (python cli.py COMMAND is the same)

Begin with generate, evaluate, table, fit and predict.

train:
  fit         Train a model, with benchmarks along the way.
  resume      Resume a stopped training from its last checkpoint, by its words and further ones.
  validate    Measure a checkpoint, or any backbone, on benchmarks.
  test        The same with the test data of a DataModule.
  study       Print the commands of a study, trainings that differ by a few flags; all or the missing.
score:
  evaluate    Score frozen networks on benchmarks and print a table, with differences from --base.
  score       Score masks, point tracks or boxes of any method, by the rules of the data set.
  reproduce   Repeat published scores with public weights, and print the paper's beside.
  protocols   List the named protocols, show a protocol's fields and sources, or compare two.
look:
  predict     Follow a mask, boxes or points through your own video; write masks, tables, a video.
  features    Draw the features of a video as colours, or write them as arrays.
  table       Gather results into a table: text, Markdown, CSV or LaTeX, a column per benchmark.
data and weights:
  generate    Generate small videos with exact ground truth in the layouts of the benchmarks.
  check-data  Check videos before training: decode every frame of each, compare sizes.
  export      Write a network as safetensors with a model card, or as ONNX.

vidcorr COMMAND --help shows the options of a command, vidcorr fit --model.help VFSSimSiam of a class.
Configs and flags combine, and later words win: --config METHOD.yaml --config DATA.yaml --data.size 128.
--print_config shows the merged configuration. --debug shows the traceback of an error. --version."""
"""`vidcorr --help`: the commands below their groups, in the order in which a newcomer needs them."""
COMMANDS = tuple(starmap(Command, re.findall(r"^  (\S+) +(.+)$", OVERVIEW, re.MULTILINE)))
OPTIONS_OF_RUN = (
    "--config FILE (a YAML file, or a config of the project by its name: data/kinetics.yaml), --model NAME (a method, "
    "or a network as vidcorr evaluate takes it), --data NAME, --ckpt_path FILE (last: of the newest run of this "
    "training below trainer.default_root_dir) and all options of Lightning: vidcorr {} --model NAME --help"
)
"""End of `vidcorr fit --help`, with a place for the command."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: command and arguments after `vidcorr`; None: the arguments of the process.

    Raises:
        SystemExit: with status 2 after wrong arguments, and 1 after another mistake of the user, both with a one-line
            message (`--debug` raises the error instead); 130 after Ctrl-C, 143 after SIGTERM; 141, without a message,
            if the reader of the output leaves, as `head` does.
    """
    if args is None:  # a process of its own
        gc.disable()  # until `start_collector`: what modules make while they load is not garbage
    given = sys.argv[1:] if args is None else args
    words = [word for word in given if word != "--debug"]
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # finds the user's modules; at the end, to hide no other module
    try:
        with signals.handled():
            run_command(words)
        sys.stdout.flush()  # here, an output whose reader has left (`| head`) raises an error that is caught below
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and has_no_reader(sys.stdout):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of the output goes nowhere
            sys.exit(141)  # 128 + SIGPIPE, as a shell says; Windows has no such name
        # a number; or a message, which `sys.exit` prints; or None, for a bug or with --debug: the error is raised again
        status = None if "--debug" in given else errors.exit_status(error)
        if status is None:
            raise
        if isinstance(error, errors.WRONG_WORDS):  # the status is the number 2, with which nothing would be printed
            print(f"vidcorr: {error}", file=sys.stderr)
        sys.exit(status)
    finally:
        gc.enable()


def has_no_reader(output: TextIO) -> bool:
    """Return True if nobody reads an output any more; an empty line is written to it to find out."""
    try:
        print(file=output, flush=True)
    except BrokenPipeError:
        return True
    return False


def run_command(args: Sequence[str]) -> None:
    """Run a command, or print the overview or the version."""
    first, *rest = args or ["--help"]
    commands = {command.name: command for command in COMMANDS}
    if first in HELP:
        print(OVERVIEW)
    elif first == "--version":
        print(f"vidcorr {version('vidcorr')}")
    elif first not in commands:
        near = did_you_mean(first, commands)
        raise errors.UsageError(f"unknown command {first!r}, none of {', '.join(commands)}{near}")
    # `fit --help` alone is answered by `run_tool`, without Lightning's long list
    elif first in RUNS and not (len(rest) == 1 and rest[0] in HELP):
        run_by_trainer(first, rest)
    else:
        run_tool(commands[first], rest)


def run_by_trainer(command: str, words: Sequence[str]) -> None:
    """Run a command by LightningCLI; all but `fit` may have the name of a run as first word."""
    # else a class that the user's script has made may have any name
    if "pytorch_lightning" not in sys.modules:
        parser = Parser(prog=f"vidcorr {command}", add_help=False, allow_abbrev=False)
        parser.add_argument("--model", action="append", default=[])
        require_networks(parser.parse_known_args(words)[0].model, [*dir(vidcorr), "null"])
    if command != "fit" and words and not words[0].startswith("-"):
        from .resume import measure_run

        measure_run(command, words[0], words[1:])
    else:
        from ..cli import VidcorrCLI

        VidcorrCLI([command, *words])


def run_tool(command: Command, words: Sequence[str]) -> None:
    """Parse the words of a command and run the command."""
    further: Sequence[str] = ()
    if command.name == "resume":
        has_own_word = bool(words) and (words[0] in HELP or not words[0].startswith("-"))  # the run, or a flag for help
        number = int(has_own_word)
        words, further = words[:number], words[number:]
    flags = parse(command, words)
    flags.further = further
    require_networks(filter(None, [*getattr(flags, "networks", ()), *map(vars(flags).get, ("network", "model"))]))
    if hasattr(command.module, "require"):
        command.module.require(flags)  # before torch is imported, which takes seconds
    warnings.formatwarning = line_of_warning
    start_collector()  # turns Python's garbage collector on again, if `main` turned it off for the imports
    command.module.run(flags)


def start_collector() -> None:
    """Turn Python's garbage collector on again, if `main` turned it off to import faster."""
    if not gc.isenabled():
        gc.freeze()
        atexit.register(gc.unfreeze)  # else triton says at the end that its functions have leaked
        gc.enable()


def parse(command: Command, words: Sequence[str]) -> argparse.Namespace:
    """Parse the words of a command into the values of its flags."""
    parser = command.parser()
    known, usage = ["--help", *names_of(parser)], parser.format_usage()
    for word in words:
        flag = word.partition("=")[0]
        if re.match(r"-[-a-zA-Z]", flag) and not any(name.startswith(flag) for name in (*known, "-h")):
            near = did_you_mean(flag, known) or ("; networks are words without a flag" * ("NETWORK" in usage))
            raise errors.UsageError(f"{command.name}: unknown flag {flag}{near}")
    # a blank before a number below 0: else it would be read as a flag
    flags, left_over = parser.parse_known_args([re.sub(r"^(?=-[\d.])", " ", word) for word in words])
    if left_over:
        remedy = "; the network is given by --model" if "--model" in known else ""
        raise errors.UsageError(f"{command.name}: more words than it takes: {shlex.join(left_over)}{remedy}")
    return flags


def line_of_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    r"""Format a warning, for `warnings.formatwarning`; a warning of this package is a line without its place."""
    if Path(filename).is_relative_to(Path(__file__).parents[1]):
        return f"vidcorr: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
