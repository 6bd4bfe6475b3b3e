"""The flags and the call of `vidcorr study`."""

import shlex
from argparse import Namespace
from pathlib import Path

from ..experiments.runs.flags import Flag, folder

FLAGS = (
    Flag("study", "YAML file, or a study of vidcorr (studies/…)"),
    Flag("--output", "folder of the runs (default: studies/NAME)", type=folder),
    Flag("--missing", "print only the lines that lack a result", action="store_true"),
)


def run(flags: Namespace) -> None:
    """Print the lines of commands of a study; with `--missing` only the lines that lack a result."""
    from ..experiments.reports.study import is_done, read_study

    study = read_study(flags.study)
    for line in study.lines(flags.output or Path("studies") / Path(flags.study).stem):
        if not (flags.missing and is_done(line)):
            print(" && ".join(shlex.join(("vidcorr", *step.words)) for step in line))
