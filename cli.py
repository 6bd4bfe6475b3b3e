"""The entry point of `fit`, `validate` and the tools: `vidcorr` or `python cli.py`.

Only the chosen command imports torch and Lightning, so that `--help` is fast.
"""

import ast
import gc
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path

HOME = Path(__file__).resolve().parent
COMMAND_FILES = HOME / "vidcorr" / "commands"
RUNS = {
    "fit": "Train a model, with benchmarks along the way.",
    "validate": "Measure a checkpoint, or any backbone, on benchmarks.",
}
"""Command of Lightning's Trainer → line for `--help`."""


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
    errors = import_module("vidcorr.errors")
    errors.signals.forget()  # an earlier command of a notebook may have been stopped
    try:
        with errors.command_line(words):
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
    elif first in RUNS:
        gc.disable()  # saves a sixth of the CPU time of Lightning's import
        run = import_module("callbacks.lightning_cli").run
        gc.enable()
        run(args)
    elif first in tools():
        run_tool(f"vidcorr.commands.{tools()[first].stem}", args[1:])
    else:
        endings = import_module("vidcorr.errors")
        known = [*RUNS, *tools()]
        meant = endings.near(first, known) or ";"
        raise endings.UsageError(f"unknown command {first!r}{meant} Commands: {', '.join(known)}")


def run_tool(module: str, args: Sequence[str]) -> None:
    """Run a tool; SIGTERM interrupts it as Ctrl-C does, so that it leaves no partial files."""
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        import_module(module).command(args)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM does not interrupt the cleanup
    raise import_module("vidcorr.errors").Terminated


def tools() -> dict[str, Path]:
    """Return command → file of the tools: files of `vidcorr/commands` that define `command`."""
    found: dict[str, Path] = {}
    for file in sorted(COMMAND_FILES.glob("*.py")):
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
    lines = [f"  {command:{width}}{text}" for command, text in commands.items()]
    return "\n".join(
        (
            "usage: vidcorr COMMAND [options]    (python cli.py COMMAND is the same)",
            "",
            *lines,
            "",
            "vidcorr COMMAND --help shows the options of a command, vidcorr fit --model.help VFSSimSiam of a class.",
            "Configs combine, and flags override them: --config METHOD.yaml --config TRAINER.yaml --config DATA.yaml.",
            "--print_config shows the merged configuration. --debug shows the traceback of an error. --version.",
        )
    )


if __name__ == "__main__":
    main()
