"""The flags and the call of `vidcorr study`."""

import shlex
from argparse import Namespace
from pathlib import Path

from ..experiments.runs.flags import Flag, folder

FLAGS = (
    Flag("study", "YAML file, or a study of vidcorr (studies/…)"),
    Flag("--output", "folder of the runs (default: studies/NAME)", type=folder),
    Flag("--missing", "only evaluations without a result, and the trainings they need", action="store_true"),
    Flag("--each", "a line a command, of those whose trainings have ended", action="store_true"),
)


def run(flags: Namespace) -> None:
    """Print the commands of a study: a line for each training and its evaluations; with `--each` for each command."""
    from ..experiments.reports.study_report import missing, read_study

    study = read_study(flags.study)
    for line in study.lines(flags.output or Path("studies") / Path(flags.study).stem):
        steps = missing(line) if flags.missing else line
        if flags.each:  # commands that need no other command of the line first
            steps = [step for step in steps if not any(step.follows(each) and not each.is_done for each in line)]
        commands = [shlex.join(("vidcorr", *step.words)) for step in steps]
        if commands:
            print(("\n" if flags.each else " && ").join(commands))
