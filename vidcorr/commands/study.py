"""The flags and the call of `vidcorr study`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.runs.flags import Flag

FLAGS = (
    Flag("study", "YAML file, or a study of vidcorr (studies/…)"),
    Flag("--output", "folder of the runs (default: studies/NAME)", type=Path),
    Flag("--run", "run the commands that have no result, one after the other", action="store_true"),
)


def run(flags: Namespace) -> None:
    """Run the command.

    Raises:
        UsageError, ValueError: for a user's mistake, or if a command failed.
    """
    from ..experiments.reports.study import read_study, run_line, shell_line

    study = read_study(flags.study)
    lines = study.lines(flags.output or Path("studies") / Path(flags.study).stem)
    if not flags.run:
        for line in lines:
            print(" && ".join(map(shell_line, line)))
        return
    failed = list(filter(None, map(run_line, lines)))
    if failed:
        commands = "; ".join(map(shell_line, failed))
        raise ValueError(f"{len(failed)} of {len(lines)} lines failed: {commands}")
