"""The command `vidcorr`: `fit` and `validate` by `cli.py`, and a file for every other command.

Only the chosen command imports torch and Lightning, so that `--help` is fast.
"""

import argparse
import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from .. import errors, signals

RUNS = {
    "fit": "Train a model, with benchmarks along the way.",
    "validate": "Measure a checkpoint, or any backbone, on benchmarks.",
}
"""Command of Lightning's Trainer → line for `--help`."""
GROUPS = {
    "train": ("fit", "resume", "validate", "study"),
    "score": ("evaluate", "score", "reproduce", "protocols", "bridge"),
    "look": ("predict", "features", "match", "table", "figure", "prompt"),
    "data and weights": ("generate", "check-data", "convert", "export"),
}
"""Group of `--help` → its commands, in the order in which a newcomer needs them."""
OF_OTHERS = {"train": "fit", "test": "validate", "eval": "evaluate"}
"""Command of other programs → ours."""
USAGE = """\
usage: vidcorr COMMAND [options]    (python cli.py COMMAND is the same)

Begin with generate, evaluate, table, fit and predict.
"""
NOTES = """
vidcorr COMMAND --help shows the options of a command, vidcorr fit --model.help VFSSimSiam of a class.
Configs and flags combine, and later words win: --config METHOD.yaml --config DATA.yaml --data.size 128.
--print_config shows the merged configuration. --debug shows the traceback of an error. --version."""
OPTIONS_OF_RUN = (
    "--config FILE (a YAML file, or a config of the project by its name: data/kinetics.yaml), --model NAME (a method, "
    "or a network as vidcorr evaluate takes it), --data NAME, --ckpt_path FILE (last: of the newest run of this "
    "training below trainer.default_root_dir) and all options of Lightning: vidcorr {} --model NAME --help"
)
"""End of `vidcorr fit --help`, with a place for the command."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: command and arguments after `vidcorr`; by default the arguments of the process.

    Raises:
        SystemExit: after a user's mistake, with a one-line message: status 2 for wrong arguments, 1 for other errors
            (`--debug` raises the error instead). 130 after Ctrl-C, 143 after SIGTERM, 141 without a message if the
            reader of the output leaves, as `head` does.
    """
    given = sys.argv[1:] if args is None else args
    words = [word for word in given if word != "--debug"]
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # finds the user's modules; at the end, to hide no other module
    try:
        with signals.handled():
            run_command(words)
        sys.stdout.flush()  # a reader that has left, as `| head`, is noticed here, not by Python's end
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and output_is_closed():
            sys.exit(141)  # 128 + SIGPIPE, as a shell says; Windows has no such name
        status = None if "--debug" in given else errors.exit_status(error)
        if status is None:
            raise
        sys.exit(status)


def output_is_closed() -> bool:
    """Return whether nobody reads the standard output any more; what is left of it then goes nowhere."""
    output = sys.stdout.fileno()
    waiting = select.poll()
    waiting.register(output, 0)  # errors alone
    is_closed = bool(waiting.poll(0))
    if is_closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return is_closed


def run_command(args: Sequence[str]) -> None:
    """Run a command with its arguments."""
    first, *rest = args or ["--help"]
    files = tools()
    if first in ("-h", "--help"):
        print(overview())
    elif first == "--version":
        print(f"vidcorr {version('vidcorr')}")
    elif first in RUNS and rest in (["-h"], ["--help"]):
        print(help_of_run(first))
    elif first in RUNS:
        from ..cli import VidcorrCLI

        VidcorrCLI(args)
    elif first in files:
        import_module(f"vidcorr.commands.{files[first].stem}").command(rest)
    else:
        ours = f"; here it is {OF_OTHERS[first]}" if first in OF_OTHERS else ""
        raise errors.UsageError(f"unknown command {first!r}{ours}. Commands: {', '.join([*RUNS, *files])}")


def tools() -> dict[str, Path]:
    """Return command → file of the commands in this folder."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    return {file.stem.replace("_", "-"): file for file in files}


def overview() -> str:
    """Return the text of `vidcorr --help`; a command's line is the first line of its file."""
    about = dict(RUNS)
    for command, file in tools().items():
        first, _, _ = file.read_text("utf-8").partition("\n")
        about[command] = first.strip('"')
    lines = [USAGE]
    for group, members in GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {command:12}{about[command]}" for command in members]
    return "\n".join([*lines, NOTES])


def help_of_run(command: str) -> str:
    """Return the text of `vidcorr fit --help`: the flags that Lightning does not have, without its import."""
    from ..experiments.benchmark_choice import add_run_flags

    epilog = OPTIONS_OF_RUN.format(command)
    parser = argparse.ArgumentParser(prog=f"vidcorr {command}", description=RUNS[command], epilog=epilog)
    add_run_flags(parser)
    return parser.format_help()
