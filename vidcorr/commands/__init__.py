"""The command `vidcorr`: `fit` and `validate` by `cli.py`, and a file for every other command.

Only the chosen command imports torch and Lightning, so that `--help` is fast.
"""

import argparse
import ast
import gc
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path

from .. import errors

HOME = Path(__file__).resolve().parents[2]
"""The folder of our packages: it holds `vidcorr` and `cli.py`."""
RUNS = {
    "fit": "Train a model, with benchmarks along the way.",
    "validate": "Measure a checkpoint, or any backbone, on benchmarks.",
}
"""Command of Lightning's Trainer → line for `--help`."""
GROUPS = {
    "train": ("fit", "validate", "study"),
    "score": ("evaluate", "score", "reproduce", "protocols"),
    "look": ("predict", "table", "figure", "prompt"),
    "data and weights": ("generate", "check-data", "unpickle", "convert", "export"),
}
"""Group of `--help` → its commands, those first that a newcomer needs first; other commands follow below "other"."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: command and arguments after `vidcorr`; by default the arguments of the process.

    Raises:
        SystemExit: after a user's mistake, with a one-line message: status 2 for wrong arguments, 1 for other errors
            (`--debug` raises the error instead). 130 after Ctrl-C, 143 after SIGTERM, 141 if the reader of stdout has
            closed it.
    """
    given = sys.argv[1:] if args is None else args
    words = [word for word in given if word != "--debug"]
    # a user's folder with the name of our package may be first on the path (PYTHONPATH, `python -m`)
    if sys.path[:1] != [str(HOME)]:
        sys.path.insert(0, str(HOME))
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # finds the user's modules; at the end, to hide no other module
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # file names need not be UTF-8
    errors.signals.forget()  # an earlier command of a notebook may have been stopped
    try:
        run_command(words)
        sys.stdout.flush()  # here a closed pipe can still be reported
    except BaseException as error:
        status = None if "--debug" in given else errors.report(error, *words[:1])
        if status is None:
            raise
        sys.exit(status)


def run_command(args: Sequence[str]) -> None:
    """Run a command with its arguments."""
    first = args[0] if args else "--help"
    if first in ("-h", "--help"):
        print(overview())
    elif first == "--version":
        parts = [f"{name} {version(name)}" for name in ("torch", "pytorch-lightning", "av", "timm")]
        python, *_ = sys.version.split()
        print(f"vidcorr {version('vidcorr')} ({', '.join(parts)}, Python {python})")
    elif first in RUNS and list(args[1:]) in (["-h"], ["--help"]):
        print(help_of_run(first))
    elif first in RUNS:
        gc.disable()  # saves a sixth of the CPU time of Lightning's import
        from cli import run

        gc.enable()
        run(args)
    elif first in tools():
        run_tool(f"vidcorr.commands.{tools()[first].stem}", args[1:])
    else:
        raise errors.UsageError(f"unknown command {first!r}. Commands: {', '.join([*RUNS, *tools()])}")


def run_tool(module: str, args: Sequence[str]) -> None:
    """Run a tool; SIGTERM interrupts it as Ctrl-C does, so that it leaves no partial files."""
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        import_module(module).command(args)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM does not interrupt the cleanup
    raise errors.Terminated


def tools() -> dict[str, Path]:
    """Return command → file of the tools: files in this folder that define `command`."""
    found: dict[str, Path] = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if "\ndef command(" in file.read_text("utf-8"):
            found[file.stem.replace("_", "-")] = file
    return found


def overview() -> str:
    """Return the text of `vidcorr --help`."""
    commands = dict(RUNS)
    for command, file in tools().items():
        text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        commands[command], _, _ = text.partition("\n")
    width = max(map(len, commands)) + 2
    grouped = [command for group in GROUPS.values() for command in group]
    other = [command for command in commands if command not in grouped]
    lines: list[str] = []
    for group, members in (GROUPS | {"other": other}).items():
        if members:
            lines += ["", f"{group}:"]
        lines += [f"  {command:{width}}{commands[command]}" for command in members]
    return "\n".join(
        (
            "usage: vidcorr COMMAND [options]    (python cli.py COMMAND is the same)",
            "",
            "Begin with generate, evaluate, table, fit and predict.",
            *lines,
            "",
            "vidcorr COMMAND --help shows the options of a command, vidcorr fit --model.help VFSSimSiam of a class.",
            "Configs and flags combine, and later words win: --config METHOD.yaml --config DATA.yaml --data.size 128.",
            "--print_config shows the merged configuration. --debug shows the traceback of an error. --version.",
        )
    )


def help_of_run(command: str) -> str:
    """Return the text of `vidcorr fit --help`: the flags that Lightning does not have, without its import."""
    from ..experiments.benchmark_choice import add_run_flags

    parser = argparse.ArgumentParser(
        prog=f"vidcorr {command}",
        description=RUNS[command],
        epilog=f"Lightning's options too (--trainer.…, --model.…, --data.…): vidcorr {command} --model NAME --help",
    )
    config = "a YAML file, or a config of the project by its name: data/kinetics.yaml; later words win"
    parser.add_argument("-c", "--config", metavar="FILE", help=config)
    model = "a method, or a network as vidcorr evaluate takes it: VFSSimSiam, dino-b8, last.ckpt, my_module.MyMethod"
    parser.add_argument("--model", metavar="NAME", help=model)
    parser.add_argument("--data", metavar="NAME", help="a DataModule: VideoDataModule, my_module.MyData")
    checkpoint = "checkpoint to resume (fit) or to measure (validate); last: the newest below trainer.default_root_dir"
    parser.add_argument("--ckpt_path", metavar="FILE", help=checkpoint)
    add_run_flags(parser)
    return parser.format_help()
