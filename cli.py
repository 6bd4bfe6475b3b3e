"""The entry point: `fit`, `validate`, `predict` and the tools, by `python cli.py` or the command `vidcorr`.

Nothing heavy is imported before the command is known: each command imports what it needs.
"""

import ast
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path

HOME = Path(__file__).resolve().parent
DEBUG = "VIDCORR_DEBUG"
"""Variable of the environment that does what `--debug` does."""
PACKAGES = ("callbacks", "datamodules", "lightning_modules")
RUNS = {
    "fit": "Train a model, with benchmarks along the way.",
    "validate": "Measure a checkpoint, or any backbone, on benchmarks.",
    "predict": "Propagate a mask, a box or points through a video of your own.",
}
"""Commands that Lightning's Trainer runs, with one line for `--help`."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: command and arguments after `vidcorr`; None takes those of the process.

    Raises:
        SystemExit: with one line for a user's mistake (`--debug` shows the traceback instead): status 2 where the
            arguments cannot be understood, 1 where what they ask for cannot be done; 130 after Ctrl-C, 143 after
            SIGTERM, 141 where the reader of our output has closed it.
    """
    argv = sys.argv if args is None else ["vidcorr", *args]
    debug = "--debug" in argv or DEBUG in os.environ
    argv = [arg for arg in argv if arg != "--debug"]
    if args is None:
        sys.argv[1:] = argv[1:]  # the ranks that Lightning starts run the same command line again
    if debug:
        os.environ[DEBUG] = "1"  # for them
    # a folder of the user's with the name of one of our packages may stand first on the path (PYTHONPATH, `python -m`)
    if sys.path[:1] != [str(HOME)]:
        sys.path.insert(0, str(HOME))
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, for the user's own `module:callable`
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # the name of a file need not be UTF-8
    try:
        run_command(argv[1:])
        sys.stdout.flush()  # here a closed pipe can still be reported
    except BaseException as error:
        status = None if debug else import_module("callbacks.command_line.endings").report(error)
        if status is None:
            raise
        sys.exit(status)
    finally:
        if debug and args is not None:  # a call within a process says nothing about the next
            os.environ.pop(DEBUG, None)


def run_command(args: Sequence[str]) -> None:
    """Run one command with its arguments."""
    first = args[0] if args else "--help"
    if first in ("-h", "--help"):
        print(overview())
    elif first == "--version":
        parts = ", ".join(f"{name} {version(name)}" for name in ("torch", "pytorch-lightning", "av", "timm"))
        print(f"vidcorr {version('vidcorr')} ({parts}, Python {sys.version.split()[0]})")
    elif first in RUNS or first.startswith("--print_completion"):
        gc.disable()  # it would scan objects that are kept anyway: a sixth of the CPU time of Lightning's import
        run = import_module("callbacks.command_line.runs").run
        gc.enable()
        run(args, RUNS.get(first, ""))
    elif (tool := tools().get(first)) is not None:
        run_tool(f"{tool.parent.parent.name}.tools.{tool.stem}", args[1:])
    else:
        endings, known = import_module("callbacks.command_line.endings"), [*RUNS, *tools()]
        meant = endings.near(first, known) or ";"
        raise endings.UsageError(f"unknown command {first!r}{meant} Commands: {', '.join(known)}")


def run_tool(module: str, args: Sequence[str]) -> None:
    """Run a tool; SIGTERM raises in it what Ctrl-C would, so that it leaves nothing half done."""
    in_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, _terminate) if in_main else None
    try:
        import_module(module).command(args)
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what ends now is not interrupted again
    raise import_module("callbacks.command_line.endings").Terminated


def tools() -> dict[str, Path]:
    """Return command → file of each tool: a file in a `tools` folder of our packages that defines `command`."""
    files = [file for package in PACKAGES for file in (HOME / package / "tools").glob("*.py")]
    found = {file.stem.replace("_", "-"): file for file in files if "\ndef command(" in file.read_text("utf-8")}
    return dict(sorted(found.items()))


def overview() -> str:
    """Return what `vidcorr --help` shows."""
    texts = {command: ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "" for command, file in tools().items()}
    commands = RUNS | {command: text.partition("\n")[0] for command, text in texts.items()}
    width = max(map(len, commands)) + 2
    return "\n".join(
        (
            "usage: vidcorr COMMAND [options]    (python cli.py COMMAND is the same)",
            "",
            *(f"  {command:{width}}{text}" for command, text in commands.items()),
            "",
            "vidcorr COMMAND --help shows its options; vidcorr fit --model.help VFSSimSiam those of a class.",
            "Files combine, flags win over them: --config METHOD.yaml --config TRAINER.yaml --config DATA.yaml.",
            "--print_config shows the result. --debug shows where an error was raised. --version.",
            "Completion: pip install shtab; vidcorr --print_completion shtab-bash (or -zsh, -tcsh).",
        )
    )


if __name__ == "__main__":
    main()
