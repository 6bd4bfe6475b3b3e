"""All comparisons in short form, as one table, printed and written into docs/speed.md: `make speed`.

Each script runs in a separate process, one after the other, and says with `--help` how it measures in full. A row holds
the least time of either way; if a script fails, or lacks its real videos, the document stays as it was.
"""

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

from tests.helpers.references import real_videos

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    "propagation --part 0.01 --repeats 2",
    "davis_stages --part 0.01 --repeats 2",
    "score --repeats 1",
    "local_attention --repeats 1",
    "info_nce --widths 128 --repeats 2",
    "crop",
    "decoding",
    "matching --repeats 3",
    "trackers --repeats 3",
    "training_step --repeats 3 --only VFSSimSiam VFSMoCo Liir",
]
OF_REAL_VIDEOS = ("davis_stages", "score", "decoding")
PAGE = ROOT / "docs" / "speed.md"


def main() -> None:
    commands, skipped = runnable(has_videos=real_videos() is not None)
    rows, failed = run([f"-m tests.speed.{command}" for command in commands])
    page = with_table(PAGE.read_text(), "make speed", _machine(), rows + skipped)
    if failed:
        sys.exit("\n".join(["failed:", *failed]))
    if not skipped:
        PAGE.write_text(page)


def runnable(has_videos: bool) -> tuple[list[str], list[str]]:
    """Return the commands that can run, and a row for each of the others."""
    skipped = [] if has_videos else [command for command in COMMANDS if command.split()[0] in OF_REAL_VIDEOS]
    rows = [f"| {command.split()[0]} | skipped: needs real videos (VIDCORR_DATA) | | |" for command in skipped]
    return [command for command in COMMANDS if command not in skipped], rows


def run(commands: list[str]) -> tuple[list[str], list[str]]:
    """Run commands, and show their output as it comes; return the rows of their tables, and the commands that fail."""
    rows, failed = [], []
    for command in commands:
        print(f"\n$ python {command}", flush=True)
        words = [sys.executable, *shlex.split(command)]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                rows += [line.rstrip()] if line.startswith("| ") else []
        if process.returncode:
            failed.append(command)
    return rows, failed


def with_table(page: str, name: str, conditions: str, rows: list[str]) -> str:
    """Print a table; return the page with it in place of the table of this name, or at the end."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    table = "\n".join([conditions, "", "| what | plain | vidcorr | ratio |", "|---|---|---|---|", *rows])
    print(table, flush=True)
    head, known, rest = page.partition(begin)
    before, after = (head, rest.partition(end)[2]) if known else (f"{head.rstrip()}\n\n", "")
    return f"{before}{begin}{table}\n{end}{after}"


def _machine() -> str:
    model = re.search("model name.*: (.*)", Path("/proc/cpuinfo").read_text())
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "all")
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
        f"torch {torch.__version__}, instructions: {isa}, {date.today()}:"
    )


if __name__ == "__main__":
    main()
