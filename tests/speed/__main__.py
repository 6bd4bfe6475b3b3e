"""Each part against the method that it replaces: the least time of either way, as a table.

python -m tests.speed                       # the table of docs/speed.md, a minute
python -m tests.speed info_nce --rounds 5   # parts by name
"""

import argparse
import os
import platform
import re
from datetime import date
from pathlib import Path

import pytest
import torch

from tests.speed import kernels
from tests.speed.frame_folders import films, frame_folders
from tests.speed.training_step import training_steps

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
IN_TABLE = (
    kernels.propagation,
    kernels.trained_propagation,
    kernels.davis_frame,
    kernels.reconstruction,
    kernels.info_nce,
    kernels.negatives,
    kernels.points_growth,
    frame_folders,
    films,
    training_steps,
)
PARTS = {part.__name__: part for part in (*IN_TABLE, kernels.propagation_scale)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; default: the table")
    parser.add_argument(
        "--rounds", type=int, default=3, help="repetitions of each way, ten where they take less than a second"
    )
    given = parser.parse_args()
    parts = [PARTS[name] for name in given.parts] or IN_TABLE
    is_whole = not given.parts
    lines = [conditions(), "", "| what | plain | vidcorr | ratio |", "|---|---|---|---|"]
    print(*lines, sep="\n", flush=True)
    for part in parts:
        try:
            for line in part(given.rounds):
                print(line, flush=True)
                lines.append(line)
        except pytest.skip.Exception as reason:
            print(f"{part.__name__} is skipped: {reason}")
            is_whole = False
    if is_whole:
        PAGE.write_text(with_table(PAGE.read_text(), "\n".join(lines)))


def with_table(page: str, table: str) -> str:
    """Return the page with a table in place of its present table."""
    begin, end = "<!-- make speed -->\n", "\n<!-- end of make speed -->"
    before, _, rest = page.partition(begin)
    return before + begin + table + end + rest.partition(end)[2]


def conditions() -> str:
    """Return the processor, the number of threads, torch's version, the date, and the machine's load above one."""
    model = re.search("model name.*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1] if model else platform.machine()
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} thread(s)"
    load = os.getloadavg()[0]
    beside = f", load {load:.1f}" if load > 1 else ""
    return f"{gpu}{name}, {threads}, torch {torch.__version__}, {date.today()}{beside}:"


if __name__ == "__main__":
    main()
