"""A training as a job: `vidcorr fit` as a process."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..videos.files import write_atomically

CLI = Path(__file__).resolve().parents[2] / "cli.py"
LOG = "fit.log"
"""File with the output of a training."""
STOPPED = (130, -2, 143, -15)
"""Exit statuses of a process after Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class Training:
    """A training, a job of a store.

    Attributes:
        title: the training in words.
        arguments: arguments of `vidcorr fit`, without the folder.
        folder: folder of its logs and checkpoints in the store.
    """

    title: str
    arguments: tuple[str, ...]
    folder: str
    done: ClassVar[str] = "trained"

    def line(self, folder: Path) -> str:
        """Return the command for a shell; it resumes from the newest checkpoint in a folder."""
        return shlex.join(("vidcorr", *self._words(folder)))

    def _words(self, folder: Path) -> tuple[str, ...]:
        return ("fit", *self.arguments, "--trainer.default_root_dir", str(folder), "--ckpt_path", "last")

    def run(self, folder: Path) -> None:
        """Run the training, and mark it as done.

        Args:
            folder: its folder.

        Raises:
            ValueError: if it failed, with the last line of its output.
            KeyboardInterrupt: if the training, or this process, was stopped; the next run resumes.
        """
        with (folder / LOG).open("a") as log:
            process = subprocess.Popen([sys.executable, str(CLI), *self._words(folder)], stdout=log, stderr=log)
            try:
                status = process.wait()
            except KeyboardInterrupt as stopped:
                process.terminate()  # it finishes its step and saves; after Ctrl-C it already does
                process.wait()
                stopped.args = ("run the same command again to resume",)
                raise
        if status in STOPPED:
            raise KeyboardInterrupt("a training of the study was stopped; run the same command to resume")
        if status:
            lines = [line for line in (folder / LOG).read_text(errors="replace").splitlines() if line.strip()]
            raise ValueError(f"{lines[-1] if lines else f'status {status}'} ({LOG} in its folder)")
        write_atomically(folder / self.done, self.line(folder) + "\n")
